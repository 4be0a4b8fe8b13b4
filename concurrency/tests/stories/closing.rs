//! The end, among those who have not heard of it.

use microbatch_batcher::{Batcher, OnFull, Settings};
use shuttle::future::yield_now;
use tokio::explore::explore;
use tokio::runtime;

use super::harness::*;

/// Room for two, and callers inside, outside and yet to come.
fn crowded() -> TestBatcher {
    let settings = Settings {
        queue_items: 2,
        on_full: OnFull::Wait,
        ..settings()
    };
    Batcher::with_batches(settings, |mut batch: TestBatch| async move {
        if choose(3) == 0 {
            batch.park();
            batch.resume(batch.slot().await);
        }
        dawdle(2).await;
        answer(batch);
    })
}

/// It closes, gives up what is queued at some moment or not at all, and waits
/// until it is vacant. An odd item that nobody completes must leave all the same,
/// a late one be refused, and the last to go must be noticed.
#[test]
fn a_closed_batcher_becomes_vacant() {
    explore(|| async {
        let batcher = crowded();
        let callers = (0..5).map(|key| spawn(call(batcher.clone(), key, NEVER)));
        let callers = callers.collect();
        let closing = batcher.clone();
        let closer = spawn(async move {
            dawdle(4).await;
            closing.close();
            if choose(2) == 0 {
                dawdle(4).await;
                closing.abandon();
            }
            closing.vacated().await;
            assert_eq!(closing.snapshot().in_flight, 0);
        });
        let seen = join(callers).await;
        closer.await.unwrap();
        settled(batcher, seen).await;
    });
}

/// The runtime ends under threads that go on to submit, leave, flush and wait.
/// Tasks are dropped wherever they are, and new ones at once: whoever waits must
/// be told, and a caller of `vacated` must see that it is.
#[test]
fn no_caller_outlasts_the_runtime_unanswered() {
    explore(|| async {
        let batcher = crowded();
        let callers = (0..4).map(|key| spawn(call(batcher.clone(), key, NEVER)));
        let callers = callers.collect();
        let waiting = batcher.clone();
        let waiter = spawn(async move {
            yield_now().await;
            waiting.flush();
            waiting.close();
            waiting.vacated().await;
        });
        let ender = spawn(async {
            dawdle(6).await;
            runtime::end();
        });
        let seen = join(callers).await;
        waiter.await.unwrap();
        ender.await.unwrap();
        settled(batcher, seen).await;
    });
}
