//! SQLite on a disk that is full, read-only, or has damaged the file; and the file in two
//! hands.

use std::fs;
use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tempfile::TempDir;
use tokio::process::Command;

use crate::harness::{Handed, Proxy, Request, Signal, eventually, within};
use crate::report::{say, seed};
use crate::scene::{Scene, callers_notice_nothing, done, heals, is_done, job, unavailable};

fn store(folder: &Path) -> (String, PathBuf) {
    let file = folder.join("jobs.db");
    (format!("sqlite:{}", file.display()), file)
}

async fn kill(mut proxy: Proxy) {
    proxy.signal(Signal::KILL);
    proxy.exit_code().await;
}

/// A file system of its own, in memory, of so many bytes.
struct Disk(TempDir);

impl Disk {
    /// Nothing, aloud, where that is not allowed.
    async fn of(size: &str) -> Option<Self> {
        let folder = TempDir::new().expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]);
        let mounted = mount.arg(folder.path()).output().await;
        match mounted.is_ok_and(|it| it.status.success()) {
            true => Some(Self(folder)),
            false => say("SKIPPED: no file system may be mounted"),
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, since a process may be about to end there.
        let umount = std::process::Command::new("umount")
            .arg("-l")
            .arg(self.path())
            .status();
        assert!(umount.is_ok_and(|it| it.success()), "it was mounted");
    }
}

/// What is done to a file while nobody has it.
type Damage = fn(&Path, &mut StdRng);

const DAMAGES: [(&str, Damage); 3] = [
    ("cut off", |file, _| {
        let whole = fs::read(file).expect("a file");
        fs::write(file, &whole[..whole.len() / 3]).expect("a file");
    }),
    ("its first page is noise", |file, rng| {
        noise(file, 100..4_096, rng);
    }),
    ("all but its first page is noise", |file, rng| {
        let end = fs::metadata(file).expect("a file").len() as usize;
        noise(file, 4_096..end, rng);
    }),
];

