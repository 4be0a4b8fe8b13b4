//! Gathers single items into batches, and answers each item on its own.
//!
//! A library of its own: it knows sizes and times, and nothing of HTTP, JSON or
//! what an id is. Items go in one by one with [`Batcher::submit`]; batches come
//! out at a processor, an async function given to [`Batcher::new`]; each
//! [`Reply`] resolves to its own item's result.
//!
//! ```
//! use std::time::Duration;
//! use microbatch::batcher::{Batch, Batcher, Item, Settings};
//! use tokio::time::Instant;
//!
//! struct Number(u64);
//!
//! impl Item for Number {
//!     fn key(&self) -> u64 {
//!         self.0 // two equal numbers never share a batch
//!     }
//!     fn bytes(&self) -> usize {
//!         8
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let squares = Batcher::new(Settings::default(), |mut batch: Batch<Number, u64>| async move {
//!     // One call for all of them, in earnest; then each gets its own.
//!     batch.answer_all(|member| member.item().0.pow(2));
//! });
//! let deadline = Instant::now() + Duration::from_secs(1);
//! let (three, four) = (
//!     squares.submit(Number(3), deadline).unwrap(),
//!     squares.submit(Number(4), deadline).unwrap(),
//! );
//! assert_eq!((three.await, four.await), (Ok(9), Ok(16)));
//! # }
//! ```
//!
//! # Promises
//! - Every item that was taken is answered exactly once, or its caller has left.
//!   A processor that panics or forgets a member answers
//!   [`Unanswered::Dropped`].
//! - No batch exceeds `max_size` or `max_bytes`, or holds two equal keys.
//! - No item waits longer than `max_wait` for company while a slot is free.
//! - An item whose deadline has come is answered at once while it is queued;
//!   from then on it is the processor's, see [`Batch::answer_expired`].
//! - When the runtime ends that the batcher was made on, it is closed and what is
//!   queued is answered [`Unanswered::Abandoned`].
//! - While nothing waits, nothing runs: no timer, no polling.
//!
//! # How it works
//! One short lock guards the queue and the counts. Whoever changes something
//! (submits the item that fills a batch, frees a slot, asks for a flush) takes
//! the batches that may leave in the same step and spawns their processing. One
//! task, the clock, sleeps until the next time anything could be due.

mod batch;
mod clock;
mod error;
mod policy;
mod queue;
mod rate;
mod reply;
#[cfg(test)]
mod rest_tests;
mod seat;
mod settings;
mod source;
mod state;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::Waker;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

pub use batch::{Batch, Member};
pub use error::{Refusal, Refused, Unanswered};
pub use policy::FlushReason;
pub use reply::{Reply, Stage};
pub use settings::{OnFull, Settings, Wait};
pub use source::Source;
pub use state::Snapshot;

use crate::sync::{Mutex, MutexGuard, thread_local};
use queue::Entry;
use source::{Census, InHouse};
use state::{Place, State, Work};

/// What can be batched.
pub trait Item: Send + 'static {
    /// Items with equal keys never share a batch. A hash of an id will do: two
    /// ids that meet by chance are only kept apart for nothing.
    fn key(&self) -> u64;

    /// The item's size in bytes.
    fn bytes(&self) -> usize;
}

/// Gathers items of type `J` into batches and answers each with an `R`.
///
/// A handle: clones are the same batcher.
pub struct Batcher<J: Item, R: Send + 'static>(Arc<Shared<J, R>>);

type Processing = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Shared<J: Item, R: Send + 'static> {
    settings: Settings,
    state: Mutex<State<J, R>>,
    process: Box<dyn Fn(Batch<J, R>) -> Processing + Send + Sync>,
    /// Where batches are processed, whoever sends them.
    runtime: Handle,
    census: Arc<Census>,
    /// Wakes the clock.
    clock: Arc<Notify>,
    /// Tells whoever waits for it that nothing is in the house.
    vacant: Notify,
}

