//! The end, among those who have not heard of it.

use microbatch_concurrency::batcher::{Batcher, OnFull, Settings};
use microbatch_concurrency::explore::explore;

use super::harness::*;

/// Room for two, and callers inside, outside and yet to come.
fn crowded() -> TestBatcher {
    let settings = Settings {
        queue_jobs: 2,
        on_full: OnFull::Wait,
        ..settings()
    };
    Batcher::new(settings, |mut batch: TestBatch| async move {
        if choose(3) == 0 {
            batch.rest();
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
fn a_house_that_closes_becomes_vacant() {
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
