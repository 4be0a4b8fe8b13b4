//! Power is lost: what was acknowledged is on the disk.
//!
//! The binary runs traced, so that there is a record, in one order, of what it wrote, what of
//! that was synced, and what it said to callers and to the upstream. From it a disk is made
//! that has lost power at any moment, with less or more of what was not synced; a store is
//! opened on it, and everything that was said until then is asked of it. The next life of the
//! process begins on one of those disks.

mod book;
mod disk;
mod trace;

use std::fs;
use std::path::Path;
use std::time::Duration;

use microbatch::later::Settings;
use microbatch::later::sqlite::Sqlite;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::book::Book;
use self::disk::{Disk, Loss};
use self::trace::Deed;
use crate::harness::Request;
use crate::harness::{Handed, Signal, command, eventually, send};
use crate::report::{number, say, seed};
use crate::scene::{Scene, job};

const CALLERS: u64 = 6;
const JOBS_EACH: u64 = 12;

/// How often power is lost in each life, in each way.
const MOMENTS: u64 = 40;

const SETTINGS: Settings = Settings {
    max_jobs: 100_000,
    max_bytes: 1 << 30,
    keep: Duration::from_secs(3600),
    job_timeout: Duration::from_secs(3600),
    max_wait: Duration::from_secs(1),
    max_attempts: 3,
};

/// One life, until it is killed: what it did, and what was deleted.
async fn live(
    scene: &Scene,
    folder: &Path,
    first: u64,
    rng: &mut StdRng,
) -> (Vec<Deed>, Vec<String>) {
    let notes = TempDir::new().expect("a folder");
    let notes = notes.path().join("trace");
    let store = format!("sqlite:{}", folder.join("jobs.db").display());
    let traced = trace::traced(&command(), &notes);
    let mut proxy = scene.starting_by(traced, &store, &[]).ready().await;
    let address = proxy.jobs_addr;
    let (to_delete, mut to_be_deleted) = mpsc::channel::<Handed>(64);
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (to_delete, mut rng) = (to_delete.clone(), StdRng::seed_from_u64(rng.random()));
        callers.spawn(async move {
            for n in 0..JOBS_EACH {
                let bytes = rng.random_range(0..3_000);
                let id = first + caller * JOBS_EACH + n;
                let handed = send(address, Request::later(job(id, bytes))).await;
                let handed = Handed::of(&handed);
                if rng.random_ratio(2, 3) {
                    let request = Request::new("GET", &handed.location);
                    send(address, request.header("prefer", "wait=30")).await;
                }
                if rng.random_ratio(1, 3) {
                    to_delete.send(handed).await.expect("it is read");
                }
            }
        });
    }
    drop(to_delete);
    let mut deletions = Vec::new();
    // One after the other, so that a 204 tells which it is of.
    while let Some(handed) = to_be_deleted.recv().await {
        let answer = send(address, Request::new("DELETE", &handed.location)).await;
        assert_eq!(answer.status, 204, "{answer:?}");
        deletions.push(handed.handle);
    }
    while let Some(ended) = callers.join_next().await {
        ended.expect("no panic");
    }
    let process = proxy.process_id();
    proxy.signal(Signal::KILL);
    proxy.exit_code().await;
    let trace = eventually("the end of the trace", || async {
        let trace = fs::read_to_string(&notes).expect("a trace");
        trace::is_complete(&trace, process).then_some(trace)
    })
    .await;
    (trace::deeds(&trace, folder), deletions)
}

/// Whether a store on this disk has what is in the book.
async fn is_kept(book: &Book, disk: &Path) -> Result<(), String> {
    let store = Sqlite::open(&disk.join("jobs.db"), &SETTINGS);
    let store = store.map_err(|error| error.to_string())?;
    book.holds(&store).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_a_loss_of_power() {
    if !trace::is_possible().await {
        return say("SKIPPED: no process may be traced by strace").unwrap_or_default();
    }
    let scene = Scene::new().await;
    let seed = seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let lives = number("MICROBATCH_ROUNDS").unwrap_or(75).div_ceil(25);
    let mut book = Book::default();
    let mut folder = TempDir::new().expect("a folder");
    let (mut images, mut syncs) = (0, 0);
    for life in 0..lives {
        let path = folder.path().canonicalize().expect("a folder");
        let mut disk = Disk::of(&path);
        let first = life * CALLERS * JOBS_EACH;
        let (deeds, deletions) = live(&scene, &path, first, &mut rng).await;
        book.begin_life(first + CALLERS * JOBS_EACH, deletions);
        let all_syncs = deeds
            .iter()
            .filter(|it| matches!(it, Deed::Synced(_)))
            .count();
        syncs += all_syncs;
        assert!(all_syncs > 0, "nothing was synced");
        // Mostly just before something is synced, or just after.
        let often = (MOMENTS as f64 / 2.0 / all_syncs as f64).min(1.0);
        let seldom = (MOMENTS as f64 / 4.0 / deeds.len() as f64).min(1.0);
        let last = rng.random_range(deeds.len() / 2..deeds.len());
        let mut next = None;
        for (n, deed) in deeds.iter().enumerate() {
            let is_synced = matches!(deed, Deed::Synced(_)) && rng.random_bool(often);
            if n == last || is_synced || rng.random_bool(seldom) {
                images += try_it(
                    &book,
                    &disk,
                    &mut rng,
                    &format!("before {n} of life {life}, SEED={seed}"),
                )
                .await;
            }
            if n == last {
                let image = TempDir::new().expect("a folder");
                disk.lose_power(Loss::Something, &mut rng, image.path());
                next = Some((image, book.clone()));
            }
            disk.does(deed);
            book.hear(deed);
            if is_synced {
                images += try_it(
                    &book,
                    &disk,
                    &mut rng,
                    &format!("after {n} of life {life}, SEED={seed}"),
                )
                .await;
            }
        }
        assert!(book.told() > 0, "nothing was answered");
        (folder, book) = next.expect("one of them");
    }
    let kept = book.kept();
    say::<()>(&format!(
        "power was lost on {images} disks around {syncs} syncs; {kept} jobs at the end"
    ));
}

/// A folder on which syncing costs nothing, where there is one.
fn in_memory() -> TempDir {
    TempDir::new_in("/dev/shm")
        .or_else(|_| TempDir::new())
        .expect("a folder")
}

/// Loses power in each way at this moment, and looks.
async fn try_it(book: &Book, disk: &Disk, rng: &mut StdRng, moment: &str) -> u32 {
    for loss in Loss::ALL {
        let image = in_memory();
        disk.lose_power(loss, rng, image.path());
        if let Err(why) = is_kept(book, image.path()).await {
            panic!("{moment}, with a loss of {loss:?}: {why}");
        }
    }
    Loss::ALL.len() as u32
}