impl<J: Item, R: Send + 'static> Batcher<J, R> {
    /// A batcher whose batches go to `process`, each in a task of its own.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled.
    pub fn new<P, F>(settings: Settings, process: P) -> Self
    where
        P: Fn(Batch<J, R>) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let settings = settings.bounded();
        let clock = Arc::new(Notify::new());
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(&settings, Instant::now())),
            settings,
            process: Box::new(move |batch| Box::pin(process(batch))),
            runtime: Handle::current(),
            census: Arc::default(),
            clock: Arc::clone(&clock),
            vacant: Notify::new(),
        });
        shared
            .runtime
            .spawn(clock::run(Arc::downgrade(&shared), clock));
        Self(shared)
    }

    /// Submits an item. The reply resolves when its result is there, or when
    /// `deadline` comes while it is still queued; dropping it is leaving.
    ///
    /// # Errors
    /// [`Refused`] hands the item back when the queue is full (and
    /// [`OnFull::Reject`] in force), when the item is too large for any batch, or
    /// after [`close`](Self::close).
    pub fn submit(&self, item: J, deadline: Instant) -> Result<Reply<J, R>, Refused<J>> {
        self.submit_from(item, deadline, None)
    }

    fn submit_from(
        &self,
        item: J,
        deadline: Instant,
        in_house: Option<InHouse>,
    ) -> Result<Reply<J, R>, Refused<J>> {
        let (key, bytes) = (item.key(), item.bytes());
        let settings = &self.0.settings;
        if bytes + settings.item_overhead > settings.max_bytes || bytes > settings.queue_bytes {
            let reason = Refusal::TooLarge;
            return Err(Refused { item, reason });
        }
        let now = Instant::now();
        let (answerer, seat) = seat::pair();
        let entry = Entry {
            item: (item, answerer),
            key,
            bytes,
            arrived: now,
            deadline,
        };
        let mut state = self.0.lock();
        if let Err(reason) = state.may_enter(settings, bytes, now) {
            drop(state);
            let (item, _) = entry.item;
            return Err(Refused { item, reason });
        }
        let source = in_house.as_ref().and_then(InHouse::source);
        let place = state.push(entry, source);
        let work = state.advance_full(&self.0, now);
        self.0.arm(&mut state, now);
        drop(state);
        self.0.perform(work);
        Ok(Reply::new(seat, place, Arc::clone(&self.0), in_house))
    }

    /// A caller that submits one item at a time, see [`Source`].
    pub fn source(&self) -> Source<J, R> {
        Source::new(self.clone(), Arc::clone(&self.0.census))
    }

    /// Sends everything that waits at this moment, as slots allow, and tells how
    /// many items that is.
    pub fn flush(&self) -> usize {
        // What is overdue does not count as sent.
        self.0.proceed(self.0.lock());
        let mut state = self.0.lock();
        let waiting = state.flush();
        self.0.proceed(state);
        waiting
    }

    /// Takes no more items, and sends what is queued as fast as slots allow.
    pub fn close(&self) {
        let mut state = self.0.lock();
        state.close();
        self.0.proceed(state);
    }

    /// Answers everything that is still queued with [`Unanswered::Abandoned`].
    /// Batches in flight are not touched.
    pub fn abandon(&self) {
        self.0.abandon();
    }

    /// Waits until nothing is queued and no batch is in flight.
    pub async fn vacated(&self) {
        loop {
            let mut vacant = std::pin::pin!(self.0.vacant.notified());
            vacant.as_mut().enable();
            if self.0.lock().is_vacant() {
                return;
            }
            vacant.await;
        }
    }

    /// Whether it takes no more items.
    pub fn is_closed(&self) -> bool {
        self.0.lock().is_closed()
    }

    /// From here on as many batches may be in flight, at least 1. Those that are
    /// more than that go on.
    pub fn set_max_in_flight(&self, limit: usize) {
        let mut state = self.0.lock();
        state.set_max_in_flight(limit);
        self.0.proceed(state);
    }

    /// The counts at this moment.
    pub fn snapshot(&self) -> Snapshot {
        let sources = self.0.census.open();
        self.0.lock().snapshot(sources)
    }

    /// Looks again whether waiting still pays.
    fn reconsider(&self) {
        if self.0.settings.wait == Wait::Adaptive {
            self.0.proceed(self.0.lock());
        }
    }
}

