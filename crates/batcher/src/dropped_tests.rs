//! Items and results are their makers' code: whatever they do when they are dropped, such
//! as asking the batcher, no lock may be held meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep_until};

use super::tests::{FAR, MS};
use super::*;

/// Long enough for any machine; who needs it waits for a lock of its own.
const HANG: Duration = Duration::from_secs(60);

type Asked = Arc<Known>;

/// What is asked, and how often that was.
#[derive(Default)]
struct Known {
    batcher: OnceLock<Batcher<Asks, Asks>>,
    times: AtomicUsize,
}

/// Asks the batcher when it is dropped.
struct Asks(Asked);

impl Drop for Asks {
    fn drop(&mut self) {
        if let Some(batcher) = self.0.batcher.get() {
            batcher.flush();
            self.0.times.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A batcher of one slot, whose items and results ask it.
struct World {
    batcher: Batcher<Asks, Asks>,
    batches: UnboundedReceiver<Batch<Asks, Asks>>,
    asked: Asked,
}

impl World {
    fn new() -> Self {
        let (sender, batches) = tokio::sync::mpsc::unbounded_channel();
        let settings = Settings {
            max_size: 2,
            max_wait: FAR / 2,
            max_in_flight: 1,
            queue_items: 3,
            ..Settings::default()
        };
        let batcher = Batcher::with_batches(settings, move |batch| {
            let sender = sender.clone();
            async move { drop(sender.send(batch)) }
        });
        let asked = Asked::default();
        assert!(asked.batcher.set(batcher.clone()).is_ok());
        Self {
            batcher,
            batches,
            asked,
        }
    }

    fn value(&self) -> Asks {
        Asks(Arc::clone(&self.asked))
    }

    fn submit(&self) -> Reply<Asks, Asks> {
        self.batcher.submit(self.value()).unwrap()
    }

    async fn batch(&mut self) -> (Batch<Asks, Asks>, [Reply<Asks, Asks>; 2]) {
        let replies = [self.submit(), self.submit()];
        (self.batches.recv().await.unwrap(), replies)
    }

    /// How many were dropped since this was last asked.
    fn dropped(&self) -> usize {
        self.asked.times.swap(0, Ordering::Relaxed)
    }
}

/// Runs it where it can't hang the test.
fn does_not_hang<F: Future<Output = ()> + 'static>(story: fn(World) -> F) {
    let (ended, end) = mpsc::channel();
    thread::spawn(move || {
        let mut runtime = Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build();
        runtime
            .unwrap()
            .block_on(async { story(World::new()).await });
        ended.send(()).unwrap();
    });
    end.recv_timeout(HANG)
        .expect("it waits for itself, or has failed");
}

#[test]
fn items_that_no_batch_takes() {
    does_not_hang(|mut world| async move {
        let (batch, _replies) = world.batch().await;
        drop(world.submit());
        assert_eq!(world.dropped(), 1, "withdrawn");
        let soon = Instant::now() + 2 * MS;
        let options = Options::default().deadline(soon);
        let _expires = world.batcher.submit_with(world.value(), options).unwrap();
        sleep_until(soon + MS).await;
        assert_eq!(world.dropped(), 1, "expired");
        let _queued = [world.submit(), world.submit(), world.submit()];
        assert!(world.batcher.submit(world.value()).is_err());
        assert_eq!(world.dropped(), 1, "refused");
        world.batcher.abandon();
        assert_eq!(world.dropped(), 3, "given up");
        drop(batch);
        assert_eq!(world.dropped(), 2, "dropped unanswered");
    });
}

#[test]
fn items_and_results_of_a_batch() {
    does_not_hang(|mut world| async move {
        for parked in [false, true] {
            let (mut batch, [taken, idle]) = world.batch().await;
            let slot = batch.slot();
            if parked {
                batch.park();
            }
            batch.answer_all(|_| Asks(Arc::clone(&world.asked)));
            assert_eq!(world.dropped(), 2, "their items");
            drop(taken.await);
            drop(idle);
            assert_eq!(world.dropped(), 2, "their results");
            drop(slot);
            drop(batch);

            let (mut batch, replies) = world.batch().await;
            if parked {
                batch.park();
            }
            drop(replies);
            batch.forget_departed();
            assert_eq!(world.dropped(), if parked { 0 } else { 2 }, "their items");
            batch.answer_all(|_| Asks(Arc::clone(&world.asked)));
            let answers = if parked { 4 } else { 0 };
            assert_eq!(world.dropped(), answers, "items, and results for nobody");
        }
    });
}

#[test]
fn items_of_halves() {
    does_not_hang(|mut world| async move {
        let (mut batch, [first, second]) = world.batch().await;
        let mut half = batch.split();
        drop(second);
        let slot = half.slot();
        batch.answer_all(|_| Asks(Arc::clone(&world.asked)));
        drop((batch, first));
        assert_eq!(world.dropped(), 2, "an item and its result");
        half.resume(slot.await);
        assert_eq!(world.dropped(), 1, "nobody waits for it");
        assert!(half.is_empty());
    });
}
