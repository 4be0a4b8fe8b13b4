//! Batchers that come and go on runtimes that they share.

use microbatch_batcher::{Batcher, Settings};
use tokio::explore::explore;
use tokio::runtime;

use super::harness::*;

/// A batcher that lives for as long as its only item: it leaves by the clock of the
/// runtime that it was submitted on, once its wait is over.
async fn short_lived(primary: usize, other: Option<usize>) {
    let settings = Settings {
        max_wait: MS,
        ..settings()
    };
    let batcher = runtime::at(primary, || {
        Batcher::with_batches(settings, |batch| async move {
            dawdle(1).await;
            answer(batch);
        })
    });
    let batcher = match other {
        Some(other) => runtime::at(other, || batcher.on_this_runtime()),
        None => batcher,
    };
    dawdle(2).await;
    assert_eq!(submit(&batcher, 1).await, Ok(own(1)));
}

/// The tasks of a runtime end with its last batcher and come with its first: one that
/// comes as the last goes could be served by tasks that end, and wait forever.
#[test]
fn a_batcher_is_served_whichever_others_come_and_go() {
    explore(|| async {
        let batchers = [(0, None), (0, Some(1)), (1, None), (1, Some(0)), (0, None)];
        let batchers = batchers.map(|(primary, other)| {
            spawn(async move {
                dawdle(3).await;
                short_lived(primary, other).await;
            })
        });
        join(batchers.into()).await;
    });
}

/// The clock of a runtime serves the batcher whose time comes first, whichever set its
/// alarm first and whichever is gone by then.
#[test]
fn one_clock_serves_all_batchers_of_a_runtime() {
    explore(|| async {
        let batchers: Vec<_> = (1..4)
            .map(|waits| {
                let settings = Settings {
                    max_wait: waits * MS,
                    ..settings()
                };
                Batcher::with_batches(settings, |batch| async move { answer(batch) })
            })
            .collect();
        let callers = batchers.into_iter().rev().map(|batcher| {
            spawn(async move {
                let seen = call(batcher.clone(), 1, NEVER).await;
                settled(batcher, [seen]).await;
            })
        });
        join(callers.collect()).await;
    });
}
