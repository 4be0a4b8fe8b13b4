//! Batches that give their slot back for a while, and batches that split.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, advance, sleep, timeout};

use super::tests::{Batches, FAR, Job, MS, Put, answer, by_hand, keys, submit};
use super::*;

/// One slot, full at two items, and room for four more.
fn one_slot() -> (Batcher<Job, u64>, Batches) {
    by_hand(Settings {
        max_size: 2,
        max_in_flight: 1,
        queue_items: 4,
        ..Settings::default()
    })
}

fn poll<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Fails rather than hangs.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let soon = timeout(FAR, future).await;
    soon.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

async fn next(batches: &mut Batches) -> Batch<Job, u64> {
    soon("a batch", batches.recv()).await.unwrap()
}

fn queued(batcher: &Batcher<Job, u64>) -> (usize, usize) {
    let now = batcher.snapshot();
    (now.queued, now.queued_bytes)
}

#[tokio::test(start_paused = true)]
async fn a_parked_batch_lets_others_use_its_slot_and_its_members_wait() {
    let (batcher, mut batches) = one_slot();
    let _first = [1, 2].map(|key| submit(&batcher, key));
    let mut first = next(&mut batches).await;
    let _second = [3, 4].map(|key| submit(&batcher, key));
    assert_eq!(queued(&batcher), (2, 2));
    first.park();
    // The two that are parked, while the two that waited have their slot.
    assert_eq!(queued(&batcher), (2, 2));
    let second = next(&mut batches).await;
    assert_eq!(keys(&second), [3, 4]);
    assert_eq!(batcher.snapshot().in_flight, 1);
    let _third = [5, 6].map(|key| submit(&batcher, key));
    let full = batcher.put(Job(7, 1), Instant::now() + FAR).unwrap_err();
    assert!(matches!(full, Error::Full { .. }));

    // The parked batch goes first.
    let mut slot = pin!(first.slot());
    assert!(poll(slot.as_mut()).is_pending());
    answer(second);
    first.resume(soon("a slot", slot).await);
    assert_eq!(queued(&batcher), (2, 2));
    assert_eq!(keys(&first), [1, 2]);
    answer(first);
    assert_eq!(keys(&next(&mut batches).await), [5, 6]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_lined_up_before_it_is_parked_loses_no_turn() {
    let (batcher, mut batches) = one_slot();
    let _replies = [1, 2, 3, 4].map(|key| submit(&batcher, key));
    let mut batch = next(&mut batches).await;
    let slot = batch.slot();
    batch.park();
    batch.resume(soon("a slot", slot).await);
    assert_eq!(batcher.snapshot().in_flight, 1);
    assert!(batches.try_recv().is_err());
    answer(batch);
    assert_eq!(keys(&next(&mut batches).await), [3, 4]);
}

#[tokio::test(start_paused = true)]
async fn the_first_slot_is_that_of_the_first_in_line() {
    let (batcher, mut batches) = by_hand(Settings {
        max_size: 2,
        max_in_flight: 1,
        ..Settings::default()
    });
    let _replies = [1, 2, 3, 4].map(|key| submit(&batcher, key));
    let mut first = next(&mut batches).await;
    first.park();
    let mut second = next(&mut batches).await;
    second.park();
    let _third = [5, 6].map(|key| submit(&batcher, key));
    let third = next(&mut batches).await;
    let (mut one, mut other) = (pin!(first.slot()), pin!(second.slot()));
    answer(third);
    assert!(poll(other.as_mut()).is_pending());
    drop(soon("a slot", one.as_mut()).await);
    drop(soon("a slot", other).await);
}

#[tokio::test(start_paused = true)]
async fn members_of_a_parked_batch_give_their_room_back_at_once() {
    let (batcher, mut batches) = one_slot();
    let deadline = Instant::now() + 10 * MS;
    let hasty = batcher.put(Job(1, 10), deadline).unwrap();
    let leaves = batcher.put(Job(2, 100), Instant::now() + FAR).unwrap();
    let mut batch = next(&mut batches).await;
    batch.park();
    assert_eq!(queued(&batcher), (2, 110));
    drop(leaves);
    assert_eq!(queued(&batcher), (1, 10));
    advance(10 * MS).await;
    batch.answer_expired(Instant::now(), |_| 7);
    assert_eq!(queued(&batcher), (0, 0));
    assert_eq!(hasty.await, Ok(7));
    // The one that left is dropped before the batch leaves again.
    batch.resume(soon("a slot", batch.slot()).await);
    assert!(batch.is_empty());
    drop(batch);
    soon("the batcher to be vacant", batcher.vacated()).await;
    let counts = batcher.snapshot();
    assert_eq!((counts.accepted, counts.cancelled_in_flight), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn room_of_a_parked_batch_goes_to_the_overflow() {
    for end in ["its caller leaves", "answered", "dropped", "resumed"] {
        let (batcher, mut batches) = by_hand(Settings {
            max_size: 1,
            max_in_flight: 2,
            queue_items: 1,
            on_full: OnFull::Wait,
            ..Settings::default()
        });
        let mut first = Some(submit(&batcher, 1));
        let mut parked = Some(next(&mut batches).await);
        parked.as_mut().unwrap().park();
        let outside = submit(&batcher, 2);
        assert!(outside.found_no_room());
        assert_eq!(batcher.snapshot().waiting_for_room, 1);
        // The clock has seen to all that, and sleeps.
        sleep(MS).await;
        let start = Instant::now();
        match (end, &mut parked) {
            ("its caller leaves", _) => drop(first.take()),
            ("answered", Some(batch)) => batch.answer_all(|_| 7),
            ("resumed", Some(batch)) => batch.resume(soon("a slot", batch.slot()).await),
            (_, parked) => drop(parked.take()),
        }
        assert_eq!(batcher.snapshot().waiting_for_room, 0, "{end}");
        // And at once: nothing else has to happen.
        assert_eq!(keys(&next(&mut batches).await), [2], "{end}");
        assert_eq!(start.elapsed(), Duration::ZERO, "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn members_of_a_resumed_batch_have_no_room_to_give_back() {
    let (batcher, mut batches) = one_slot();
    let [leaves, answered] = [1, 2].map(|key| submit(&batcher, key));
    let mut batch = next(&mut batches).await;
    let _waiting = submit(&batcher, 3);
    let slot = batch.slot();
    batch.park();
    batch.resume(soon("a slot", slot).await);
    assert_eq!(queued(&batcher), (1, 1));
    drop(leaves);
    assert_eq!(queued(&batcher), (1, 1));
    batch.answer_all(|_| 7);
    assert_eq!(answered.await, Ok(7));
    assert_eq!(queued(&batcher), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_batch_dropped_while_parked_has_answered_and_is_gone() {
    let (batcher, mut batches) = one_slot();
    let replies = [1, 2].map(|key| submit(&batcher, key));
    let mut batch = next(&mut batches).await;
    batch.park();
    assert!(poll(batcher.vacated()).is_pending());
    drop(batch);
    assert_eq!(queued(&batcher), (0, 0));
    for reply in replies {
        assert_eq!(reply.await, Err(Error::Dropped));
    }
    soon("the batcher to be vacant", batcher.vacated()).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_over_an_answer_gives_the_room_back_as_well() {
    for at_rest in [false, true] {
        let (batcher, mut batches) = one_slot();
        let replies = [1, 2].map(|key| submit(&batcher, key));
        let mut batch = batches.recv().await.unwrap();
        if at_rest {
            batch.park();
        }
        let answering = tokio::spawn(async move {
            batch.answer_all(|member| match member.item().0 {
                1 => 7,
                _ => panic!("no answer for this one"),
            });
        });
        assert!(answering.await.unwrap_err().is_panic());
        assert_eq!(queued(&batcher), (0, 0));
        for reply in replies {
            assert!(matches!(reply.await, Ok(7) | Err(Error::Dropped)));
        }
        batcher.vacated().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_untaken_slot_is_free_again() {
    let (batcher, mut batches) = one_slot();
    let _replies = [1, 2, 3, 4].map(|key| submit(&batcher, key));
    let mut first = next(&mut batches).await;
    first.park();
    let second = next(&mut batches).await;
    // It lines up and is given up, once before and once after it got a slot.
    drop(first.slot());
    let mut slot = Box::pin(first.slot());
    assert!(poll(slot.as_mut()).is_pending());
    answer(second);
    assert_eq!(batcher.snapshot().in_flight, 1);
    drop(slot);
    assert_eq!(batcher.snapshot().in_flight, 0);
    first.resume(soon("a slot", first.slot()).await);
    assert_eq!(keys(&first), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_resumed_batch_keeps_its_distance() {
    let (batcher, mut batches) = by_hand(Settings {
        max_size: 1,
        min_interval: 20 * MS,
        ..Settings::default()
    });
    let start = Instant::now();
    let _one = submit(&batcher, 1);
    let mut batch = next(&mut batches).await;
    batch.park();
    batch.resume(soon("a slot", batch.slot()).await);
    assert_eq!(start.elapsed(), 20 * MS);
    let _other = submit(&batcher, 2);
    next(&mut batches).await;
    assert_eq!(start.elapsed(), 40 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_split_batch_is_two_and_the_first_is_the_larger() {
    for size in 1..=5 {
        let (batcher, mut batches) = by_hand(Settings {
            max_size: size,
            ..Settings::default()
        });
        let replies: Vec<_> = (0..size as u64).map(|key| submit(&batcher, key)).collect();
        let mut first = next(&mut batches).await;
        let second = first.split();
        assert_eq!(first.len(), size.div_ceil(2));
        assert_eq!(first.len() + second.len(), size);
        // The second has no slot yet.
        assert_eq!(queued(&batcher), (second.len(), second.len()));
        let both = [keys(&first), keys(&second)].concat();
        assert_eq!(both, (0..size as u64).collect::<Vec<_>>());
        answer(second);
        answer(first);
        for (reply, key) in replies.into_iter().zip(0..) {
            assert_eq!(reply.await, Ok(key * 10));
        }
        soon("the batcher to be vacant", batcher.vacated()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn each_half_knows_its_own_callers() {
    let (batcher, mut batches) = one_slot();
    let [one, other] = [1, 2].map(|key| submit(&batcher, key));
    let mut first = next(&mut batches).await;
    first.park();
    let second = first.split();
    assert_eq!(queued(&batcher), (2, 2));
    let (mut first_left, mut second_left) = (pin!(first.abandoned()), pin!(second.abandoned()));
    drop(other);
    assert_eq!(queued(&batcher), (1, 1));
    assert!(poll(first_left.as_mut()).is_pending());
    second_left.as_mut().await;
    drop(one);
    first_left.as_mut().await;
    assert_eq!(queued(&batcher), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_number_of_slots_can_change() {
    let (batcher, mut batches) = by_hand(Settings {
        max_size: 1,
        max_in_flight: 1,
        ..Settings::default()
    });
    let _replies = [1, 2, 3, 4, 5].map(|key| submit(&batcher, key));
    let first = next(&mut batches).await;
    // The clock has nothing left to look for.
    sleep(10 * MS).await;
    assert!(batches.try_recv().is_err());
    let start = Instant::now();
    batcher.set_max_in_flight(3);
    let (second, third) = (next(&mut batches).await, next(&mut batches).await);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(batcher.snapshot().in_flight, 3);
    batcher.set_max_in_flight(0);
    assert_eq!(batcher.snapshot().max_in_flight, 1);
    // Those that are more than that go on; the next leaves once they are gone.
    answer(first);
    answer(second);
    tokio::task::yield_now().await;
    assert!(batches.try_recv().is_err());
    answer(third);
    assert_eq!(keys(&next(&mut batches).await), [4]);
}

#[tokio::test(start_paused = true)]
async fn halves_leave_one_slot_to_others() {
    let (batcher, mut batches) = by_hand(Settings {
        max_size: 2,
        max_in_flight: 2,
        ..Settings::default()
    });
    let _replies = [1, 2].map(|key| submit(&batcher, key));
    let mut first = next(&mut batches).await;
    let mut second = first.split();
    let (one, mut other) = (first.slot(), Box::pin(second.slot()));
    first.park();
    first.resume(soon("a slot", one).await);
    sleep(10 * MS).await;
    assert!(poll(other.as_mut()).is_pending());
    assert_eq!(batcher.snapshot().in_flight, 1);
    // A new batch has the slot that is left.
    let _new = [3, 4].map(|key| submit(&batcher, key));
    let new = next(&mut batches).await;
    assert_eq!(keys(&new), [3, 4]);
    answer(new);
    // The other half has the one that the first gives back.
    answer(first);
    second.resume(soon("a slot", other).await);
    answer(second);
    soon("everything to be over", batcher.vacated()).await;
}

#[tokio::test(start_paused = true)]
async fn where_there_is_one_slot_the_halves_go_first() {
    let (batcher, mut batches) = one_slot();
    let _replies = [1, 2, 3, 4].map(|key| submit(&batcher, key));
    let mut first = next(&mut batches).await;
    let mut second = first.split();
    let (one, other) = (first.slot(), second.slot());
    first.park();
    first.resume(soon("a slot", one).await);
    answer(first);
    second.resume(soon("a slot", other).await);
    answer(second);
    assert_eq!(keys(&next(&mut batches).await), [3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_place_given_up_holds_nothing_up() {
    let (batcher, mut batches) = by_hand(Settings {
        max_size: 1,
        min_interval: 20 * MS,
        ..Settings::default()
    });
    let start = Instant::now();
    let _one = submit(&batcher, 1);
    let mut batch = next(&mut batches).await;
    batch.park();
    drop(batch.slot());
    let _other = submit(&batcher, 2);
    assert_eq!(keys(&next(&mut batches).await), [2]);
    assert_eq!(start.elapsed(), 20 * MS);
}
