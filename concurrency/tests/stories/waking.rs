//! Nobody sleeps through what is due. Where a story's times are `NEVER`, no timer
//! makes up for a wake-up that is lost: it hangs, and that is the failure.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use microbatch_batcher::{Batcher, Error, OnFull, Settings, Wait};
use shuttle::future::yield_now;
use shuttle::thread;
use tokio::explore::explore;
use tokio::runtime;
use tokio::time::Instant;

use super::harness::*;

fn answering(settings: Settings) -> TestBatcher {
    Batcher::with_batches(settings, |batch| async move {
        dawdle(1).await;
        answer(batch);
    })
}

/// Without a wait each item leaves by the clock alone. It could be armed for
/// nothing while it falls asleep, or told only of the first.
#[test]
fn without_a_wait_each_item_leaves_by_itself() {
    explore(|| async {
        let batcher = answering(Settings {
            max_wait: Duration::ZERO,
            max_size: 10,
            max_in_flight: 10,
            ..settings()
        });
        let callers = (0..3).map(|key| {
            let batcher = batcher.clone();
            spawn(async move {
                for _ in 0..2 {
                    assert_eq!(submit(&batcher, key).await, Ok(own(key)));
                }
            })
        });
        join(callers.collect()).await;
        settled(
            batcher,
            [Seen {
                answered: 6,
                ..Seen::default()
            }],
        )
        .await;
    });
}

/// Each waits its time and leaves, though nobody comes: the clock must be set
/// for the earliest of those that are left, whoever else leaves or arrives.
#[test]
fn an_item_that_has_waited_leaves() {
    explore(|| async {
        let batcher = answering(Settings {
            max_wait: 5 * MS,
            max_size: 10,
            min_interval: 2 * MS,
            ..settings()
        });
        let callers = (0..4).map(|key| spawn(call(batcher.clone(), key, NEVER)));
        let seen = join(callers.collect()).await;
        settled(batcher, seen).await;
    });
}

/// The only slot is taken, and a queued item's time is up. It must be told then,
/// though nothing can leave; one that gets its deadline later, or earlier, as well.
#[test]
fn an_item_expires_while_no_slot_is_free() {
    explore(|| async {
        let (batcher, mut batches) = by_hand(settings());
        let _held = [1, 2].map(|key| submit(&batcher, key));
        let batch = batches.recv().await.unwrap();
        let callers = [3, 1, 2].map(|stay| {
            let batcher = batcher.clone();
            spawn(async move {
                let deadline = Instant::now() + stay * MS;
                let options = options(3, stay * MS);
                let answer = batcher.submit_with(3, options).unwrap().await;
                assert!(matches!(answer, Err(Error::Expired { .. })));
                assert!(Instant::now() >= deadline);
            })
        });
        join(callers.into()).await;
        drop(batch);
        batcher.vacated().await;
    });
}

/// A flush is asked for while slots are taken: what waits at that moment leaves
/// as they become free, though it is no full batch.
#[test]
fn flushed_items_leave_as_slots_allow() {
    explore(|| async {
        let (batcher, mut batches) = by_hand(settings());
        let replies: Vec<_> = (0..3).map(|key| submit(&batcher, key)).collect();
        let first = batches.recv().await.unwrap();
        let flushing = batcher.clone();
        let flusher = spawn(async move { flushing.flush() });
        let answerer = spawn(async move { answer(first) });
        answer(batches.recv().await.unwrap());
        assert_eq!(flusher.await.unwrap(), 1);
        answerer.await.unwrap();
        drop(replies);
        batcher.vacated().await;
    });
}

/// There is one slot more while an item arrives, and the other slots stay taken.
/// Whichever comes second must send the item: nobody else will.
#[test]
fn a_new_slot_is_used_at_once() {
    explore(|| async {
        let (batcher, mut batches) = by_hand(Settings {
            max_size: 1,
            ..settings()
        });
        let first = submit(&batcher, 1);
        let held = batches.recv().await.unwrap();
        let submitting = batcher.clone();
        let second = thread::spawn(move || submit(&submitting, 2));
        let changing = batcher.clone();
        let changer = spawn(async move { changing.set_max_in_flight(2) });
        answer(batches.recv().await.unwrap());
        assert_eq!(second.join().unwrap().await, Ok(own(2)));
        changer.await.unwrap();
        drop((first, held));
        batcher.vacated().await;
    });
}

