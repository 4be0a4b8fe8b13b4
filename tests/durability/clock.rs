//! The clock of the wall jumps back, while the process runs or between two of them: what
//! there is stays, nothing waits until it is as late again.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::Command;

use crate::harness::{Proxy, Signal};
use crate::redis::{LASTING, Redis};
use crate::report::skip;
use crate::scene::{Scene, callers_notice_nothing, done, is_done, job};

const HOUR: i64 = 3_600;

/// A clock for processes of ours.
struct Clock {
    folder: TempDir,
}

impl Clock {
    /// Nothing, aloud, where it can't be built.
    async fn build() -> Option<Self> {
        let folder = TempDir::new().expect("a folder");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/durability/clock.c");
        let clock = Self { folder };
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]);
        let built = compiler.arg(clock.library()).arg(source).output().await;
        clock.set(0);
        match built {
            Ok(it) if it.status.success() => Some(clock),
            other => skip(&format!("the clock can't be built: {other:?}")),
        }
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("clock.so")
    }

    fn offset(&self) -> PathBuf {
        self.folder.path().join("offset")
    }

    /// So many seconds from the true time, at once.
    fn set(&self, seconds: i64) {
        // In its place, since processes have it in their memory.
        let options = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.offset());
        let written = options.and_then(|it| it.write_all_at(&seconds.to_ne_bytes(), 0));
        written.expect("the offset is written");
    }
}

async fn jumps_back(clock: &Clock, store: &str) {
    let scene = Scene::new().await;
    let (library, offset) = (clock.library(), clock.offset());
    let env = [
        ("LD_PRELOAD", library.to_str().expect("text")),
        ("CLOCK_OFFSET", offset.to_str().expect("text")),
        ("MICROBATCH_LATER__MAX_WAIT", "300ms"),
        ("MICROBATCH_LATER__LEASE", "3s"),
        // What the kill finds on its way is done all the same.
        ("MICROBATCH_UPSTREAM__IDEMPOTENT", "true"),
    ];
    clock.set(0);
    let mut proxy = scene.start(store, &env).await;
    let finished = done(&proxy, 0, 100).await;
    let mut next = 1;
    let mut all = vec![(0, finished)];
    for back in 1..=3 {
        // Some wait as it jumps.
        let waiting = hand_in(&proxy, &mut next).await;
        clock.set(-HOUR * back);
        let after = hand_in(&proxy, &mut next).await;
        if back == 2 {
            // And nobody has seen the time before.
            proxy.signal(Signal::KILL);
            proxy.exit_code().await;
            proxy = scene.start(store, &env).await;
        }
        all.extend(waiting.into_iter().chain(after));
        callers_notice_nothing(&proxy, 1_000).await;
        for (id, handed) in &all {
            is_done(&proxy, handed, *id, 100).await;
            assert!(scene.seen(*id) > 0);
        }
    }
}

async fn hand_in(proxy: &Proxy, next: &mut u64) -> Vec<(u64, crate::harness::Handed)> {
    let mut handed = Vec::new();
    for id in *next..*next + 3 {
        handed.push((id, proxy.hand_in(&job(id, 100)).await));
    }
    *next += 3;
    handed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_outlives_a_clock_that_jumps_back() {
    let Some(clock) = Clock::build().await else {
        return;
    };
    let folder = TempDir::new().expect("a folder");
    let store = format!("sqlite:{}", folder.path().join("jobs.db").display());
    jumps_back(&clock, &store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_outlive_a_clock_that_jumps_back() {
    let Some(clock) = Clock::build().await else {
        return;
    };
    let Some(redis) = Redis::start(&LASTING).await else {
        return;
    };
    let store = format!("unix://{}", redis.socket().display());
    jumps_back(&clock, &store).await;
}