impl<J: Item, R: Send + 'static> Shared<J, R> {
    fn lock(&self) -> MutexGuard<'_, State<J, R>> {
        // A step that panicked has left no step half done that another builds on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does all that is due now, and sets the clock for what is due next.
    fn proceed(self: &Arc<Self>, mut state: MutexGuard<'_, State<J, R>>) {
        let now = Instant::now();
        let work = state.advance(self, now);
        self.arm(&mut state, now);
        self.announce(&state);
        drop(state);
        self.perform(work);
    }

    /// As [`proceed`](Self::proceed), by the clock: when it is to come again.
    fn tick(self: &Arc<Self>) -> Option<Instant> {
        let now = Instant::now();
        let mut state = self.lock();
        let work = state.advance(self, now);
        let due = state.rearm(self, now);
        self.announce(&state);
        drop(state);
        self.perform(work);
        due
    }

    /// Tells whoever waits for it that nothing is in the house, if so.
    fn announce(&self, state: &State<J, R>) {
        if state.is_vacant() {
            self.vacant.notify_waiters();
        }
    }

    /// A batch that rests wants a slot.
    fn line_up(self: &Arc<Self>, place: Place<J, R>) {
        let mut state = self.lock();
        state.line_up(place);
        self.proceed(state);
    }

    fn abandon(self: &Arc<Self>) {
        let work = self.lock().clear();
        self.perform(work);
        self.vacant.notify_waiters();
    }

    /// There is no runtime any more: takes nothing, and answers what is queued.
    fn end(self: &Arc<Self>) {
        self.lock().close();
        self.abandon();
    }

    /// Has the clock wake in time, and not at all if it will anyway.
    fn arm(&self, state: &mut State<J, R>, now: Instant) {
        if state.arm(self, now) {
            self.clock.notify_one();
        }
    }

    /// Carries out what was decided under the lock.
    fn perform(self: &Arc<Self>, work: Work<J, R>) {
        for (item, waker) in work.gone {
            drop(item);
            waker.into_iter().for_each(Waker::wake);
        }
        for (place, slot) in work.slots {
            // Whoever does not want it any more frees it by dropping it.
            drop(place.send(slot));
        }
        let _spawning = Spawning::enter();
        for batch in work.batches {
            let shared = Arc::clone(self);
            // Inside of the task, so that a panic is that task's alone.
            self.runtime
                .spawn(async move { (shared.process)(batch).await });
        }
    }
}

impl<J: Item, R: Send + 'static> std::fmt::Debug for Shared<J, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the state, whose lock may be held.
        f.debug_struct("Shared")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl<J: Item, R: Send + 'static> Drop for Shared<J, R> {
    fn drop(&mut self) {
        // The clock finds nobody there, and ends.
        self.clock.notify_one();
    }
}

impl<J: Item, R: Send + 'static> Clone for Batcher<J, R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<J: Item, R: Send + 'static> std::fmt::Debug for Batcher<J, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Batcher").field(&self.snapshot()).finish()
    }
}

/// One of the places for batches in flight; free again when dropped. See
/// [`Batch::slot`].
#[must_use = "a slot that is dropped is free again"]
pub struct Slot<J: Item, R: Send + 'static>(Arc<Shared<J, R>>);

impl<J: Item, R: Send + 'static> Drop for Slot<J, R> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.free_slot();
        if Spawning::is_on() {
            // A runtime that has ended drops what it is given at once, and would
            // so be given batch after batch, each inside of the last. The clock
            // may be gone with it.
            self.0.announce(&state);
            drop(state);
            self.0.clock.notify_one();
        } else {
            self.0.proceed(state);
        }
    }
}

/// Says that this thread is handing batches to the runtime.
struct Spawning(bool);

thread_local! {
    static SPAWNING: Cell<bool> = const { Cell::new(false) };
}

impl Spawning {
    fn enter() -> Self {
        Self(SPAWNING.with(|spawning| spawning.replace(true)))
    }

    fn is_on() -> bool {
        SPAWNING.with(Cell::get)
    }
}

impl Drop for Spawning {
    fn drop(&mut self) {
        SPAWNING.with(|spawning| spawning.set(self.0));
    }
}

impl<J: Item, R: Send + 'static> std::fmt::Debug for Slot<J, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot")
    }
}
