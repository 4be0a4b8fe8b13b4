//! One batcher for three runtimes that are run by turns on one thread: every order
//! of their steps is the same again for the same steps.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::task::{Context, Poll, Wake, Waker};

use proptest::prelude::*;
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tokio::time::Instant;

use super::tests::{FAR, Job, Put, answer};
use super::*;

const RUNTIMES: usize = 3;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// Lets everything run there that can.
fn turn(runtime: &Runtime) {
    runtime.block_on(async {
        for _ in 0..20 {
            yield_now().await;
        }
    });
}

/// Three runtimes, a handle at each, and the batches that have got to a processor.
struct World {
    runtimes: Vec<Option<Runtime>>,
    handles: Vec<Batcher<Job, u64>>,
    batches: Receiver<Batch<Job, u64>>,
}

impl World {
    fn new(settings: Settings) -> Self {
        let runtimes: Vec<_> = (0..RUNTIMES).map(|_| runtime()).collect();
        let (sender, batches) = channel();
        let first = runtimes[0].block_on(async {
            Batcher::with_batches(settings, move |batch| {
                let sender = sender.clone();
                async move { drop(sender.send(batch)) }
            })
        });
        let others = runtimes[1..].iter();
        let others = others.map(|it| it.block_on(async { first.on_this_runtime() }));
        let handles = std::iter::once(first.clone()).chain(others).collect();
        Self {
            runtimes: runtimes.into_iter().map(Some).collect(),
            handles,
            batches,
        }
    }

    fn turn_all(&self) {
        self.runtimes.iter().flatten().for_each(turn);
    }

    fn submit(&self, at: usize, key: u64) -> Reply<Job, u64> {
        let deadline = Instant::now() + FAR;
        self.handles[at].put(Job(key, 1), deadline).unwrap()
    }
}

/// How many of the batches each runtime processes.
fn by_runtime(batches: &[Batch<Job, u64>]) -> [usize; RUNTIMES] {
    let mut counts = [0; RUNTIMES];
    batches
        .iter()
        .for_each(|batch| counts[batch.runtime()] += 1);
    counts
}

#[test]
fn batches_are_processed_where_fewest_are_under_way() {
    let world = World::new(Settings {
        max_size: 1,
        max_in_flight: 6,
        ..Settings::default()
    });
    // All come in at one runtime.
    let _replies: Vec<_> = (0..12).map(|key| world.submit(1, key)).collect();
    world.turn_all();
    let mut batches: Vec<_> = world.batches.try_iter().collect();
    assert_eq!(by_runtime(&batches), [2, 2, 2]);

    // The slots are freed at one, and used at it.
    let ended: Vec<_> = batches.extract_if(.., |it| it.runtime() == 2).collect();
    ended.into_iter().for_each(answer);
    world.turn_all();
    batches.extend(world.batches.try_iter());
    assert_eq!(by_runtime(&batches), [2, 2, 2]);

    // One runtime is left with all the slots that are taken, and gets no more.
    batches.retain(|it| it.runtime() == 0);
    world.turn_all();
    batches.extend(world.batches.try_iter());
    assert_eq!(by_runtime(&batches), [2, 2, 2]);
}

#[test]
fn the_only_batch_is_processed_where_it_was_filled() {
    let world = World::new(Settings {
        max_size: 1,
        ..Settings::default()
    });
    for at in [2, 0, 1, 1] {
        let _reply = world.submit(at, 1);
        world.turn_all();
        let batch = world.batches.try_recv().unwrap();
        assert_eq!(batch.runtime(), at);
        answer(batch);
    }
}