fn noise(file: &Path, place: std::ops::Range<usize>, rng: &mut StdRng) {
    let mut bytes = fs::read(file).expect("a file");
    rng.fill(&mut bytes[place]);
    fs::write(file, bytes).expect("a file");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_moved_aside_loudly() {
    let scene = Scene::new().await;
    let mut rng = StdRng::seed_from_u64(seed());
    for (name, damage) in DAMAGES {
        let folder = TempDir::new().expect("a folder");
        let (store, file) = store(folder.path());
        let mut proxy = scene.start(&store, &[]).await;
        let mut before = Vec::new();
        for id in 0..30 {
            before.push(done(&proxy, id, 500).await);
        }
        // In order, so that everything is in the file.
        proxy.signal(Signal::TERM);
        assert_eq!(proxy.exit_code().await, Some(0));
        damage(&file, &mut rng);
        let damaged = fs::read(&file).expect("a file");
        let proxy = scene.start(&store, &[]).await;
        // As it was, for whoever can make something of it.
        let aside = files(folder.path());
        let aside: Vec<_> = aside.into_iter().filter(|it| *it != file).collect();
        let kept = aside
            .iter()
            .find(|it| fs::read(it).is_ok_and(|it| it == damaged));
        let kept = kept.unwrap_or_else(|| panic!("{name}: not among {aside:?}\n{}", proxy.log));
        let kept_name = kept.file_name().expect("a name").to_str().expect("text");
        let told = proxy
            .log
            .count(|line| line.text("level") == "ERROR" && line.0.to_string().contains(kept_name));
        assert_eq!(told, 1, "{name}: {kept_name} in {}", proxy.log);
        // And a new one.
        assert_eq!(proxy.fetch(&before[0]).await.status, 404, "{name}");
        let handed = done(&proxy, 100, 500).await;
        kill(proxy).await;
        let proxy = scene.start(&store, &[]).await;
        is_done(&proxy, &handed, 100, 500).await;
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).expect("a folder");
    files.map(|it| it.expect("a file").path()).collect()
}

/// Jobs until the disk has no room for more.
async fn hand_in_until_full(proxy: &Proxy, first: u64) -> Vec<(u64, Handed)> {
    let mut kept = Vec::new();
    within("a full disk", async {
        for id in first.. {
            let answer = proxy.send(Request::later(job(id, 20_000))).await;
            if answer.status != 202 {
                unavailable(&answer);
                assert_eq!(answer.json()["dispatched"], "no", "{answer:?}");
                break;
            }
            kept.push((id, Handed::of(&answer)));
        }
    })
    .await;
    kept
}

/// What was kept is still there. A look fails that meets a commit which does.
async fn can_be_read(proxy: &Proxy, handed: &Handed) {
    eventually("an answer on a full disk", || async {
        let answer = proxy.fetch(handed).await;
        if answer.status == 503 {
            unavailable(&answer);
        }
        (answer.status == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_said_and_heals() {
    let Some(disk) = Disk::of("2m").await else {
        return;
    };
    let scene = Scene::new().await;
    let (store, _) = store(disk.path());
    let filler = disk.path().join("of-somebody-else");
    let proxy = scene.start(&store, &[]).await;
    let first = done(&proxy, 0, 500).await;
    fs::write(&filler, vec![0; 1 << 20]).expect("room");
    let kept = hand_in_until_full(&proxy, 1).await;
    callers_notice_nothing(&proxy, 100_000).await;
    can_be_read(&proxy, &first).await;
    fs::remove_file(&filler).expect("the filler");
    heals(&proxy, 200_000).await;
    for (id, handed) in &kept {
        is_done(&proxy, handed, *id, 20_000).await;
        assert_eq!(scene.seen(*id), 1, "{id}");
    }
    kill(proxy).await;
    let proxy = scene.start(&store, &[]).await;
    is_done(&proxy, &first, 0, 500).await;
    for (id, handed) in &kept {
        is_done(&proxy, handed, *id, 20_000).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_may_not_grow_are_said_and_heal() {
    let scene = Scene::new().await;
    let folder = TempDir::new().expect("a folder");
    let (store, _) = store(folder.path());
    let proxy = scene.start_limited(&store).await;
    let first = done(&proxy, 0, 500).await;
    let limit = |bytes| {
        let pid = Pid::from_raw(proxy.process_id().try_into().expect("a process id"));
        let limit = Rlimit {
            current: bytes,
            maximum: None,
        };
        prlimit(pid, Resource::Fsize, limit).expect("a limit");
    };
    let largest = files(folder.path()).into_iter();
    let largest = largest
        .map(|it| fs::metadata(it).expect("a file").len())
        .max();
    limit(Some(largest.expect("a file") + 50_000));
    let kept = hand_in_until_full(&proxy, 1).await;
    callers_notice_nothing(&proxy, 100_000).await;
    can_be_read(&proxy, &first).await;
    limit(None);
    heals(&proxy, 200_000).await;
    for (id, handed) in &kept {
        is_done(&proxy, handed, *id, 20_000).await;
        assert_eq!(scene.seen(*id), 1, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_disk_is_refused_at_start() {
    let Some(disk) = Disk::of("4m").await else {
        return;
    };
    let scene = Scene::new().await;
    let (store, file) = store(disk.path());
    let mut proxy = scene.start(&store, &[]).await;
    let handed = done(&proxy, 0, 500).await;
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit_code().await, Some(0));
    let remount = async |option: &str| {
        let mut mount = Command::new("mount");
        mount
            .args(["-o", &format!("remount,{option}")])
            .arg(disk.path());
        let done = mount.status().await.expect("it is there");
        assert!(done.success(), "remount,{option}");
    };
    remount("ro").await;
    let log = scene.refused(&store, &[]).await;
    assert!(log.contains(file.to_str().expect("text")), "{log}");
    remount("rw").await;
    let proxy = scene.start(&store, &[]).await;
    is_done(&proxy, &handed, 0, 500).await;
    assert!(files(disk.path()).iter().all(|it| {
        it.file_name()
            .is_some_and(|it| it.to_string_lossy().starts_with("jobs.db"))
    }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_on_the_file_is_refused() {
    let scene = Scene::new().await;
    let folder = TempDir::new().expect("a folder");
    let (store, file) = store(folder.path());
    let proxy = scene.start(&store, &[]).await;
    let handed = done(&proxy, 0, 500).await;
    let log = scene.refused(&store, &[]).await;
    assert!(log.contains(file.to_str().expect("text")), "{log}");
    // The first has noticed nothing, and has not been damaged by it.
    is_done(&proxy, &handed, 0, 500).await;
    done(&proxy, 1, 500).await;
    // Its end gives the file free, however it comes.
    kill(proxy).await;
    let proxy = scene.start(&store, &[]).await;
    is_done(&proxy, &handed, 0, 500).await;
}
