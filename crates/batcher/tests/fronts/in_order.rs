use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use microbatch_batcher::{Batcher, Error, Options, Settings};
use proptest::prelude::*;
use thiserror::Error;
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{Calls, MS, settings};

proptest! {
    #[test]
    fn each_item_gets_the_result_in_its_place(items in prop::collection::vec(0..9_u64, 0..40), size in 1..7_usize) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let calls = Arc::new(Mutex::new(Vec::new()));
            let seen = Arc::clone(&calls);
            let batcher = Batcher::new(settings(size), move |items: Vec<u64>| {
                seen.lock().unwrap().push(items.clone());
                async { Ok::<_, Infallible>(items.into_iter().map(|it| it * 10).collect()) }
            });
            let replies: Vec<_> = items.iter().map(|&it| batcher.submit(it).unwrap()).collect();
            for (reply, item) in replies.into_iter().zip(&items) {
                assert_eq!(reply.await, Ok(item * 10));
            }
            let expected: Vec<_> = items.chunks(size).map(<[u64]>::to_vec).collect();
            assert_eq!(*calls.lock().unwrap(), expected);
        });
    }
}

#[derive(Debug, Error, PartialEq)]
#[error("the table is locked")]
struct Locked;

#[tokio::test(start_paused = true)]
async fn one_error_is_told_to_all() {
    let batcher = Batcher::<u64, u64>::new(settings(2), async |_| Err(Locked));
    let (one, other) = tokio::join!(batcher.execute(1), batcher.execute(2));
    assert_eq!(one.as_ref().unwrap_err().failure(), Some(&Locked));
    assert_eq!(one, other, "they share it");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_count_is_an_error_for_all() {
    for results in [0, 1, 3] {
        let batcher = Batcher::new(settings(2), move |_: Vec<u64>| async move {
            Ok::<_, Infallible>(vec![7; results])
        });
        let error = Error::WrongCount { items: 2, results };
        let (one, other) = tokio::join!(batcher.execute(1), batcher.execute(2));
        assert_eq!((one, other), (Err(error.clone()), Err(error)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_its_own_batch_s_alone() {
    let batcher = Batcher::new(settings(1), |items: Vec<u64>| {
        assert!(items != [1], "a panic before there is a future");
        async move {
            assert!(items != [2], "a panic of the future");
            Ok::<_, Infallible>(items)
        }
    });
    assert_eq!(batcher.execute(1).await, Err(Error::Dropped));
    assert_eq!(batcher.execute(2).await, Err(Error::Dropped));
    assert_eq!(batcher.execute(3).await, Ok(3));
}

/// A batcher that answers when it is let to, and what it was called with.
fn held(size: usize) -> (Batcher<u64, u64>, Arc<Semaphore>, Calls) {
    let (permits, calls) = (Arc::new(Semaphore::new(0)), Calls::default());
    let (theirs, seen) = (Arc::clone(&permits), Arc::clone(&calls));
    let batcher = Batcher::new(settings(size), move |items: Vec<u64>| {
        seen.lock().unwrap().push(items.clone());
        let permits = Arc::clone(&theirs);
        async move {
            permits.acquire().await?.forget();
            Ok::<_, tokio::sync::AcquireError>(items)
        }
    });
    (batcher, permits, calls)
}

#[tokio::test(start_paused = true)]
async fn a_departed_caller_changes_nothing_for_the_others() {
    let (batcher, permits, calls) = held(2);
    let (first, second) = (batcher.submit(1).unwrap(), batcher.submit(2).unwrap());
    let [third, fourth, fifth] = [3, 4, 5].map(|it| batcher.submit(it).unwrap());
    tokio::task::yield_now().await;
    // One in flight, and one in the queue.
    drop((first, third));
    permits.add_permits(2);
    assert_eq!(
        (second.await, fourth.await, fifth.await),
        (Ok(2), Ok(4), Ok(5))
    );
    assert_eq!(*calls.lock().unwrap(), [[1, 2], [4, 5]]);
}

#[tokio::test(start_paused = true)]
async fn deadlines_end_the_wait_in_the_queue() {
    let (batcher, permits, calls) = held(1);
    let in_flight = batcher.submit(1).unwrap();
    let hasty = Options::default().deadline(Instant::now() + 5 * MS);
    let hasty = batcher.submit_with(2, hasty).unwrap();
    assert!(matches!(hasty.await, Err(Error::Expired { .. })));
    permits.add_permits(1);
    assert_eq!(in_flight.await, Ok(1));
    assert_eq!(*calls.lock().unwrap(), [[1]]);
}

#[tokio::test(start_paused = true)]
async fn closing_answers_what_waits_and_takes_nothing_more() {
    let (batcher, permits, _) = held(2);
    let replies = [1, 2, 3].map(|it| batcher.submit(it).unwrap());
    batcher.close();
    assert_eq!(batcher.execute(4).await, Err(Error::Closed));
    permits.add_permits(2);
    for (reply, item) in replies.into_iter().zip(1..) {
        assert_eq!(reply.await, Ok(item));
    }
    batcher.vacated().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_flushed_does_not_wait_for_company() {
    let batcher = Batcher::new(
        Settings {
            max_wait: MS * 60_000,
            ..settings(10)
        },
        async |items: Vec<u64>| Ok::<_, Infallible>(items),
    );
    let (start, reply) = (Instant::now(), batcher.submit(1).unwrap());
    assert_eq!(batcher.flush(), 1);
    assert_eq!((reply.await, start.elapsed()), (Ok(1), Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_batcher_that_is_abandoned_says_so() {
    let batcher = Batcher::<u64, u64>::new(settings(1), async |_| {
        pending::<Result<_, Infallible>>().await
    });
    let _in_flight = batcher.submit(1).unwrap();
    let queued = batcher.submit(2).unwrap();
    batcher.abandon();
    assert_eq!(queued.await, Err(Error::Abandoned));
}
