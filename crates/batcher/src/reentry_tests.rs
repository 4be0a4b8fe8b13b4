//! Wakers are their makers' code: whatever they do when they are woken or dropped,
//! such as asking the batcher, no lock may be held meanwhile.

use std::pin::{Pin, pin};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;

use super::tests::{Batches, FAR, Job, by_hand, submit};
use super::*;

/// Long enough for any machine; who needs it waits for a lock of its own.
const HANG: Duration = Duration::from_secs(60);

/// Asks the batcher when it is woken and when it is dropped.
struct Asks(Batcher<Job, u64>);

impl Asks {
    fn waker(batcher: &Batcher<Job, u64>) -> Waker {
        Waker::from(Arc::new(Self(batcher.clone())))
    }
}

impl Wake for Asks {
    fn wake(self: Arc<Self>) {
        self.0.flush();
    }
}

impl Drop for Asks {
    fn drop(&mut self) {
        self.0.snapshot();
    }
}

fn poll_as_asking<T>(batcher: &Batcher<Job, u64>, future: Pin<&mut impl Future<Output = T>>) {
    let waker = Asks::waker(batcher);
    assert!(future.poll(&mut Context::from_waker(&waker)).is_pending());
}

/// Runs it where it can't hang the test: one slot, and batches of two.
fn does_not_hang<F: Future<Output = ()> + 'static>(story: fn(Batcher<Job, u64>, Batches) -> F) {
    let (ended, end) = mpsc::channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_time().build();
        runtime.unwrap().block_on(async {
            let (batcher, batches) = by_hand(Settings {
                max_size: 2,
                max_wait: FAR / 2,
                max_in_flight: 1,
                ..Settings::default()
            });
            story(batcher, batches).await;
        });
        ended.send(()).unwrap();
    });
    end.recv_timeout(HANG)
        .expect("it waits for itself, or has failed");
}

#[test]
fn waker_of_a_waiting_caller() {
    does_not_hang(|batcher, mut batches| async move {
        let [mut one, other] = [1, 2].map(|key| submit(&batcher, key));
        poll_as_asking(&batcher, pin!(&mut one));
        poll_as_asking(&batcher, pin!(&mut one));
        super::tests::answer(batches.recv().await.unwrap());
        assert_eq!((one.await, other.await), (Ok(10), Ok(20)));
    });
}

#[test]
fn waker_of_one_waiting_for_the_batcher_to_be_vacant() {
    does_not_hang(|batcher, mut batches| async move {
        let replies = [1, 2].map(|key| submit(&batcher, key));
        let mut vacated = pin!(batcher.vacated());
        poll_as_asking(&batcher, vacated.as_mut());
        drop(batches.recv().await.unwrap());
        vacated.await;
        drop(replies);
    });
}

#[test]
fn waker_of_a_place_given_up() {
    does_not_hang(|batcher, mut batches| async move {
        let _replies = [1, 2, 3, 4].map(|key| submit(&batcher, key));
        let mut first = batches.recv().await.unwrap();
        first.park();
        let _second = batches.recv().await.unwrap();
        for _ in 0..2 {
            let slot = first.slot();
            poll_as_asking(&batcher, pin!(slot));
        }
        // And the last is found when a slot is there.
        drop(_second);
    });
}

/// The waker of a processor that waits until all callers have left.
async fn abandoned(
    batcher: &Batcher<Job, u64>,
    batches: &mut Batches,
    how: impl FnOnce(&mut Batch<Job, u64>, [Reply<Job, u64>; 2]),
) {
    let replies = [1, 2].map(|key| submit(batcher, key));
    let mut batch = batches.recv().await.unwrap();
    let mut abandoned = pin!(batch.abandoned());
    poll_as_asking(batcher, abandoned.as_mut());
    how(&mut batch, replies);
    let noop = Waker::noop();
    assert_eq!(
        abandoned.poll(&mut Context::from_waker(noop)),
        Poll::Ready(())
    );
}

#[test]
fn waker_of_a_processor_waiting_for_callers_to_leave() {
    does_not_hang(|batcher, mut batches| async move {
        abandoned(&batcher, &mut batches, |_, replies| drop(replies)).await;
        abandoned(&batcher, &mut batches, |batch, replies| {
            batch.park();
            drop(replies);
        })
        .await;
        abandoned(&batcher, &mut batches, |batch, _| {
            batch.answer_all(|_| 1);
        })
        .await;
        abandoned(&batcher, &mut batches, |batch, _| {
            batch.park();
            batch.answer_all(|_| 1);
        })
        .await;
        abandoned(&batcher, &mut batches, |batch, [first, _second]| {
            drop(first);
            // The other is in a batch of its own from here on.
            let _half = batch.split();
        })
        .await;
    });
}
