//! A thousand batchers on two threads, and what becomes of them when one ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

use super::alarms::Alarms;
use super::*;
use crate::{Batch, Batcher, Error, Options, Reply, Settings};

const MANY: usize = 1_000;
const MS: Duration = Duration::from_millis(1);

fn runtime() -> Runtime {
    let mut runtime = Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap()
}

/// Lets everything run there that can.
fn turn(runtime: &Runtime) {
    runtime.block_on(async {
        for _ in 0..20 {
            yield_now().await;
        }
    });
}

fn tasks(runtime: &Runtime) -> usize {
    runtime.metrics().num_alive_tasks()
}

/// Fails rather than hangs.
async fn soon<T>(answer: impl Future<Output = T>) -> T {
    let soon = timeout(Duration::from_secs(3_600), answer).await;
    soon.expect("nobody answered")
}

/// Answers each item with the number of the runtime that it was processed on.
fn batcher() -> Batcher<u64, usize> {
    let settings = Settings {
        max_wait: 5 * MS,
        ..Settings::default()
    };
    Batcher::with_batches(settings, |mut batch: Batch<u64, usize>| async move {
        let runtime = batch.runtime();
        batch.answer_all(|_| runtime);
    })
}

#[test]
fn a_thousand_batchers_cost_no_task_each() {
    let [first, other] = [runtime(), runtime()];
    let batchers: Vec<_> = (0..MANY)
        .map(|_| first.block_on(async { batcher() }))
        .collect();
    let there: Vec<_> = batchers
        .iter()
        .map(|it| other.block_on(async { it.on_this_runtime() }))
        .collect();
    [&first, &other].into_iter().for_each(turn);
    assert_eq!([&first, &other].map(tasks), [2, 2]);
    // Each has something waiting on both, and every clock comes for all of them.
    for (runtime, batchers, number) in [(&first, &batchers, 0), (&other, &there, 1)] {
        runtime.block_on(async {
            let start = Instant::now();
            let replies: Vec<_> = batchers.iter().map(|it| it.submit(1).unwrap()).collect();
            for reply in replies {
                assert_eq!(soon(reply).await, Ok(number));
            }
            assert_eq!(start.elapsed(), 5 * MS, "they waited together");
        });
        turn(runtime);
    }
    assert_eq!([&first, &other].map(tasks), [2, 2]);
    drop((batchers, there));
    [&first, &other].into_iter().for_each(turn);
    assert_eq!([&first, &other].map(tasks), [0, 0]);
}

#[test]
fn frames_cost_no_task_each() {
    let runtime = runtime();
    runtime.block_on(async {
        let batcher = batcher();
        let replies: Vec<Reply<u64, usize>> = (0..MANY)
            .map(|frame| {
                let frame = crate::Frame::new(frame.to_le_bytes());
                let options = Options::default().frame(frame);
                batcher.submit_with(1, options).unwrap()
            })
            .collect();
        yield_now().await;
        let tasks = tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks();
        assert_eq!(tasks, 2);
        for reply in replies {
            assert_eq!(soon(reply).await, Ok(0));
        }
    });
}

#[test]
fn an_ended_runtime_closes_its_own_batchers_and_leaves_others_to_their_primary() {
    let [first, other] = [runtime(), runtime()];
    let (own, guest) = first.block_on(async { (batcher(), batcher()) });
    let there = other.block_on(async { (batcher(), guest.on_this_runtime()) });
    [&first, &other].into_iter().for_each(turn);
    let left_behind = there.0.submit(1).unwrap();
    let taken_over = there.1.submit(1).unwrap();
    drop(other);
    assert!(there.0.is_closed());
    assert!(!own.is_closed() && !guest.is_closed());
    first.block_on(async {
        assert_eq!(soon(left_behind).await, Err(Error::Abandoned));
        assert_eq!(soon(taken_over).await, Ok(0));
        assert_eq!(soon(own.submit(1).unwrap()).await, Ok(0));
    });
}

/// Panics whenever it is called.
#[derive(Default)]
struct Panics {
    told: AtomicUsize,
}

impl Served for Panics {
    fn tick(&self) -> Option<Instant> {
        panic!("a panic in one batcher's turn")
    }

    fn ended(&self) {
        self.told.fetch_add(1, Ordering::Relaxed);
        panic!("a panic when one batcher is given up")
    }
}