/// An adaptive wait is over once every source has its item in, or is gone. Items
/// and sources come and go at once: the last of them must be noticed.
#[test]
fn an_adaptive_wait_ends_with_the_last_source() {
    explore(|| async {
        let batcher = answering(Settings {
            wait: Wait::Adaptive,
            max_size: 10,
            max_in_flight: 10,
            ..settings()
        });
        let sources: Vec<_> = (0..3).map(|_| batcher.source()).collect();
        let callers = sources.into_iter().zip(0..).map(|(source, key)| {
            spawn(async move {
                for _ in 0..choose(3) {
                    let mut reply = source.submit_with(key, options(key, NEVER)).unwrap();
                    if choose(4) == 0 {
                        yield_now().await;
                        drop(reply);
                        continue;
                    }
                    assert_eq!((&mut reply).await, Ok(own(key)));
                }
            })
        });
        join(callers.collect()).await;
        batcher.vacated().await;
    });
}

/// Callers on two runtimes share batches. Those that wait on the other one than the
/// batch is processed on are woken by its wake queue, together: they must not be queued
/// between its last look and its sleep.
#[test]
fn callers_on_another_runtime_are_woken() {
    explore(|| async {
        let batcher = answering(Settings {
            max_size: 3,
            max_in_flight: 2,
            ..settings()
        });
        let other = runtime::at(1, || batcher.on_this_runtime());
        let callers = (0..6).map(|key| {
            let batcher = if key % 2 == 0 { &batcher } else { &other }.clone();
            spawn(async move {
                dawdle(2).await;
                assert_eq!(submit(&batcher, key).await, Ok(own(key)));
            })
        });
        join(callers.collect()).await;
        drop(other);
        settled(
            batcher,
            [Seen {
                answered: 6,
                ..Seen::default()
            }],
        )
        .await;
    });
}

/// The same while callers leave, and items leave by the clocks of both runtimes.
#[test]
fn two_clocks_miss_nothing() {
    explore(|| async {
        let batcher = answering(Settings {
            max_wait: 5 * MS,
            max_size: 3,
            ..settings()
        });
        let other = runtime::at(1, || batcher.on_this_runtime());
        let callers = (0..5).map(|key| {
            let batcher = if key % 2 == 0 { &batcher } else { &other }.clone();
            spawn(call(batcher, key, NEVER))
        });
        let seen = join(callers.collect()).await;
        drop(other);
        settled(batcher, seen).await;
    });
}

/// Items of one key wait for one another beside others, one slot is taken, and
/// deadlines are near: each that leaves must have the next of its key seen to, by
/// whichever clock, and no caller may be told twice or never.
#[test]
fn items_of_one_key_wait_for_one_another_alone() {
    explore(|| async {
        let batcher = answering(Settings {
            max_size: 3,
            queue_items: 2,
            on_full: OnFull::Wait,
            ..settings()
        });
        let other = runtime::at(1, || batcher.on_this_runtime());
        let callers = (0..6).map(|n| {
            let batcher = if n % 2 == 0 { &batcher } else { &other }.clone();
            // Half of the time that they have is the longest they wait.
            let stay = if n % 3 == 0 { 4 * MS } else { 8 * MS };
            spawn(call(batcher, u64::from(n > 3), stay))
        });
        let seen = join(callers.collect()).await;
        drop(other);
        settled(batcher, seen).await;
    });
}

/// Each batch goes where fewest are under way, while slots are freed and taken at
/// both runtimes. The counts they go by could be left wrong, or a batch be handed
/// on while it is already answered.
#[test]
fn batches_move_between_runtimes() {
    explore(|| async {
        let batcher = Batcher::with_batches(
            Settings {
                max_size: 1,
                max_in_flight: 3,
                ..settings()
            },
            |mut batch: TestBatch| async move {
                assert!(batch.runtime() < 2);
                if choose(3) == 0 {
                    let slot = batch.slot();
                    batch.park();
                    batch.resume(slot.await);
                }
                dawdle(2).await;
                answer(batch);
            },
        );
        let other = runtime::at(1, || batcher.on_this_runtime());
        let callers = (0..5).map(|key| spawn(call(other.clone(), key, NEVER)));
        let seen = join(callers.collect()).await;
        drop(other);
        settled(batcher, seen).await;
    });
}

/// A caller's task moves while the answer comes: whichever waker it has last is the
/// one that must be woken.
#[test]
fn a_caller_that_changes_its_waker_is_woken_by_the_last() {
    explore(|| async {
        let (batcher, mut batches) = by_hand(Settings {
            max_size: 1,
            ..settings()
        });
        let mut reply = submit(&batcher, 1);
        let batch = batches.recv().await.unwrap();
        let answerer = spawn(async move { answer(batch) });
        let polled = poll_fn(|context| Poll::Ready(Pin::new(&mut reply).poll(context))).await;
        let waits = spawn(async move {
            match polled {
                Poll::Ready(answer) => answer,
                Poll::Pending => reply.await,
            }
        });
        assert_eq!(waits.await.unwrap(), Ok(own(1)));
        answerer.await.unwrap();
        batcher.vacated().await;
    });
}
