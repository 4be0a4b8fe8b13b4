//! Who waits how long, and for whom: equal keys and near deadlines, on a paused
//! clock.

use std::time::Duration;

use proptest::prelude::*;
use tokio::runtime::Builder;
use tokio::time::{Instant, advance, sleep};

use super::tests::{FAR, Job, MS, Put, answer, by_hand, keys, submit};
use super::*;

/// Room for 100, batches of 5, one slot.
fn hundred(on_full: OnFull) -> Settings {
    Settings {
        max_size: 5,
        max_in_flight: 1,
        queue_items: 100,
        on_full,
        ..Settings::default()
    }
}

#[tokio::test(start_paused = true)]
async fn items_of_one_key_leave_nine_tenths_of_the_queue_to_others() {
    for on_full in [OnFull::Reject, OnFull::Wait] {
        let (batcher, mut batches) = by_hand(hundred(on_full));
        let _in_flight = submit(&batcher, 1);
        batcher.flush();
        let first = batches.recv().await.unwrap();
        // The first of them waits for a slot, ten for one another.
        let mut same: Vec<_> = (0..11).map(|_| submit(&batcher, 7)).collect();
        let refused = batcher.put(Job(7, 1), Instant::now() + FAR).unwrap_err();
        assert_eq!(
            refused,
            Error::KeyFull {
                room_in: Duration::from_secs(1)
            }
        );
        // No other key's follower has room either, but any other item has.
        let _others: Vec<_> = (100..189).map(|key| submit(&batcher, key)).collect();
        assert_eq!(batcher.snapshot().queued, 100);
        let full = batcher.put(Job(1_000, 1), Instant::now() + FAR);
        assert_eq!(full.is_ok(), on_full == OnFull::Wait);

        // One that leaves makes room for one.
        drop(same.pop());
        let _another = submit(&batcher, 7);
        drop(first);
    }
}

#[tokio::test(start_paused = true)]
async fn the_overflow_is_not_filled_by_one_key_either() {
    let (batcher, _batches) = by_hand(Settings {
        max_size: 5,
        max_wait: FAR,
        queue_items: 4,
        on_full: OnFull::Wait,
        ..Settings::default()
    });
    let deadline = Instant::now() + FAR;
    let others: Vec<_> = (0..4).map(|key| submit(&batcher, key)).collect();
    // One leads them, though it is in the overflow, and one full batch may follow.
    let _same: Vec<_> = (0..6).map(|_| submit(&batcher, 7)).collect();
    assert_eq!(batcher.snapshot().waiting_for_room, 6);
    let refused = batcher.put(Job(7, 1), deadline).unwrap_err();
    assert!(matches!(refused, Error::KeyFull { .. }));
    assert!(batcher.put(Job(8, 1), deadline).is_ok(), "another key");
    // They enter in turn, and hold nobody up.
    drop(others);
    assert_eq!(batcher.snapshot().queued, 4);
    assert_eq!(batcher.snapshot().waiting_for_room, 2);
}

#[tokio::test(start_paused = true)]
async fn items_kept_apart_by_their_keys_are_counted_once() {
    let (batcher, mut batches) = by_hand(Settings {
        max_size: 3,
        ..Settings::default()
    });
    let kept_apart = || batcher.snapshot().kept_apart;
    let _replies = [1, 1, 1, 2, 3].map(|key| submit(&batcher, key));
    let first = batches.recv().await.unwrap();
    assert_eq!((keys(&first), kept_apart()), (vec![1, 2, 3], 2));
    // The third is passed over once more.
    batcher.flush();
    assert_eq!(keys(&batches.recv().await.unwrap()), [1]);
    assert_eq!(keys(&batches.recv().await.unwrap()), [1]);
    assert_eq!(kept_apart(), 2);
    // It would not have been in that batch anyway.
    let _replies = [4, 5, 6, 4].map(|key| submit(&batcher, key));
    assert_eq!(keys(&batches.recv().await.unwrap()), [4, 5, 6]);
    assert_eq!(kept_apart(), 2);
}

/// A full batch is held up by the interval, and everybody goes on submitting.
#[tokio::test(start_paused = true)]
async fn submitting_looks_at_no_more_the_more_wait() {
    let (batcher, mut batches) = by_hand(Settings {
        max_size: 10_000,
        max_bytes: 5_000,
        min_interval: FAR,
        queue_items: 20_000,
        ..Settings::default()
    });
    let _first = submit(&batcher, 0);
    batcher.flush();
    answer(batches.recv().await.unwrap());
    let visits = || batcher.0.lock().visits();
    let before = visits();
    let _replies: Vec<_> = (1..=10_000).map(|key| submit(&batcher, key)).collect();
    assert_eq!(batcher.snapshot().queued, 10_000);
    let looks = visits() - before;
    assert!(looks <= 10 * 10_000, "{looks} looks");
}

#[tokio::test(start_paused = true)]
async fn a_near_deadline_has_the_batch_leave_when_half_of_the_time_is_over() {
    let (batcher, mut batches) = by_hand(Settings {
        max_wait: 3_000 * MS,
        ..Settings::default()
    });
    let start = Instant::now();
    let _patient = submit(&batcher, 1);
    advance(100 * MS).await;
    let _hasty = batcher.put(Job(2, 1), start + 1_100 * MS).unwrap();
    let batch = batches.recv().await.unwrap();
    assert_eq!(
        (keys(&batch), batch.reason()),
        (vec![1, 2], FlushReason::Wait)
    );
    assert_eq!(batch.left() - start, 600 * MS);
}

/// Each item comes some time after the last one, and has so long to live.
fn arrivals() -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
    prop::collection::vec((0..20_u64, 4..200_u64, 0..6_u64), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_item_expires_while_slots_are_free(
        items in arrivals(),
        max_wait in 0..150_u64,
        max_size in 1..8_usize,
        queue_items in 1..12_usize,
        wait in prop_oneof![Just(Wait::Fixed), Just(Wait::Adaptive)],
        on_full in prop_oneof![Just(OnFull::Reject), Just(OnFull::Wait)],
    ) {
        let mut runtime = Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        let expired = runtime.block_on(async {
            let settings = Settings {
                max_wait: Duration::from_millis(max_wait),
                max_size,
                max_in_flight: usize::MAX,
                queue_items,
                wait,
                on_full,
                ..Settings::default()
            };
            let batcher = Batcher::with_batches(settings, |mut batch: Batch<Job, u64>| async move {
                batch.answer_all(|member| member.item().0);
            });
            let mut replies = Vec::new();
            for (gap, lives, key) in items {
                sleep(Duration::from_millis(gap)).await;
                let deadline = Instant::now() + Duration::from_millis(lives);
                replies.extend(batcher.put(Job(key, 1), deadline).ok());
            }
            let mut expired = 0;
            for reply in replies {
                expired += usize::from(reply.await.is_err());
            }
            expired
        });
        prop_assert_eq!(expired, 0);
    }
}
