//! Every item is answered once, or its caller has left.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use microbatch_batcher::{Batcher, OnFull, Settings};
use shuttle::future::yield_now;
use shuttle::sync::atomic::AtomicUsize;
use shuttle::thread;
use tokio::explore::{explore, explore_twice};
use tokio::time::Instant;

use super::harness::*;

/// Callers of all kinds, two slots, and a processor that answers, tarries,
/// forgets some members or all. An item could be lost between queue, batch and
/// reply, be counted twice as it leaves, or keep its place.
async fn contention() {
    let settings = Settings {
        max_in_flight: 2,
        max_wait: MS,
        queue_items: 2,
        on_full: OnFull::Wait,
        ..settings()
    };
    let batcher = Batcher::with_batches(settings, |mut batch: TestBatch| async move {
        let kind = choose(4);
        dawdle(2).await;
        match kind {
            0 => drop(batch),
            1 => batch.answer_expired(Instant::now(), |member| own(*member.item())),
            _ => answer(batch),
        }
    });
    let callers = (0..6).map(|key| {
        let stay = if key % 3 == 0 { MS } else { NEVER };
        // Every other pair has one key.
        spawn(call(batcher.clone(), key / 2 * 2, stay))
    });
    let seen = join(callers.collect()).await;
    settled(batcher, seen).await;
}

#[test]
fn every_item_is_answered_once_or_its_caller_has_left() {
    explore(contention);
}

/// Or else a schedule that was printed could not be run again.
#[test]
fn the_schedule_is_all_that_a_story_depends_on() {
    explore_twice(contention);
}

/// Its caller leaves while another item completes the batch: it is in the queue,
/// in the batch, or changing between. It could be taken out of both, or of
/// neither, and the other one's batch could go on without anybody.
#[test]
fn a_caller_that_departs_with_the_batch_is_counted_once() {
    explore(|| async {
        let (batcher, mut batches) = by_hand(settings());
        let leaving = submit(&batcher, 1);
        let leaver = spawn(async move { drop(leaving) });
        let completing = batcher.clone();
        let completer = thread::spawn(move || submit(&completing, 2));
        let other = completer.join().unwrap();
        leaver.await.unwrap();
        batcher.flush();
        let batch = batches.recv().await.unwrap();
        let counts = batcher.snapshot();
        assert_eq!(counts.cancelled_queued + counts.cancelled_in_flight, 1);
        assert_eq!(batch.len() as u64, 1 + counts.cancelled_in_flight);
        let abandoned = batch.abandoned();
        let last = spawn(async move { drop(other) });
        abandoned.await;
        last.await.unwrap();
        drop(batch);
        settled(
            batcher,
            [Seen {
                left: 2,
                ..Seen::default()
            }],
        )
        .await;
    });
}

/// The number of slots goes up and down below the load. A free slot could be
/// left unused, so that the last items wait forever, or one be used twice.
#[test]
fn slots_come_and_go() {
    explore(|| async {
        let busy = Arc::new(AtomicUsize::new(0));
        let processing = Arc::clone(&busy);
        let settings = Settings {
            max_size: 1,
            ..settings()
        };
        let batcher = Batcher::with_batches(settings, move |batch: TestBatch| {
            let busy = Arc::clone(&processing);
            async move {
                assert!(busy.fetch_add(1, Ordering::SeqCst) < 3);
                yield_now().await;
                busy.fetch_sub(1, Ordering::SeqCst);
                answer(batch);
            }
        });
        let callers = (0..5).map(|key| spawn(call(batcher.clone(), key, NEVER)));
        let callers = callers.collect();
        let changing = batcher.clone();
        let changer = spawn(async move {
            for limit in [3, 1, 2, 0] {
                changing.set_max_in_flight(limit);
                yield_now().await;
            }
        });
        let seen = join(callers).await;
        changer.await.unwrap();
        assert_eq!(batcher.snapshot().max_in_flight, 1);
        settled(batcher, seen).await;
    });
}
