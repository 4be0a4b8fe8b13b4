use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use microbatch_batcher::{Batcher, Error, Options, Settings};
use proptest::prelude::*;
use thiserror::Error;
use tokio::runtime::Builder;

use super::settings;

/// What comes back for one key.
#[derive(Clone, Copy, Debug)]
enum Comes {
    Value(u32),
    Failure(u32),
    Nothing,
    Twice,
    TwiceAndFailed,
}

#[derive(Clone, Copy, Debug, Error, PartialEq)]
#[error("no {0}")]
struct No(u32);

fn comes() -> impl Strategy<Value = Comes> {
    prop_oneof![
        any::<u32>().prop_map(Comes::Value),
        any::<u32>().prop_map(Comes::Failure),
        Just(Comes::Nothing),
        Just(Comes::Twice),
        Just(Comes::TwiceAndFailed),
    ]
}

/// What comes back for each key, how many keys that nobody has do so too, and all
/// that in any order.
type Plan = (BTreeMap<u8, Comes>, usize, Vec<(u8, Result<u32, No>)>);

fn plan() -> impl Strategy<Value = Plan> {
    let keys = prop::collection::btree_map(0..100_u8, comes(), 0..12);
    let strays = prop::collection::btree_set(100..u8::MAX, 0..4);
    (keys, strays).prop_flat_map(|(keys, strays)| {
        let mut all: Vec<_> = strays.iter().map(|&stray| (stray, Ok(1))).collect();
        for (&key, comes) in &keys {
            all.extend(match *comes {
                Comes::Value(value) => vec![(key, Ok(value))],
                Comes::Failure(no) => vec![(key, Err(No(no)))],
                Comes::Nothing => vec![],
                Comes::Twice => vec![(key, Ok(1)), (key, Ok(1))],
                Comes::TwiceAndFailed => vec![(key, Ok(1)), (key, Err(No(1))), (key, Ok(1))],
            });
        }
        (Just(keys), Just(strays.len()), Just(all).prop_shuffle())
    })
}

proptest! {
    #[test]
    fn each_is_told_its_own((keys, strays, results) in plan()) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let function = move |_: Vec<u8>| {
                let results = results.clone();
                async { Ok(results) }
            };
            let batcher = Batcher::keyed(settings(100), |key: &u8| *key, function);
            let replies: Vec<_> = keys.keys().map(|&key| batcher.submit(key).unwrap()).collect();
            for (reply, (key, comes)) in replies.into_iter().zip(keys) {
                let answer = reply.await;
                match comes {
                    Comes::Value(value) => assert_eq!(answer, Ok(value)),
                    Comes::Failure(no) => {
                        assert_eq!(answer.unwrap_err().failure(), Some(&No(no)));
                    }
                    Comes::Nothing => assert_eq!(answer, Err(Error::Missing { strays })),
                    Comes::Twice | Comes::TwiceAndFailed => {
                        assert_eq!(answer, Err(Error::Duplicate), "{key}");
                    }
                }
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn items_of_one_key_never_share_a_call() {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&calls);
    let function = move |items: Vec<(&'static str, u64)>| {
        seen.lock().unwrap().push(items.clone());
        let mut results: Vec<_> = items.into_iter().map(|(key, it)| (key, Ok(it))).collect();
        results.reverse();
        async { Ok::<_, Infallible>(results) }
    };
    let batcher = Batcher::keyed(
        Settings::default(),
        |item: &(&'static str, u64)| item.0,
        function,
    );
    // Whatever else is said of them.
    let other = |key| Options::default().key(key);
    let replies = [
        batcher.submit(("a", 1)),
        batcher.submit_with(("a", 2), other(7)),
        batcher.submit_with(("b", 3), other(7)),
    ];
    for (reply, value) in replies.into_iter().zip(1..) {
        assert_eq!(reply.unwrap().await, Ok(value));
    }
    assert_eq!(
        *calls.lock().unwrap(),
        [vec![("a", 1), ("b", 3)], vec![("a", 2)]]
    );
}

#[tokio::test(start_paused = true)]
async fn one_error_is_told_to_all() {
    let batcher =
        Batcher::<u8, u32>::keyed(settings(2), |key| *key, async |_| Err::<Vec<_>, _>(No(7)));
    let (one, other) = tokio::join!(batcher.execute(1), batcher.execute(2));
    assert_eq!(one.as_ref().unwrap_err().failure(), Some(&No(7)));
    assert_eq!(one, other);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_its_own_batch_s_alone() {
    let function = |items: Vec<u8>| {
        assert!(items != [1], "a panic before there is a future");
        async move {
            // Or while its results are read.
            Ok::<_, Infallible>(items.into_iter().map(|key| {
                assert!(key != 2, "a panic of a result");
                (key, Ok(key))
            }))
        }
    };
    let batcher = Batcher::keyed(settings(1), |key: &u8| *key, function);
    assert_eq!(batcher.execute(1).await, Err(Error::Dropped));
    assert_eq!(batcher.execute(2).await, Err(Error::Dropped));
    assert_eq!(batcher.execute(3).await, Ok(3));
}
