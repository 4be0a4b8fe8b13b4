//! Items, results and wakers are their makers' code: where it panics, nobody else is left
//! unanswered or asleep.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, sleep_until};

use super::tests::{FAR, MS};
use super::*;

/// Panics when it is dropped.
struct Mine;

impl Drop for Mine {
    fn drop(&mut self) {
        panic!("a panic in an item's own code");
    }
}

type Batches = tokio::sync::mpsc::UnboundedReceiver<Batch<Option<Mine>, ()>>;

/// Batches of one item, of which one is in flight.
fn by_hand() -> (Batcher<Option<Mine>, ()>, Batches) {
    let (sender, batches) = tokio::sync::mpsc::unbounded_channel();
    let settings = Settings {
        max_size: 1,
        max_in_flight: 1,
        max_wait: FAR / 2,
        ..Settings::default()
    };
    let batcher = Batcher::with_batches(settings, move |batch| {
        let sender = sender.clone();
        async move { drop(sender.send(batch)) }
    });
    (batcher, batches)
}

/// Notes that it was woken, and may panic then.
struct Woken {
    woken: AtomicBool,
    panics: bool,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Relaxed);
        assert!(!self.panics, "a panic in a waker's own code");
    }
}

/// A caller that sleeps until it is woken.
struct Sleeper<J: Send + 'static> {
    reply: Reply<J, ()>,
    woken: Arc<Woken>,
}

impl<J: Send + 'static> Sleeper<J> {
    fn new(mut reply: Reply<J, ()>, panics: bool) -> Self {
        let woken = AtomicBool::new(false);
        let woken = Arc::new(Woken { woken, panics });
        let waker = Waker::from(Arc::clone(&woken));
        let first = Pin::new(&mut reply).poll(&mut Context::from_waker(&waker));
        assert!(first.is_pending());
        Self { reply, woken }
    }

    /// What it is told, once it was woken.
    fn told(mut self) -> Result<(), Error> {
        assert!(self.woken.woken.load(Ordering::Relaxed), "nobody woke it");
        let mut context = Context::from_waker(Waker::noop());
        match Pin::new(&mut self.reply).poll(&mut context) {
            Poll::Ready(answer) => answer,
            Poll::Pending => panic!("nobody answered"),
        }
    }
}

fn runtime() -> Runtime {
    let mut runtime = Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap()
}

#[test]
fn the_end_of_a_runtime_answers_all_of_all_its_batchers() {
    let runtime = runtime();
    let mut batchers = Vec::new();
    let mut sleepers = Vec::new();
    runtime.block_on(async {
        for _ in 0..2 {
            let (batcher, mut batches) = by_hand();
            let in_flight = batcher.submit(None).unwrap();
            let batch = batches.recv().await.unwrap();
            let queued = [Some(Mine), Some(Mine), None, Some(Mine)];
            let replies = queued.map(|item| batcher.submit(item).unwrap());
            sleepers.extend(replies.map(|it| Sleeper::new(it, false)));
            batchers.push((batcher, batch, in_flight));
        }
    });
    drop(runtime);
    assert!(batchers.iter().all(|(batcher, ..)| batcher.is_closed()));
    for sleeper in sleepers {
        assert_eq!(sleeper.told(), Err(Error::Abandoned));
    }
}

#[tokio::test(start_paused = true)]
async fn items_that_expire_are_all_answered_and_the_batcher_goes_on() {
    let (batcher, mut batches) = by_hand();
    let _in_flight = batcher.submit(None).unwrap();
    let batch = batches.recv().await.unwrap();
    let deadline = Instant::now() + 2 * MS;
    let sleepers = [Some(Mine), Some(Mine), None, Some(Mine)].map(|item| {
        let expires = Options::default().deadline(deadline);
        // Every second one's waker panics too.
        let panics = item.is_none();
        Sleeper::new(batcher.submit_with(item, expires).unwrap(), panics)
    });
    sleep_until(deadline + MS).await;
    for sleeper in sleepers {
        assert!(matches!(sleeper.told(), Err(Error::Expired { .. })));
    }
    assert!(!batcher.is_closed());
    drop(batch);
    let reply = batcher.submit(None).unwrap();
    batches.recv().await.unwrap().answer_all(|_| ());
    assert_eq!(reply.await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn members_that_are_answered_while_parked_are_all_woken() {
    let (sender, mut batches) = tokio::sync::mpsc::unbounded_channel();
    let settings = Settings {
        max_size: 3,
        ..Settings::default()
    };
    let batcher = Batcher::<u64, ()>::with_batches(settings, move |batch| {
        let sender = sender.clone();
        async move { drop(sender.send(batch)) }
    });
    let replies = [1, 2, 3].map(|item| batcher.submit(item).unwrap());
    let sleepers = replies.map(|reply| Sleeper::new(reply, true));
    let mut batch = batches.recv().await.unwrap();
    batch.park();
    drop(catch_unwind(AssertUnwindSafe(|| batch.answer_all(|_| ()))));
    for sleeper in sleepers {
        assert_eq!(sleeper.told(), Ok(()));
    }
}