#[test]
fn another_handle_at_the_same_runtime_takes_no_tasks() {
    let world = World::new(Settings::default());
    world.turn_all();
    for (at, runtime) in world.runtimes.iter().flatten().enumerate() {
        let tasks = runtime.metrics().num_alive_tasks();
        assert_eq!(tasks, 2, "a clock and one that wakes callers");
        runtime.block_on(async {
            for handle in &world.handles {
                let again = handle.on_this_runtime();
                let reply = again.put(Job(1, 1), Instant::now() + FAR).unwrap();
                again.flush();
                yield_now().await;
                let batch = world.batches.try_recv().unwrap();
                assert_eq!(batch.runtime(), at);
                answer(batch);
                assert_eq!(reply.await, Ok(10));
            }
        });
        assert_eq!(runtime.metrics().num_alive_tasks(), tasks);
    }
    assert_eq!(world.handles[0].0.shared.runtimes.len(), RUNTIMES);
}

#[test]
fn a_runtime_that_ends_leaves_its_place_to_another() {
    let mut world = World::new(Settings {
        max_wait: FAR / 4,
        ..Settings::default()
    });
    let batcher = world.handles[0].clone();
    let mut ended = Vec::new();
    for _ in 0..10 {
        // Its clock is to come, and never does.
        let _unsent = world.submit(1, 1);
        let gone = world.runtimes[1].take();
        drop(gone);
        let mut next = Builder::new_current_thread();
        let next = next.enable_time().start_paused(true).build().unwrap();
        let there = next.block_on(async { batcher.on_this_runtime() });
        assert_eq!(batcher.0.shared.runtimes.len(), RUNTIMES);
        ended.push(std::mem::replace(&mut world.handles[1], there));
        // Its own clock comes, though the one before it was to come earlier.
        let _reply = world.submit(1, 2);
        next.block_on(async { tokio::time::sleep(FAR / 2).await });
        turn(&next);
        let batch = world.batches.try_recv().expect("no clock came");
        assert_eq!(batch.runtime(), 1);
        answer(batch);
        world.runtimes[1] = Some(next);
    }
    // Handles of those that have ended are as good as before. By the last one's time,
    // which is ahead of all others'.
    for handle in &ended {
        let last = world.runtimes[1].as_ref().unwrap();
        let _inside = last.enter();
        let mut reply = handle.put(Job(3, 1), Instant::now() + FAR).unwrap();
        handle.flush();
        world.turn_all();
        let batch = world.batches.try_recv().unwrap();
        assert_eq!(batch.runtime(), 0, "the primary");
        answer(batch);
        let reply = Pin::new(&mut reply);
        let polled = reply.poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Ready(Ok(30)));
    }
}

#[test]
fn a_slot_of_another_batcher_is_free_there_and_not_here() {
    let settings = Settings {
        max_size: 1,
        max_in_flight: 1,
        ..Settings::default()
    };
    let worlds = [settings.clone(), settings].map(World::new);
    let batches = worlds.each_ref().map(|world| {
        let reply = world.submit(0, 1);
        world.turn_all();
        (world.batches.try_recv().unwrap(), reply)
    });
    let [(mut here, _reply), (mut there, _other)] = batches;
    here.park();
    there.park();
    let slot = worlds[1].runtimes[0]
        .as_ref()
        .unwrap()
        .block_on(there.slot());
    here.resume(slot);
    let in_flight = || {
        worlds
            .each_ref()
            .map(|it| it.handles[0].snapshot().in_flight)
    };
    assert_eq!(in_flight(), [0, 1]);
    answer(here);
    assert_eq!(in_flight(), [0, 0]);
}

