//! The batcher as a library: its promises, on a paused clock.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, advance};

use super::*;

pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const FAR: Duration = Duration::from_secs(3600);

/// A key and a size.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Job(pub u64, pub usize);

/// Submits a job with its key, its size and a deadline.
pub(super) trait Put<R: Send + 'static> {
    fn put(&self, job: Job, deadline: Instant) -> Result<Reply<Job, R>, Error>;
}

fn options(job: &Job, deadline: Instant) -> Options {
    let options = Options::default().key(job.0).bytes(job.1);
    options.deadline(deadline)
}

impl<R: Send + 'static> Put<R> for Batcher<Job, R> {
    fn put(&self, job: Job, deadline: Instant) -> Result<Reply<Job, R>, Error> {
        let options = options(&job, deadline);
        self.submit_with(job, options)
    }
}

impl<R: Send + 'static> Put<R> for Source<Job, R> {
    fn put(&self, job: Job, deadline: Instant) -> Result<Reply<Job, R>, Error> {
        let options = options(&job, deadline);
        self.submit_with(job, options)
    }
}

pub(super) type Batches = mpsc::UnboundedReceiver<Batch<Job, u64>>;

/// A batcher whose batches the test gets to answer.
pub(super) fn by_hand(settings: Settings) -> (Batcher<Job, u64>, Batches) {
    let (sender, batches) = mpsc::unbounded_channel();
    let batcher = Batcher::with_batches(settings, move |batch| {
        let sender = sender.clone();
        async move { drop(sender.send(batch)) }
    });
    (batcher, batches)
}

pub(super) fn submit(batcher: &Batcher<Job, u64>, key: u64) -> Reply<Job, u64> {
    batcher.put(Job(key, 1), Instant::now() + FAR).unwrap()
}

pub(super) fn keys(batch: &Batch<Job, u64>) -> Vec<u64> {
    batch.members().iter().map(|it| it.item().0).collect()
}

