//! One batcher for several runtimes, each on a thread of its own.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::task::Poll;
use std::thread::{self, ThreadId};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::tests::{FAR, Job, MS, Put, answer, by_hand, submit};
use super::*;

/// Long enough for any machine; who waits for it has slept through a wake-up.
const HANG: Duration = Duration::from_secs(60);

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// Lets the clock of this runtime look, and fall asleep.
async fn clock_sleeps() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

/// A batcher that answers each item with the thread that it was processed on.
fn telling(settings: Settings) -> Batcher<Job, (ThreadId, usize)> {
    Batcher::with_batches(settings, |mut batch| async move {
        let runtime = batch.runtime();
        batch.answer_all(|_| (thread::current().id(), runtime));
    })
}

#[tokio::test]
async fn items_of_all_runtimes_share_batches_processed_where_they_were_filled() {
    let settings = Settings {
        max_size: 2,
        max_wait: FAR,
        ..Settings::default()
    };
    let batcher = telling(settings);
    let deadline = Instant::now() + 2 * FAR;
    for _ in 0..50 {
        let here = batcher.put(Job(1, 1), deadline).unwrap();
        let there = batcher.clone();
        let other = thread::spawn(move || {
            let inside = runtime();
            inside.block_on(async {
                let batcher = there.on_this_runtime();
                let reply = batcher.put(Job(2, 1), deadline).unwrap();
                (reply.await.unwrap(), thread::current().id())
            })
        });
        let here = timeout(HANG, here).await.expect("nobody woke it").unwrap();
        let (there, thread) = other.join().unwrap();
        assert_eq!(here, there, "of one batch");
        assert_eq!(there.0, thread, "which the other filled");
        assert!(there.1 > 0);
    }
}

#[test]
fn a_runtime_without_time_is_told_at_once() {
    let untimed = Builder::new_current_thread().build().unwrap();
    let made = catch_unwind(|| untimed.block_on(async { telling(Settings::default()) }));
    assert!(made.is_err(), "it has no clock");
    let timed = runtime();
    let batcher = timed.block_on(async { telling(Settings::default()) });
    let there = AssertUnwindSafe(&batcher);
    let there = catch_unwind(|| untimed.block_on(async { there.on_this_runtime() }));
    assert!(there.is_err(), "it has no clock");
    let reply = batcher.put(Job(1, 1), Instant::now() + FAR).unwrap();
    let answer = timed.block_on(async { timeout(HANG, reply).await });
    assert!(answer.expect("no clock came").is_ok());
}

#[test]
fn items_of_an_ended_runtime_are_sent_by_the_primary() {
    let (first, other) = (runtime(), runtime());
    let settings = Settings {
        max_wait: 20 * MS,
        ..Settings::default()
    };
    let batcher = first.block_on(async {
        let batcher = telling(settings);
        clock_sleeps().await;
        batcher
    });
    let there = other.block_on(async {
        let there = batcher.on_this_runtime();
        clock_sleeps().await;
        there
    });
    // Its clock is to come for this one, and never runs again.
    let reply = there.put(Job(1, 1), Instant::now() + FAR).unwrap();
    drop(other);
    let told = |reply: Reply<Job, (ThreadId, usize)>| {
        let answer = first.block_on(async { timeout(HANG, reply).await });
        answer.expect("no clock came").unwrap()
    };
    let here = thread::current().id();
    assert_eq!(told(reply).0, here);
    // And it can still be used.
    let reply = there.put(Job(2, 1), Instant::now() + FAR).unwrap();
    assert_eq!(told(reply).0, here);
}

#[test]
fn caller_elsewhere_is_woken_though_the_runtime_it_submitted_on_has_ended() {
    let (first, other) = (runtime(), runtime());
    let (batcher, mut batches) = first.block_on(async {
        by_hand(Settings {
            max_size: 2,
            max_wait: FAR,
            ..Settings::default()
        })
    });
    let there = other.block_on(async { batcher.on_this_runtime() });
    let reply = submit(&there, 1);
    drop(other);
    let (polled, waiting) = oneshot::channel();
    first.block_on(async {
        let awaited = tokio::spawn(async move {
            let mut reply = std::pin::pin!(reply);
            let first = poll_fn(|context| Poll::Ready(reply.as_mut().poll(context).is_pending()));
            polled.send(first.await).unwrap();
            reply.await
        });
        assert!(waiting.await.unwrap());
        let _second = submit(&batcher, 2);
        answer(batches.recv().await.unwrap());
        let told = timeout(HANG, awaited).await.expect("nobody woke it");
        assert_eq!(told.unwrap(), Ok(10));
    });
}

#[test]
fn end_of_the_primary_runtime_leaves_no_caller_waiting() {
    let first = runtime();
    let batcher = first.block_on(async { telling(Settings::default()) });
    let (submitted, ready) = mpsc::channel();
    let other = thread::spawn(move || {
        runtime().block_on(async {
            let batcher = batcher.on_this_runtime();
            let settings = Instant::now() + FAR;
            let reply = batcher.put(Job(1, 1), settings).unwrap();
            submitted.send(()).unwrap();
            (timeout(HANG, reply).await, batcher.is_closed())
        })
    });
    ready.recv().unwrap();
    drop(first);
    let (answer, _) = other.join().unwrap();
    // Sent by its own clock just before, or given up.
    let answer = answer.expect("nobody answered");
    assert!(matches!(answer, Ok(_) | Err(Error::Abandoned)));
}
