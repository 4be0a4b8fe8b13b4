//! Items, callers and processors for the stories.

use std::time::Duration;

pub use microbatch_batcher::Options;
use microbatch_batcher::{Batch, Batcher, Error, Reply, Settings, Slot};
use shuttle::future::{JoinHandle, yield_now};
use shuttle::rand::{Rng, thread_rng};
use tokio::select;
use tokio::sync::mpsc;
use tokio::time::{HORIZON, Instant};

pub const MS: Duration = Duration::from_millis(1);

/// Never comes, nor does half of it: whatever waits for this hangs.
pub const NEVER: Duration = HORIZON.saturating_mul(4);

/// An item is its key.
pub type TestBatcher = Batcher<u64, u64>;
pub type TestBatch = Batch<u64, u64>;
pub type TestSlot = Slot<u64, u64>;
pub type TestReply = Reply<u64, u64>;

/// Batches of two, one at a time, that wait for company forever.
pub fn settings() -> Settings {
    Settings {
        max_size: 2,
        max_in_flight: 1,
        max_wait: NEVER,
        ..Settings::default()
    }
}

/// A batcher whose batches the story gets.
pub fn by_hand(settings: Settings) -> (TestBatcher, mpsc::UnboundedReceiver<TestBatch>) {
    let (sender, batches) = mpsc::unbounded_channel();
    let batcher = Batcher::with_batches(settings, move |batch| {
        let sender = sender.clone();
        async move { drop(sender.send(batch)) }
    });
    (batcher, batches)
}

/// What is said of an item of one byte.
pub fn options(key: u64, stay: Duration) -> Options {
    let options = Options::default().key(key).bytes(1);
    options.deadline(Instant::now() + stay)
}

/// Submits an item that has all the time there is.
pub fn submit(batcher: &TestBatcher, key: u64) -> TestReply {
    batcher.submit_with(key, options(key, NEVER)).unwrap()
}

/// The answer that is an item's own.
pub fn own(key: u64) -> u64 {
    key * 10
}

pub fn answer(mut batch: TestBatch) {
    batch.answer_all(|member| own(*member.item()));
}

/// A number below `end`, of the schedule's choice.
pub fn choose(end: usize) -> usize {
    thread_rng().gen_range(0..end)
}

/// Lets others go first, `most` times or less.
pub async fn dawdle(most: usize) {
    for _ in 0..choose(most + 1) {
        yield_now().await;
    }
}

/// A task of the story's own: a thread that outlives the batcher's runtime.
pub fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    shuttle::future::spawn(task)
}

/// Waits for them all, in order.
pub async fn join<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut ended = Vec::new();
    for task in tasks {
        ended.push(task.await.unwrap());
    }
    ended
}

/// What became of items, as their callers saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Not taken, or told that it had never entered the queue.
    pub outside: u64,
    /// Got an answer, or was told why there is none.
    pub answered: u64,
    /// Did not wait for it.
    pub left: u64,
}

impl Seen {
    /// Counts an answer, which must be the item's own.
    fn answer(answer: Result<u64, Error>, key: u64) -> Self {
        match answer {
            Err(unanswered) if !unanswered.had_entered() => Self::outside(),
            answer => {
                assert!(answer.is_err() || answer == Ok(own(key)));
                Self {
                    answered: 1,
                    ..Self::default()
                }
            }
        }
    }

    fn outside() -> Self {
        Self {
            outside: 1,
            ..Self::default()
        }
    }
}

impl std::iter::Sum for Seen {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            outside: sum.outside + one.outside,
            answered: sum.answered + one.answered,
            left: sum.left + one.left,
        })
    }
}

/// Submits an item at some moment, and waits for the answer, or leaves at some
/// moment, or before that.
pub async fn call(batcher: TestBatcher, key: u64, stay: Duration) -> Seen {
    call_with(batcher, |it| it, key, stay).await
}

/// As [`call`], where more is said of the item.
pub async fn call_with(
    batcher: TestBatcher,
    also: impl FnOnce(Options) -> Options,
    key: u64,
    stay: Duration,
) -> Seen {
    dawdle(2).await;
    let options = also(options(key, stay));
    let Ok(mut reply) = batcher.submit_with(key, options) else {
        return Seen::outside();
    };
    let leaves = choose(3) == 0;
    if !leaves {
        return Seen::answer(reply.await, key);
    }
    select! {
        biased;
        answer = &mut reply => Seen::answer(answer, key),
        () = dawdle(6) => {
            drop(reply);
            Seen { left: 1, ..Seen::default() }
        }
    }
}

/// Nothing is queued or in flight, and what was taken is accounted for.
pub async fn settled(batcher: TestBatcher, seen: impl IntoIterator<Item = Seen>) {
    batcher.vacated().await;
    let counts = batcher.snapshot();
    assert_eq!((counts.queued, counts.queued_bytes), (0, 0));
    assert_eq!((counts.waiting_for_room, counts.in_flight), (0, 0));
    let seen: Seen = seen.into_iter().sum();
    let cancelled = counts.cancelled_queued + counts.cancelled_in_flight;
    // A caller that left from outside of the queue has left nothing in it.
    assert!(cancelled <= seen.left, "{counts:?} {seen:?}");
    assert_eq!(
        counts.accepted,
        seen.answered + cancelled,
        "{counts:?} {seen:?}"
    );
}