#[test]
fn a_panic_in_one_batchers_turn_of_the_clock_is_no_others() {
    let runtime = runtime();
    let all = [(); 2].map(|()| Arc::new(Panics::default()));
    let (registrations, other) = runtime.block_on(async {
        let registrations = all.each_ref().map(|it| {
            let registration = Registration::here(Arc::<Panics>::clone(it), false);
            registration.start();
            registration.set_alarm(Instant::now());
            registration
        });
        let other = batcher();
        assert_eq!(soon(other.submit(1).unwrap()).await, Ok(0));
        (registrations, other)
    });
    assert_eq!(tasks(&runtime), 2, "a clock and one that wakes callers");
    let told = || all.each_ref().map(|it| it.told.load(Ordering::Relaxed));
    assert_eq!(told(), [1, 1]);
    assert!(!other.is_closed());
    let queued = other.submit(1).unwrap();
    drop(runtime);
    assert!(other.is_closed(), "though others panicked before it");
    assert_eq!(told(), [2, 2]);
    drop((registrations, queued));
}

/// What a task submits that the first submission has woken leaves with it, whatever else
/// the clock is at.
#[test]
fn each_batcher_has_a_turn_of_the_event_loop_before_it_sends() {
    runtime().block_on(async {
        let settings = Settings {
            max_wait: Duration::ZERO,
            ..Settings::default()
        };
        let [one, other] = [(); 2].map(|()| {
            let settings = settings.clone();
            Batcher::<u64, usize>::with_batches(settings, |mut batch| async move {
                let size = batch.len();
                batch.answer_all(|_| size);
            })
        });
        for turns in 0..4 {
            let alone = one.submit(1).unwrap();
            for _ in 0..turns {
                yield_now().await;
            }
            let first = other.submit(1).unwrap();
            let there = other.clone();
            let second = tokio::spawn(async move { there.submit(2).unwrap().await });
            assert_eq!(soon(first).await, Ok(2), "after {turns} turns");
            assert_eq!(soon(second).await.unwrap(), Ok(2));
            assert_eq!(soon(alone).await, Ok(1));
        }
    });
}

/// Counts how often it is served.
#[derive(Default)]
struct Counts {
    ticks: AtomicUsize,
    ended: AtomicBool,
}

impl Served for Counts {
    fn tick(&self) -> Option<Instant> {
        self.ticks.fetch_add(1, Ordering::Relaxed);
        None
    }

    fn ended(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_clock_serves_no_registration_before_its_time() {
    let runtime = runtime();
    let [one, other] = [(); 2].map(|()| Arc::new(Counts::default()));
    let ticks = || [&one, &other].map(|it| it.ticks.load(Ordering::Relaxed));
    let registrations = runtime.block_on(async {
        [&one, &other].map(|it| {
            let registration = Registration::here(Arc::<Counts>::clone(it), false);
            registration.start();
            registration
        })
    });
    turn(&runtime);
    assert_eq!(ticks(), [0, 0]);
    runtime.block_on(async {
        let start = Instant::now();
        registrations[0].set_alarm(start + 10 * MS);
        registrations[1].set_alarm(start + 20 * MS);
        registrations[0].set_alarm(start + 30 * MS);
        for (ms, served) in [
            (9, [0, 0]),
            (11, [1, 0]),
            (19, [1, 0]),
            (21, [1, 1]),
            (60, [1, 1]),
        ] {
            tokio::time::sleep_until(start + ms * MS).await;
            assert_eq!(ticks(), served, "after {ms} ms");
        }
    });
    let [first, second] = registrations;
    drop(first);
    drop(runtime);
    let ended = [&one, &other].map(|it| it.ended.load(Ordering::Relaxed));
    assert_eq!(ended, [false, true]);
    drop(second);
}

#[test]
fn alarms_are_kept_in_order_and_only_made_earlier() {
    let start = Instant::now();
    let at = |ms: u32| start + ms * MS;
    let mut alarms = Alarms::default();
    let [one, other] = [(); 2].map(|()| alarms.join(Arc::new(Counts::default())));
    assert!(alarms.set(one, at(20)), "the first of all");
    assert!(!alarms.set(other, at(30)), "later than that");
    assert!(!alarms.set(one, at(25)), "asked for sooner before");
    assert!(alarms.set(other, at(10)), "earlier than all");
    assert_eq!(alarms.next(), Some(at(10)));
    assert!(alarms.pop(at(9)).is_none());
    assert_eq!(alarms.pop(at(20)).map(|(key, _)| key), Some(other));
    assert_eq!(alarms.pop(at(20)).map(|(key, _)| key), Some(one));
    assert!(alarms.pop(at(99)).is_none() && alarms.next().is_none());
    assert!(alarms.set(one, at(40)), "it has none any more");
    assert!(alarms.leave(one).is_some() && alarms.leave(one).is_none());
    assert_eq!(alarms.next(), None);
    assert!(!alarms.set(one, at(1)), "nobody is there");
}
