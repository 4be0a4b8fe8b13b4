//! Items of several keys that weigh more or less.

use microbatch_batcher::{Batcher, OnFull, Settings};
use tokio::explore::explore;

use super::harness::*;

/// The keys of an item: its own, and one that the next has too.
fn keys(item: u64) -> [u64; 2] {
    [item, item + 1]
}

fn weight(item: u64) -> usize {
    1 + item as usize % 3
}

/// Each waits for the one before it, while callers leave and expire, and some alone are
/// more than a batch may be. Two could meet that have a key in common, or one wait for
/// another that is gone.
#[test]
fn items_that_follow_one_another_leave_one_by_one() {
    explore(|| async {
        let settings = Settings {
            max_in_flight: 2,
            max_wait: 2 * MS,
            queue_items: 4,
            on_full: OnFull::Wait,
            ..settings()
        };
        let batcher = Batcher::with_batches(settings, |batch: TestBatch| async move {
            let items = || batch.members().iter().map(|it| *it.item());
            let mut all: Vec<_> = items().flat_map(keys).collect();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), 2 * batch.len(), "a key in common");
            assert!(batch.weight() <= 2 || batch.len() == 1);
            assert_eq!(batch.weight(), items().map(weight).sum::<usize>());
            dawdle(2).await;
            answer(batch);
        });
        let callers = (0..5).map(|item| {
            let stay = if item == 2 { MS } else { NEVER };
            let also = move |it: Options| it.keys(keys(item)).weight(weight(item));
            spawn(call_with(batcher.clone(), also, item, stay))
        });
        let seen = join(callers.collect()).await;
        settled(batcher, seen).await;
    });
}
