use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use microbatch_batcher::{Error, Loader, Settings};
use proptest::prelude::*;
use thiserror::Error;
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::{Calls, MS, poll, settings};

/// A loader that answers each key with the number of the call, when it is let to.
struct Held {
    loader: Loader<u64, (u64, usize)>,
    permits: Arc<Semaphore>,
    calls: Calls,
}

impl Held {
    fn new(settings: Settings) -> Self {
        let (permits, calls) = (Arc::new(Semaphore::new(0)), Calls::default());
        let (theirs, seen) = (Arc::clone(&permits), Arc::clone(&calls));
        let loader = Loader::new(settings, move |keys: Vec<u64>| {
            let call = {
                let mut calls = seen.lock().unwrap();
                calls.push(keys.clone());
                calls.len()
            };
            let permits = Arc::clone(&theirs);
            async move {
                permits.acquire().await?.forget();
                let values = keys.into_iter().map(move |key| (key, Ok((key, call))));
                Ok::<_, tokio::sync::AcquireError>(values)
            }
        });
        Self {
            loader,
            permits,
            calls,
        }
    }

    fn calls(&self) -> Vec<Vec<u64>> {
        self.calls.lock().unwrap().clone()
    }

    /// Waits until so many calls were made.
    async fn called(&self, times: usize) {
        while self.calls.lock().unwrap().len() < times {
            sleep(MS).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_waits_or_is_under_way_is_loaded_once() {
    let held = Held::new(settings(10));
    let (mut one, mut other) = (pin!(held.loader.load(1)), pin!(held.loader.load(1)));
    assert!(poll(one.as_mut()).is_pending() && poll(other.as_mut()).is_pending());
    assert_eq!(held.loader.snapshot().queued, 1);
    held.called(1).await;
    let mut late = pin!(held.loader.load(1));
    assert!(poll(late.as_mut()).is_pending());
    assert_eq!(held.loader.snapshot().accepted, 1);
    held.permits.add_permits(1);
    let answers = tokio::join!(late, other, one);
    assert_eq!(answers, (Ok((1, 1)), Ok((1, 1)), Ok((1, 1))));
    assert_eq!(held.calls(), [[1]]);
}

#[tokio::test(start_paused = true)]
async fn what_was_loaded_is_loaded_again() {
    let held = Held::new(settings(10));
    let mut idle = pin!(held.loader.load(1));
    assert!(poll(idle.as_mut()).is_pending());
    held.called(1).await;
    held.permits.add_permits(2);
    sleep(MS).await;
    // Though nobody has looked at the first answer yet.
    assert_eq!(held.loader.load(1).await, Ok((1, 2)));
    assert_eq!(idle.await, Ok((1, 1)));
    assert_eq!(held.calls(), [[1], [1]]);
}

#[tokio::test(start_paused = true)]
async fn a_departed_caller_changes_nothing_for_the_others() {
    for leaves_in_queue in [true, false] {
        let held = Held::new(settings(10));
        let mut first = Box::pin(held.loader.load(1));
        let mut second = pin!(held.loader.load(1));
        assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        assert_eq!(held.loader.snapshot().accepted, 1);
        if !leaves_in_queue {
            held.called(1).await;
        }
        drop(first);
        held.permits.add_permits(1);
        assert_eq!(second.await, Ok((1, 1)));
        assert_eq!(held.calls(), [[1]]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_all_have_left_is_not_loaded() {
    let held = Held::new(settings(10));
    {
        let (mut one, mut other) = (pin!(held.loader.load(1)), pin!(held.loader.load(1)));
        assert!(poll(one.as_mut()).is_pending() && poll(other.as_mut()).is_pending());
    }
    assert_eq!(held.loader.snapshot().queued, 0);
    held.permits.add_permits(1);
    assert_eq!(held.loader.load(2).await, Ok((2, 1)));
    assert_eq!(held.calls(), [[2]]);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_all_have_left_is_none_to_join() {
    let held = Held::new(Settings {
        max_in_flight: 2,
        ..settings(10)
    });
    let mut left = Box::pin(held.loader.load(1));
    assert!(poll(left.as_mut()).is_pending());
    held.called(1).await;
    drop(left);
    let mut anew = pin!(held.loader.load(1));
    assert!(poll(anew.as_mut()).is_pending());
    held.called(2).await;
    // The end of the first is not that of the second.
    held.permits.add_permits(1);
    sleep(MS).await;
    let mut joins = pin!(held.loader.load(1));
    assert!(poll(joins.as_mut()).is_pending());
    assert_eq!(held.loader.snapshot().accepted, 2);
    held.permits.add_permits(1);
    assert_eq!(tokio::join!(anew, joins), (Ok((1, 2)), Ok((1, 2))));
    assert_eq!(held.calls(), [[1], [1]]);
}

#[derive(Debug, Error, PartialEq)]
#[error("no {0}")]
struct No(u64);

#[tokio::test(start_paused = true)]
async fn each_key_is_told_its_own() {
    let loader = Loader::new(Settings::default(), async |keys: Vec<u64>| {
        assert!(!keys.contains(&9), "a panic of the function");
        if keys.contains(&8) {
            return Err(No(8));
        }
        let value = |key| if key == 2 { Err(No(2)) } else { Ok(key * 10) };
        let found = keys.into_iter().filter(|key| *key != 3);
        Ok(found.map(|key| (key, value(key))).collect::<Vec<_>>())
    });
    let all = loader.load_many([1, 2, 3, 1, 4]).await;
    assert_eq!((&all[0], &all[3], &all[4]), (&Ok(10), &Ok(10), &Ok(40)));
    assert_eq!(all[1].as_ref().unwrap_err().failure(), Some(&No(2)));
    assert_eq!(all[2], Err(Error::Missing { strays: 0 }));
    let all = loader.load_many([1, 8]).await;
    assert!(
        all.iter()
            .all(|it| it.as_ref().unwrap_err().failure() == Some(&No(8)))
    );
    assert_eq!(
        loader.load_many([1, 9]).await,
        [Err(Error::Dropped), Err(Error::Dropped)]
    );
    assert_eq!(loader.load_many([]).await, []);
    assert_eq!(loader.load(1).await, Ok(10), "after a panic");
}

#[tokio::test(start_paused = true)]
async fn closing_answers_what_waits_and_takes_nothing_more() {
    let held = Held::new(settings(10));
    let mut waits = pin!(held.loader.load(1));
    assert!(poll(waits.as_mut()).is_pending());
    held.loader.close();
    let mut joins = pin!(held.loader.load(1));
    assert!(poll(joins.as_mut()).is_pending());
    assert_eq!(held.loader.load(2).await, Err(Error::Closed));
    held.permits.add_permits(1);
    assert_eq!(tokio::join!(waits, joins), (Ok((1, 1)), Ok((1, 1))));
    held.loader.vacated().await;
}

/// A caller: what it asks for, when, and how long it waits.
#[derive(Clone, Debug)]
struct Caller {
    key: u64,
    at: u32,
    stay: u32,
}

fn caller() -> impl Strategy<Value = Caller> {
    (0..4_u64, 0..30_u32, 1..60_u32).prop_map(|(key, at, stay)| Caller { key, at, stay })
}

/// What a load gives: whose it is, which call it was in, and when that returned.
type Loaded = (u64, Instant);

proptest! {
    /// Nobody gets another key's value, or one that was loaded before it asked; no
    /// call has a key twice; nothing is left behind.
    #[test]
    fn each_caller_gets_what_is_loaded_after_it_asked(callers in prop::collection::vec(caller(), 1..40)) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let settings = Settings { max_in_flight: 2, max_wait: 2 * MS, ..settings(3) };
            let loader = Loader::new(settings, async |keys: Vec<u64>| {
                let mut different = keys.clone();
                different.sort_unstable();
                different.dedup();
                assert_eq!(different.len(), keys.len(), "a key twice");
                sleep(7 * MS).await;
                let loaded = |key| (key, Ok::<Loaded, Infallible>((key, Instant::now())));
                Ok(keys.into_iter().map(loaded).collect::<Vec<_>>())
            });
            let tasks = callers.into_iter().map(|caller| {
                let loader = loader.clone();
                tokio::spawn(async move {
                    sleep(caller.at * MS).await;
                    let asked = Instant::now();
                    if let Ok(answer) = timeout(caller.stay * MS, loader.load(caller.key)).await {
                        let (key, returned) = answer.unwrap();
                        assert_eq!(key, caller.key);
                        assert!(returned >= asked);
                    }
                })
            });
            for task in tasks.collect::<Vec<_>>() {
                task.await.unwrap();
            }
            loader.vacated().await;
            assert_eq!(loader.snapshot().queued, 0);
        });
    }
}
