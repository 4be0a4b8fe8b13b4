//! What a crash leaves: the file and its log as they were at some moment.

use std::fs;

use proptest::prelude::*;
use tokio::runtime::Builder;

use super::*;
use crate::later::backlog::Which;
use crate::later::store::Look;
use crate::later::suite_tests::{SETTINGS, answer, new, on_stream, with_key};
use crate::observe::RecordCounts;

/// The path of a store that is open.
fn path_of(store: &Sqlite) -> PathBuf {
    FILES.with_borrow(|it| it[&name(store)].1.clone())
}

fn log_of(path: &Path) -> PathBuf {
    path.with_extension("db-wal")
}

/// What a crash at this moment leaves, in a directory of its own.
fn copy(store: &Sqlite) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (path_of(store), directory.path().join("jobs.db"));
    fs::copy(&from, &to).unwrap();
    fs::copy(log_of(&from), log_of(&to)).unwrap();
    (directory, to)
}

/// Counts as they are once nobody has claimed anything, and nobody knows what was read.
fn unclaimed(counts: &CountsByRoute) -> RecordCounts {
    let mut counts = counts.total();
    counts.present[0] += std::mem::take(&mut counts.present[1]);
    counts.expired_unread += std::mem::take(&mut counts.expired_read);
    counts.oldest_queued = None;
    counts
}

#[derive(Clone, Debug)]
enum Step {
    Accept(u8),
    Claim(usize),
    Release(usize),
    Pause(usize),
    Finish(usize, usize),
    Delete(usize),
    Expire,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..4_u8).prop_map(Step::Accept),
        3 => (1..4_usize).prop_map(Step::Claim),
        1 => (0..99_usize).prop_map(Step::Release),
        1 => (0..99_usize).prop_map(Step::Pause),
        4 => (0..99_usize, 0..5000_usize).prop_map(|(which, bytes)| Step::Finish(which, bytes)),
        1 => (0..99_usize).prop_map(Step::Delete),
        1 => Just(Step::Expire),
    ];
    proptest::collection::vec(step, 1..30)
}

/// Does it, until it is acknowledged.
async fn take(store: &Sqlite, step: &Step, made: &mut Vec<Handle>) {
    let nth = |which: &usize| which.checked_rem(made.len()).map(|it| made[it]);
    match step {
        Step::Accept(kind) => {
            let id = made.len() as u64;
            let record = match kind {
                0 => new(id, 10),
                1 => new(id, 6000),
                2 => on_stream(id, "s"),
                _ => with_key(id, "k", 1),
            };
            let handle = record.handle;
            if let Ok(Accepted::New(_)) = store.accept(vec![record]).await.remove(0) {
                made.push(handle);
            }
        }
        Step::Claim(max_items) => {
            let claim = Claim {
                route: RouteName::jobs(),
                max_items: *max_items,
                max_bytes: usize::MAX,
                which: Which::Any,
            };
            Backlog::claim(store, claim).await.unwrap();
        }
        Step::Release(which) => store
            .release(nth(which).into_iter().collect())
            .await
            .unwrap(),
        Step::Pause(which) => {
            let handles = nth(which).into_iter().collect();
            store.queued_again(handles).await.unwrap();
        }
        Step::Finish(which, bytes) => {
            let answers = nth(which).map(|it| (it, answer(200, *bytes)));
            store.finish(answers.into_iter().collect()).await.unwrap();
        }
        Step::Delete(which) => {
            if let Some(handle) = nth(which) {
                store.delete(handle).await.unwrap();
            }
        }
        Step::Expire => {
            tokio::time::advance(SETTINGS.keep / 2).await;
            store.expire(clock::now()).await.unwrap();
        }
    }
}

/// A copy has what the store has acknowledged.
async fn is_whole(store: &Sqlite, copied: &Sqlite, made: &[Handle]) {
    assert_eq!(unclaimed(&copied.counts()), unclaimed(&store.counts()));
    for handle in made {
        let one = store.fetch(*handle, Look::ForState).await.unwrap();
        let other = copied.fetch(*handle, Look::ForState).await.unwrap();
        assert_eq!(one.is_some(), other.is_some());
        if let Some((one, other)) = one.zip(other) {
            assert_eq!((&one.id, &one.answer), (&other.id, &other.answer));
            assert_eq!(one.expires_at, other.expires_at);
            assert_eq!(one.state.is_finished(), other.state.is_finished());
        }
    }
    let stream = StreamName::new("s").unwrap();
    let page = async |it: &Sqlite, after| it.read_stream(&stream, after, 99).await.unwrap();
    let (one, other) = (page(store, None).await, page(copied, None).await);
    assert_eq!((&one.answers, one.next), (&other.answers, other.next));
    let first = page(copied, Some(one.next)).await;
    assert!(!first.gap && first.answers.is_empty());
    // What was sent is interrupted, and all that has no answer is to be had.
    let waits = unclaimed(&store.counts()).present[0];
    assert_eq!(copied.waiting(&RouteName::jobs()).jobs, waits);
    let sent = store.counts().total().present[1];
    let mut interrupted = 0;
    loop {
        let claim = Claim {
            route: RouteName::jobs(),
            max_items: 1,
            max_bytes: usize::MAX,
            which: Which::Any,
        };
        let claimed = Backlog::claim(copied, claim).await.unwrap();
        interrupted += claimed.iter().filter(|it| it.interrupted == 1).count();
        assert!(
            claimed
                .iter()
                .all(|it| !it.job.is_empty() && it.interrupted < 2)
        );
        if claimed.is_empty() {
            break;
        }
    }
    assert_eq!(interrupted as u64, sent);
}

fn run(test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(test);
}

#[test]
fn what_is_acknowledged_is_there_after_a_crash_between_any_two_steps() {
    let config = ProptestConfig::with_cases(24);
    proptest!(config, |(steps in steps())| {
        run(async {
            let store = InFile::make(&SETTINGS).await;
            let mut made = Vec::new();
            for step in &steps {
                take(&store, step, &mut made).await;
                let (_directory, path) = copy(&store);
                let copied = open(&path, &SETTINGS).unwrap();
                is_whole(&store, &copied, &made).await;
            }
        });
    });
}

/// A log that ends anywhere is one that ends after a step.
#[test]
fn a_crash_in_a_step_is_one_before_it_or_after_it() {
    let config = ProptestConfig::with_cases(24);
    proptest!(config, |(steps in steps(), cuts in proptest::collection::vec(0.0..1.0, 8))| {
        run(async {
            let store = InFile::make(&SETTINGS).await;
            let (mut made, mut after) = (Vec::new(), Vec::new());
            let length = |it: &Path| fs::metadata(log_of(it)).unwrap().len();
            for step in &steps {
                take(&store, step, &mut made).await;
                after.push((length(&path_of(&store)), unclaimed(&store.counts())));
            }
            let (first, last) = (after[0].0, after[after.len() - 1].0);
            for cut in cuts {
                let end = first + ((last - first) as f64 * cut) as u64;
                let (_directory, path) = copy(&store);
                let log = fs::OpenOptions::new().write(true).open(log_of(&path)).unwrap();
                log.set_len(end).unwrap();
                drop(log);
                let copied = open(&path, &SETTINGS).unwrap();
                let expected = after.iter().rfind(|it| it.0 <= end).unwrap();
                assert_eq!(unclaimed(&copied.counts()), expected.1);
            }
        });
    });
}