#[derive(Clone, Debug)]
enum Step {
    Submit {
        at: usize,
        key: u64,
        frame: Option<u8>,
    },
    Leave(usize),
    Answer(usize),
    Park(usize),
    Flush {
        at: usize,
    },
    Turn {
        at: usize,
    },
    End {
        at: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let at = || 0..RUNTIMES;
    let step = prop_oneof![
        8 => (at(), 0..12_u64, prop::option::of(0..2_u8))
            .prop_map(|(at, key, frame)| Step::Submit { at, key, frame }),
        2 => (0..20_usize).prop_map(Step::Leave),
        3 => (0..6_usize).prop_map(Step::Answer),
        1 => (0..6_usize).prop_map(Step::Park),
        1 => at().prop_map(|at| Step::Flush { at }),
        8 => at().prop_map(|at| Step::Turn { at }),
        1 => (1..RUNTIMES).prop_map(|at| Step::End { at }),
    ];
    prop::collection::vec(step, 1..80)
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A caller that sleeps until it is woken.
struct Sleeper {
    reply: Reply<Job, u64>,
    key: u64,
    woken: Arc<Woken>,
}

impl Sleeper {
    fn new(mut reply: Reply<Job, u64>, key: u64) -> Self {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let first = Pin::new(&mut reply).poll(&mut Context::from_waker(&waker));
        assert!(first.is_pending());
        Self { reply, key, woken }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_caller_is_answered_once_and_woken_wherever_it_waits(steps in steps()) {
        let mut world = World::new(Settings {
            max_size: 3,
            max_in_flight: 4,
            max_wait: FAR / 2,
            ..Settings::default()
        });
        let (mut sleepers, mut held, mut parked) = (Vec::new(), Vec::new(), Vec::new());
        let mut submitted = 0;
        for step in steps {
            match step {
                Step::Submit { at, key, frame } => {
                    let options = Options {
                        frame: frame.map(|it| Frame::new([it])),
                        ..Options::default().key(key).bytes(1)
                    };
                    let reply = world.handles[at].submit_with(Job(key, 1), options);
                    sleepers.push(Sleeper::new(reply.unwrap(), key));
                    submitted += 1;
                }
                Step::Leave(which) if which < sleepers.len() => drop(sleepers.remove(which)),
                Step::Answer(which) if which < held.len() => answer(held.remove(which)),
                Step::Park(which) if which < held.len() => {
                    let mut batch: Batch<Job, u64> = held.remove(which);
                    let slot = batch.slot();
                    batch.park();
                    parked.push((batch, slot));
                }
                Step::Flush { at } => drop(world.handles[at].flush()),
                Step::Turn { at } => world.runtimes[at].iter().for_each(turn),
                Step::End { at } => drop(world.runtimes[at].take()),
                _ => {}
            }
            held.extend(world.batches.try_iter());
            let now = world.handles[0].snapshot();
            prop_assert!(now.in_flight <= 4);
        }
        // The end: all are answered, the parked batches in the order of their turns.
        world.handles[0].close();
        world.turn_all();
        held.extend(world.batches.try_iter());
        while !world.handles[0].0.lock().is_vacant() {
            if held.is_empty() {
                let (mut batch, slot) = parked.remove(0);
                let primary = world.runtimes[0].as_ref().unwrap();
                batch.resume(primary.block_on(slot));
                held.push(batch);
            }
            held.drain(..).for_each(answer);
            world.turn_all();
            held.extend(world.batches.try_iter());
        }
        let ended = world.runtimes.iter().any(Option::is_none);
        let mut answered = 0;
        for Sleeper { mut reply, key, woken } in sleepers {
            prop_assert!(woken.0.load(Ordering::Relaxed), "nobody woke {key}");
            let polled = Pin::new(&mut reply).poll(&mut Context::from_waker(Waker::noop()));
            match polled {
                Poll::Ready(Ok(result)) => prop_assert_eq!(result, key * 10),
                // Its batch was at a runtime that ended.
                Poll::Ready(Err(Error::Dropped)) => prop_assert!(ended),
                other => prop_assert!(false, "{other:?}"),
            }
            answered += 1;
        }
        let counts = world.handles[0].snapshot();
        prop_assert_eq!(counts.accepted, submitted);
        prop_assert_eq!((counts.queued, counts.in_flight), (0, 0));
        let cancelled = counts.cancelled_queued + counts.cancelled_in_flight;
        prop_assert_eq!(answered + cancelled, submitted);
    }
}