pub(super) fn answer(mut batch: Batch<Job, u64>) {
    batch.answer_all(|member| member.item().0 * 10);
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_leaves_at_once_and_each_gets_its_own() {
    let (batcher, mut batches) = by_hand(Settings {
        max_size: 3,
        ..Settings::default()
    });
    let replies = [1, 2, 3].map(|key| submit(&batcher, key));
    let start = Instant::now();
    let batch = batches.recv().await.unwrap();
    assert_eq!(
        (start.elapsed(), batch.reason()),
        (Duration::ZERO, FlushReason::Size)
    );
    answer(batch);
    for (reply, key) in replies.into_iter().zip([1, 2, 3]) {
        assert_eq!(reply.await, Ok(key * 10));
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_bound_a_batch_and_the_next_item_leaves_in_the_next() {
    let settings = Settings {
        max_bytes: 10,
        max_in_flight: 1,
        ..Settings::default()
    };
    let (batcher, mut batches) = by_hand(settings);
    let deadline = Instant::now() + FAR;
    let _replies = [(1, 4), (2, 6), (3, 1)]
        .map(|(key, bytes)| batcher.put(Job(key, bytes), deadline).unwrap());
    let batch = batches.recv().await.unwrap();
    assert_eq!(
        (keys(&batch), batch.reason()),
        (vec![1, 2], FlushReason::Bytes)
    );
    let refused = batcher.put(Job(4, 11), deadline).unwrap_err();
    assert_eq!(refused, Error::TooLarge);
}

#[tokio::test(start_paused = true)]
async fn a_refused_item_is_given_back() {
    let (batcher, _batches) = by_hand(Settings {
        max_bytes: 10,
        queue_items: 1,
        ..Settings::default()
    });
    let taken = batcher.try_submit(Job(1, 1), Options::default());
    let _taken = taken.unwrap();
    let refused = |bytes| {
        let options = Options::default().bytes(bytes);
        batcher.try_submit(Job(2, bytes), options).unwrap_err()
    };
    let room_in = Duration::from_secs(1);
    assert_eq!(refused(1), (Job(2, 1), Error::Full { room_in }));
    assert_eq!(refused(11), (Job(2, 11), Error::TooLarge));
    batcher.close();
    assert_eq!(refused(1), (Job(2, 1), Error::Closed));
}

#[tokio::test(start_paused = true)]
async fn one_source_may_wait_for_its_results() {
    let batcher = Batcher::new(Settings::default(), async |items: Vec<u64>| {
        Ok::<_, std::io::Error>(items)
    });
    assert_eq!(batcher.source().execute(7).await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn company_is_waited_for_from_the_first_arrival_on() {
    let (batcher, mut batches) = by_hand(Settings::default());
    let start = Instant::now();
    let _first = submit(&batcher, 1);
    advance(3 * MS).await;
    let _second = submit(&batcher, 2);
    let batch = batches.recv().await.unwrap();
    assert_eq!(keys(&batch), [1, 2]);
    assert_eq!(batch.reason(), FlushReason::Wait);
    assert_eq!(batch.members()[0].waited(batch.left()), 5 * MS);
    assert_eq!(batch.left() - start, 5 * MS);
}

#[tokio::test(start_paused = true)]
async fn without_waiting_what_arrives_together_leaves_together() {
    let settings = Settings {
        max_wait: Duration::ZERO,
        ..Settings::default()
    };
    let (batcher, mut batches) = by_hand(settings);
    let start = Instant::now();
    let _replies = [1, 2, 3].map(|key| submit(&batcher, key));
    assert_eq!(keys(&batches.recv().await.unwrap()), [1, 2, 3]);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn members_are_chosen_when_the_batch_leaves() {
    let settings = Settings {
        max_size: 3,
        max_in_flight: 1,
        ..Settings::default()
    };
    let (batcher, mut batches) = by_hand(settings);
    let _in_flight = [1, 2, 3].map(|key| submit(&batcher, key));
    let batch = batches.recv().await.unwrap();
    let mut waiting = [4, 5, 6, 7].map(|key| submit(&batcher, key)).into_iter();
    drop(waiting.next());
    assert_eq!(
        batcher.snapshot().queued,
        3,
        "its place is given back at once"
    );
    drop(batch);
    assert_eq!(keys(&batches.recv().await.unwrap()), [5, 6, 7]);
    assert_eq!(batcher.snapshot().cancelled_queued, 1);
}

#[tokio::test(start_paused = true)]
async fn equal_keys_share_no_batch_and_hurry_none() {
    let settings = Settings {
        max_size: 3,
        ..Settings::default()
    };
    let (batcher, mut batches) = by_hand(settings);
    let start = Instant::now();
    let _first = submit(&batcher, 1);
    advance(MS).await;
    let _others = [1, 1, 2].map(|key| submit(&batcher, key));
    let batch = batches.recv().await.unwrap();
    assert_eq!((keys(&batch), start.elapsed()), (vec![1, 2], 5 * MS));
    let batch = batches.recv().await.unwrap();
    assert_eq!((keys(&batch), start.elapsed()), (vec![1], 6 * MS));
    let batch = batches.recv().await.unwrap();
    assert_eq!((keys(&batch), start.elapsed()), (vec![1], 6 * MS));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_answered_while_queued_though_all_slots_are_busy() {
    let settings = Settings {
        max_size: 1,
        max_in_flight: 1,
        ..Settings::default()
    };
    let (batcher, mut batches) = by_hand(settings);
    let _busy = submit(&batcher, 1);
    let batch = batches.recv().await.unwrap();
    let start = Instant::now();
    let _mate = submit(&batcher, 2);
    let late = batcher.put(Job(3, 1), start + 20 * MS).unwrap();
    assert_eq!(
        late.await,
        Err(Error::Expired {
            room_in: Duration::from_secs(1)
        })
    );
    assert_eq!(start.elapsed(), 20 * MS);
    drop(batch);
    assert_eq!(keys(&batches.recv().await.unwrap()), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_or_has_them_wait() {
    for (on_full, bytes) in [(OnFull::Reject, 1), (OnFull::Reject, 9), (OnFull::Wait, 1)] {
        let settings = Settings {
            max_in_flight: 1,
            max_size: 1,
            queue_items: if bytes == 1 { 1 } else { 10 },
            queue_bytes: 10,
            on_full,
            ..Settings::default()
        };
        let (batcher, mut batches) = by_hand(settings);
        let deadline = Instant::now() + 50 * MS;
        let _in_flight = submit(&batcher, 1);
        let batch = batches.recv().await.unwrap();
        let _queued = batcher.put(Job(2, bytes), Instant::now() + FAR).unwrap();
        match (on_full, batcher.put(Job(3, bytes), deadline)) {
            (OnFull::Reject, refused) => {
                let reason = Error::Full {
                    room_in: Duration::from_secs(1),
                };
                assert_eq!(refused.unwrap_err(), reason);
            }
            (OnFull::Wait, reply) => {
                let reply = reply.unwrap();
                assert!(reply.found_no_room());
                let patient = submit(&batcher, 4);
                assert_eq!(batcher.snapshot().waiting_for_room, 2);
                assert_eq!(
                    reply.await,
                    Err(Error::Full {
                        room_in: Duration::from_secs(1)
                    })
                );
                drop(batch);
                answer(batches.recv().await.unwrap());
                answer(batches.recv().await.unwrap());
                assert_eq!(patient.await, Ok(40));
                assert_eq!(batcher.snapshot().accepted, 3);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn flush_sends_what_waits_in_as_many_batches_as_it_takes() {
    let settings = Settings {
        max_size: 10,
        max_in_flight: 1,
        ..Settings::default()
    };
    let (batcher, mut batches) = by_hand(settings);
    let start = Instant::now();
    let _waiting = [1, 1, 2].map(|key| submit(&batcher, key));
    assert_eq!(batcher.flush(), 3);
    let batch = batches.recv().await.unwrap();
    assert_eq!(
        (keys(&batch), batch.reason()),
        (vec![1, 2], FlushReason::Flush)
    );
    drop(batch);
    let batch = batches.recv().await.unwrap();
    assert_eq!(
        (keys(&batch), batch.reason()),
        (vec![1], FlushReason::Flush)
    );
    drop(batch);
    let _later = submit(&batcher, 3);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(batches.recv().await.unwrap().reason(), FlushReason::Wait);
}

#[tokio::test(start_paused = true)]
async fn batches_keep_their_distance() {
    let settings = Settings {
        max_size: 1,
        min_interval: 30 * MS,
        ..Settings::default()
    };
    let (batcher, mut batches) = by_hand(settings);
    let start = Instant::now();
    let _replies = [1, 2, 3].map(|key| submit(&batcher, key));
    for after in [0, 30, 60] {
        batches.recv().await.unwrap();
        assert_eq!(start.elapsed(), after * MS);
    }
}

#[tokio::test(start_paused = true)]
async fn an_adaptive_wait_is_over_when_every_source_has_items_in() {
    let settings = Settings {
        wait: Wait::Adaptive,
        max_wait: FAR,
        ..Settings::default()
    };
    let (batcher, mut batches) = by_hand(settings);
    let [one, other] = [batcher.source(), batcher.source()];
    let deadline = || Instant::now() + 2 * FAR;
    // Arrivals close to each other, so that the next one is worth waiting for.
    for _ in 0..20 {
        let replies = [(&one, 1), (&other, 2)]
            .map(|(source, key)| source.put(Job(key, 1), deadline()).unwrap());
        let batch = batches.recv().await.unwrap();
        assert_eq!(
            (keys(&batch), batch.reason()),
            (vec![1, 2], FlushReason::Idle)
        );
        answer(batch);
        for reply in replies {
            reply.await.unwrap();
        }
        advance(MS).await;
    }
    // One of two: it waits for the other, as long as the other is there.
    let start = Instant::now();
    let _reply = one.put(Job(1, 1), deadline()).unwrap();
    tokio::time::sleep(MS).await;
    assert!(batches.try_recv().is_err());
    drop(other);
    assert_eq!(batches.recv().await.unwrap().reason(), FlushReason::Idle);
    assert_eq!(start.elapsed(), MS);
}

#[tokio::test(start_paused = true)]
async fn dropped_or_panicked_batch_has_answered() {
    let settings = Settings {
        max_size: 1,
        ..Settings::default()
    };
    let batcher = Batcher::<Job, u64>::with_batches(settings, |batch| async move {
        assert!(keys(&batch) != [1], "a panic of the processor");
    });
    let replies = [1, 2].map(|key| submit(&batcher, key));
    for reply in replies {
        assert_eq!(reply.await, Err(Error::Dropped));
    }
    batcher.vacated().await;
}

#[tokio::test(start_paused = true)]
async fn batch_is_told_that_all_its_callers_have_left() {
    let (batcher, mut batches) = by_hand(Settings::default());
    let [first, second] = [1, 2].map(|key| submit(&batcher, key));
    let batch = batches.recv().await.unwrap();
    let abandoned = batch.abandoned();
    assert_eq!(first.stage(), Some(Stage::InFlight));
    drop(first);
    drop(second);
    abandoned.await;
    assert_eq!(batcher.snapshot().cancelled_in_flight, 2);
}

#[tokio::test(start_paused = true)]
async fn closing_drains_and_refuses() {
    let settings = Settings {
        max_size: 2,
        max_in_flight: 1,
        ..Settings::default()
    };
    let (batcher, mut batches) = by_hand(settings);
    let _in_flight = [1, 2].map(|key| submit(&batcher, key));
    let first = batches.recv().await.unwrap();
    let queued = [3, 4, 5].map(|key| submit(&batcher, key));
    let start = Instant::now();
    batcher.close();
    let refused = batcher.put(Job(6, 1), start + FAR).unwrap_err();
    assert_eq!(refused, Error::Closed);
    answer(first);
    for expected in [vec![3, 4], vec![5]] {
        let batch = batches.recv().await.unwrap();
        assert_eq!(
            (keys(&batch), batch.reason()),
            (expected, FlushReason::Drain)
        );
        answer(batch);
    }
    batcher.vacated().await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    for reply in queued {
        assert!(reply.await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_processor_that_fails_to_start_harms_no_other_batch() {
    let settings = Settings {
        max_wait: MS,
        ..Settings::default()
    };
    let batcher = Batcher::<Job, u64>::with_batches(settings, |batch| {
        assert!(keys(&batch) != [1], "a panic before there is a future");
        async { answer(batch) }
    });
    assert_eq!(submit(&batcher, 1).await, Err(Error::Dropped));
    assert_eq!(submit(&batcher, 2).await, Ok(20));
}

#[tokio::test(start_paused = true)]
async fn overflow_is_not_accepted_when_the_batcher_closes() {
    let settings = Settings {
        max_size: 1,
        max_in_flight: 1,
        queue_items: 1,
        on_full: OnFull::Wait,
        ..Settings::default()
    };
    let (batcher, mut batches) = by_hand(settings);
    let _in_flight = submit(&batcher, 1);
    let _batch = batches.recv().await.unwrap();
    let [queued, outside] = [2, 3].map(|key| submit(&batcher, key));
    batcher.close();
    batcher.abandon();
    assert_eq!(queued.await, Err(Error::Abandoned));
    assert_eq!(outside.await, Err(Error::Closed));
    assert_eq!(batcher.snapshot().accepted, 2);
}

#[test]
fn a_runtime_that_ends_takes_the_batcher_with_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let settings = Settings {
        max_size: 1,
        max_in_flight: 1,
        ..Settings::default()
    };
    let (batcher, mut batches) = runtime.block_on(async { by_hand(settings) });
    let _in_flight = submit(&batcher, 0);
    let batch = runtime.block_on(batches.recv()).unwrap();
    // So many that one inside of the other they would not fit the stack.
    let queued: Vec<_> = (1..9_000).map(|key| submit(&batcher, key)).collect();
    drop(runtime);
    drop(batch);
    let elsewhere = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for reply in queued {
        let answer = elsewhere.block_on(reply);
        assert!(matches!(answer, Err(Error::Abandoned | Error::Dropped)));
    }
    let refused = batcher.put(Job(1, 1), Instant::now() + FAR).unwrap_err();
    assert_eq!(refused, Error::Closed);
}

#[test]
fn a_runtime_that_ends_before_its_first_turn_does_so_too() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let inside = runtime.enter();
    let (batcher, _batches) = by_hand(Settings::default());
    drop(inside);
    let mut reply = submit(&batcher, 1);
    drop(runtime);
    let mut context = Context::from_waker(Waker::noop());
    let answer = Pin::new(&mut reply).poll(&mut context);
    assert_eq!(answer, Poll::Ready(Err(Error::Abandoned)));
}

#[tokio::test(start_paused = true)]
async fn abandoned_items_are_answered() {
    let settings = Settings {
        max_size: 1,
        max_in_flight: 1,
        ..Settings::default()
    };
    let (batcher, mut batches) = by_hand(settings);
    let in_flight = submit(&batcher, 1);
    let batch = batches.recv().await.unwrap();
    let queued = submit(&batcher, 2);
    batcher.close();
    batcher.abandon();
    assert_eq!(queued.await, Err(Error::Abandoned));
    answer(batch);
    assert_eq!(in_flight.await, Ok(10));
    batcher.vacated().await;
}

#[tokio::test(start_paused = true)]
async fn the_clock_ends_with_the_last_batcher() {
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    assert_eq!(tasks(), 0);
    let batchers = [(); 2].map(|()| by_hand(Settings::default()));
    tokio::time::sleep(MS).await;
    let [one, other] = batchers;
    drop(one);
    tokio::time::sleep(MS).await;
    assert_eq!(tasks(), 2, "a clock and one that wakes callers");
    drop(other);
    tokio::time::sleep(MS).await;
    assert_eq!(tasks(), 0);
    let _another = by_hand(Settings::default());
    tokio::time::sleep(MS).await;
    assert_eq!(tasks(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_item_that_fills_a_batch_sends_it() {
    let settings = Settings {
        max_size: 2,
        ..Settings::default()
    };
    let (batcher, _batches) = by_hand(settings);
    let _first = submit(&batcher, 1);
    assert_eq!(batcher.snapshot().in_flight, 0);
    let _second = submit(&batcher, 2);
    assert_eq!(
        batcher.snapshot().in_flight,
        1,
        "without a turn of the clock"
    );
}

#[tokio::test(start_paused = true)]
async fn the_clock_comes_for_the_earliest_of_all() {
    let (batcher, _batches) = by_hand(Settings::default());
    let armed = || batcher.0.lock().armed(0);
    let now = Instant::now();
    let _patient = submit(&batcher, 1);
    assert_eq!(armed(), Some(now + 5 * MS));
    let _hasty = batcher.put(Job(2, 1), now + 2 * MS).unwrap();
    assert_eq!(armed(), Some(now + MS), "half of its time");
    let _later = batcher.put(Job(3, 1), now + 3 * MS).unwrap();
    assert_eq!(armed(), Some(now + MS));
}

#[tokio::test(start_paused = true)]
async fn an_item_is_too_large_for_a_batch_or_for_the_queue() {
    for (max_bytes, batch_overhead, queue_bytes) in [(10, 2, 100), (100, 2, 8)] {
        let settings = Settings {
            max_bytes,
            batch_overhead,
            queue_bytes,
            ..Settings::default()
        };
        let (batcher, _batches) = by_hand(settings);
        let deadline = Instant::now() + FAR;
        let refused = batcher.put(Job(1, 9), deadline).unwrap_err();
        assert_eq!(refused, Error::TooLarge);
        assert!(batcher.put(Job(1, 8), deadline).is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn room_is_expected_in_as_long_as_the_queue_has_stood() {
    let settings = Settings {
        max_size: 1,
        max_in_flight: 1,
        queue_items: 1,
        ..Settings::default()
    };
    let (batcher, mut batches) = by_hand(settings);
    let _in_flight = submit(&batcher, 1);
    let _batch = batches.recv().await.unwrap();
    advance(Duration::from_secs(100)).await;
    let queued = batcher.put(Job(2, 1), Instant::now() + 7_000 * MS).unwrap();
    advance(6_000 * MS).await;
    let refused = batcher.put(Job(3, 1), Instant::now() + FAR).unwrap_err();
    assert_eq!(
        refused,
        Error::Full {
            room_in: Duration::from_secs(6)
        }
    );
    assert_eq!(
        queued.await,
        Err(Error::Expired {
            room_in: Duration::from_secs(7)
        })
    );
}

#[tokio::test(start_paused = true)]
async fn it_is_vacated_when_nothing_waits_and_nothing_is_in_flight() {
    let settings = Settings {
        max_size: 1,
        max_in_flight: 1,
        queue_items: 1,
        on_full: OnFull::Wait,
        ..Settings::default()
    };
    let (batcher, mut batches) = by_hand(settings);
    let replies = [1, 2, 3].map(|key| submit(&batcher, key));
    assert_eq!(batcher.flush(), 2, "one in the queue, one waiting for room");
    let mut vacated = std::pin::pin!(batcher.vacated());
    for _ in replies {
        let batch = batches.recv().await.unwrap();
        let waiting = tokio::time::timeout(MS, &mut vacated).await;
        assert!(waiting.is_err());
        answer(batch);
    }
    vacated.await;
}

#[tokio::test(start_paused = true)]
async fn nothing_runs_while_nothing_waits() {
    let settings = Settings {
        max_size: 2,
        ..Settings::default()
    };
    let (batcher, mut batches) = by_hand(settings);
    let armed = || batcher.0.lock().armed(0);
    tokio::task::yield_now().await;
    assert_eq!(armed(), None, "before the first item");
    let first = submit(&batcher, 1);
    assert_eq!(armed(), Some(Instant::now() + 5 * MS));
    let second = submit(&batcher, 2);
    answer(batches.recv().await.unwrap());
    first.await.unwrap();
    second.await.unwrap();
    // The timer of the batch that left early comes once more, and not again.
    tokio::time::sleep(6 * MS).await;
    assert_eq!(armed(), None, "after the last");
    let queued = submit(&batcher, 3);
    drop(queued);
    tokio::time::sleep(6 * MS).await;
    assert_eq!(armed(), None, "after the last has left");
}

/// Callers on several threads, who stay or leave as it comes, and a processor
/// that answers, forgets and panics: every item is accounted for.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_item_is_accounted_for_under_contention() {
    let settings = Settings {
        max_size: 8,
        max_wait: MS,
        max_in_flight: 3,
        queue_items: 64,
        on_full: OnFull::Wait,
        ..Settings::default()
    };
    let batcher = Batcher::<Job, u64>::with_batches(settings, |mut batch| async move {
        let fate = batch.members()[0].item().0 % 7;
        tokio::task::yield_now().await;
        assert!(fate != 0, "a panic of the processor");
        if fate != 1 {
            batch.answer_all(|member| member.item().0 * 10);
        }
    });
    let counts = Arc::new(Mutex::new(VecDeque::new()));
    let callers = (0..32_u64).map(|caller| {
        let (batcher, counts) = (batcher.clone(), Arc::clone(&counts));
        tokio::spawn(async move {
            for round in 0..200 {
                let key = caller * 1_000 + round;
                let wait = if round % 5 == 0 { MS } else { FAR };
                let reply = batcher.put(Job(key, 1), Instant::now() + wait).unwrap();
                if round % 3 == 0 {
                    tokio::task::yield_now().await;
                    drop(reply);
                    continue;
                }
                let answer = reply.await;
                if let Ok(result) = answer {
                    assert_eq!(result, key * 10);
                }
                let entered = !matches!(answer, Err(Error::Full { .. }));
                counts.lock().unwrap().push_back(entered);
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    batcher.vacated().await;
    let now = batcher.snapshot();
    let answered = counts.lock().unwrap().iter().filter(|&&it| it).count() as u64;
    assert_eq!(
        now.accepted,
        answered + now.cancelled_queued + now.cancelled_in_flight
    );
    assert_eq!((now.queued, now.queued_bytes, now.in_flight), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_cap_keeps_batches_small_for_a_while_and_holds_no_item_up() {
    let (batcher, mut batches) = by_hand(Settings {
        max_size: 4,
        max_bytes: 100,
        max_wait: FAR,
        ..Settings::default()
    });
    let until = Instant::now() + 60_000 * MS;
    let ceiling = |most| Some(Ceiling { most, until });
    let deadline = Instant::now() + 2 * FAR;
    let sized = |key, bytes| batcher.put(Job(key, bytes), deadline).unwrap();
    batcher.cap(Cap {
        items: ceiling(2),
        bytes: ceiling(10),
    });
    let _replies = [sized(1, 1), sized(2, 1)];
    let batch = batches.recv().await.unwrap();
    assert_eq!(
        (keys(&batch), batch.reason()),
        (vec![1, 2], FlushReason::Size)
    );
    let _replies = [sized(3, 6), sized(4, 6)];
    let batch = batches.recv().await.unwrap();
    assert_eq!(
        (keys(&batch), batch.reason()),
        (vec![3], FlushReason::Bytes)
    );
    // Larger than any batch may be, it leaves alone and at once.
    let _reply = sized(5, 50);
    let batch = batches.recv().await.unwrap();
    assert_eq!(keys(&batch), [4]);
    let batch = batches.recv().await.unwrap();
    assert_eq!(
        (keys(&batch), batch.reason()),
        (vec![5], FlushReason::Bytes)
    );
    advance(60_000 * MS).await;
    let _replies = [6, 7, 8, 9].map(|key| sized(key, 20));
    assert_eq!(keys(&batches.recv().await.unwrap()), [6, 7, 8, 9]);
}

#[tokio::test(start_paused = true)]
async fn an_item_without_key_and_deadline_is_kept_apart_from_none_and_waits() {
    let (batcher, mut batches) = by_hand(Settings {
        max_in_flight: 1,
        ..Settings::default()
    });
    let _first = batcher.submit(Job(0, 1)).unwrap();
    let first = batches.recv().await.unwrap();
    assert_eq!(
        (first.earliest_deadline(), first.latest_deadline()),
        (None, None)
    );
    let [one, other] = [1, 1].map(|key| batcher.submit(Job(key, 1)).unwrap());
    let hasty = batcher.put(Job(2, 1), Instant::now() + FAR).unwrap();
    tokio::time::sleep(2 * FAR).await;
    assert!(matches!(hasty.await, Err(Error::Expired { .. })));
    let deadline = Instant::now() + FAR;
    let last = batcher.put(Job(3, 1), deadline).unwrap();
    answer(first);
    let batch = batches.recv().await.unwrap();
    assert_eq!(keys(&batch), [1, 1, 3]);
    assert_eq!(batch.earliest_deadline(), Some(deadline));
    assert_eq!(batch.latest_deadline(), None, "two may wait for ever");
    answer(batch);
    assert_eq!(
        (one.await, other.await, last.await),
        (Ok(10), Ok(10), Ok(30))
    );
}

#[tokio::test(start_paused = true)]
async fn items_are_taken_out_by_value_and_answered_by_what_was_left() {
    for parked in [false, true] {
        let (batcher, mut batches) = by_hand(Settings::default());
        let replies = [1, 2, 3].map(|key| submit(&batcher, key));
        let mut batch = batches.recv().await.unwrap();
        if parked {
            batch.park();
        }
        let (jobs, mut batch) = batch.take_items(|job| job.0 * 7);
        assert_eq!(jobs, [Job(1, 1), Job(2, 1), Job(3, 1)]);
        let now = batcher.snapshot();
        let queued = if parked { 3 } else { 0 };
        assert_eq!((now.in_flight, now.queued), (usize::from(!parked), queued));
        batch.answer_all(|member| *member.item());
        drop(batch);
        for (reply, result) in replies.into_iter().zip([7, 14, 21]) {
            assert_eq!(reply.await, Ok(result));
        }
        batcher.vacated().await;
        assert_eq!(batcher.snapshot().queued, 0);
    }
}
