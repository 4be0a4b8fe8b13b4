#![doc = include_str!("../README.md")]
//!
//! # Several runtimes
//! One batcher may serve several runtimes, such as one for each thread: each has a
//! handle of its own, from [`Batcher::on_this_runtime`]. Items of all of them share
//! batches. A batch is processed on the runtime that sent it (the one that filled it
//! or found its wait to be over, or that had the slot before), unless fewer are under
//! way on another: then there.
//!
//! # How it works
//! One short lock guards the queue and the counts. Whoever changes something
//! (submits the item that fills a batch, frees a slot, asks for a flush) takes
//! the batches that may leave in the same step and spawns their processing. On
//! each runtime one task, the clock, sleeps until the next time that it knows of
//! anything to be due, and one, the postman, wakes callers for the others.

mod batch;
mod cap;
mod clock;
mod desk;
mod error;
mod frame;
mod front;
mod keys;
mod line;
mod local;
#[cfg(test)]
mod many_runtimes_tests;
mod options;
mod policy;
mod queue;
mod rate;
#[cfg(test)]
mod reentry_tests;
mod reply;
#[cfg(test)]
mod rest_tests;
mod returning;
#[cfg(test)]
mod runtimes_tests;
mod seat;
mod settings;
mod source;
mod state;
mod sync;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod waiting_tests;
pub mod window;

use std::cell::Cell;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

pub use batch::{Batch, Member};
pub use cap::{Cap, Ceiling};
pub use error::{Error, Failure};
pub use frame::Frame;
pub use front::{Key, Loader, Value};
pub use options::Options;
pub use policy::FlushReason;
pub use reply::{Reply, Stage};
pub use settings::{OnFull, Settings, Wait};
pub use source::Source;
pub use state::Snapshot;

use crate::sync::{Mutex, MutexGuard, thread_local};
use desk::{Desk, UnderWay};
use local::Local;
use queue::Entry;
use source::{Census, InHouse};
use state::{Pending, State};

/// Gathers items of type `J` into batches and answers each with an `R`.
///
/// A handle: clones are the same batcher.
pub struct Batcher<J: Send + 'static, R: Send + 'static>(Arc<Local<J, R>>);

type Processing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Tells an item's key, whatever was said of it.
type KeyOf<J> = Box<dyn Fn(&J) -> u64 + Send + Sync>;

struct Shared<J: Send + 'static, R: Send + 'static> {
    settings: Settings,
    state: Mutex<State<J, R>>,
    process: Box<dyn Fn(Batch<J, R>) -> Processing + Send + Sync>,
    key_of: Option<KeyOf<J>>,
    census: Arc<Census>,
    /// Where the runtimes are reached that it serves.
    desks: Mutex<Vec<Arc<Desk>>>,
    /// Tells whoever waits for it that nothing is in the house.
    vacant: Notify,
}

impl<J: Send + 'static, R: Send + 'static> Batcher<J, R> {
    /// A batcher whose batches go to `process` as they are, each in a task of its
    /// own: to be answered one by one, parked, resumed or split.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled.
    pub fn with_batches<P, F>(settings: Settings, process: P) -> Self
    where
        P: Fn(Batch<J, R>) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Self::open(settings, None, process)
    }

    fn open<P, F>(settings: Settings, key_of: Option<KeyOf<J>>, process: P) -> Self
    where
        P: Fn(Batch<J, R>) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let settings = settings.bounded();
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(&settings, Instant::now())),
            settings,
            process: Box::new(move |batch| Box::pin(process(batch))),
            key_of,
            census: Arc::default(),
            desks: Mutex::default(),
            vacant: Notify::new(),
        });
        Self(Arc::new(Desk::open(&shared)))
    }

    /// The same batcher for another runtime: what is submitted by this handle
    /// leaves in the same batches; a share of them is processed on the runtime that
    /// this is called on, and its replies cost least when they are awaited there.
    /// Called again on one runtime it gives another handle to the same.
    ///
    /// The runtime must be run until it ends. When that is before the batcher, the
    /// members of batches that are processed there are answered
    /// [`Error::Dropped`], and what is queued leaves by the others.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled.
    #[must_use]
    pub fn on_this_runtime(&self) -> Self {
        Self(Arc::new(Desk::open(&self.0.shared)))
    }

    /// Submits an item of which nothing else is known, see [`Options`]. The reply
    /// resolves when its result is there; dropping it is leaving.
    ///
    /// # Errors
    /// When the queue is full (and [`OnFull::Reject`] in force), when too many items
    /// wait for others of their keys, when the item is too large for any batch, or
    /// after [`close`](Self::close).
    pub fn submit(&self, item: J) -> Result<Reply<J, R>, Error> {
        self.submit_with(item, Options::default())
    }

    /// As [`submit`](Self::submit), with what is known of the item.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn submit_with(&self, item: J, options: Options) -> Result<Reply<J, R>, Error> {
        self.submit_from(item, options, None)
    }

    /// Submits an item of which nothing else is known, and waits for its result.
    ///
    /// # Errors
    /// Those of [`submit`](Self::submit), and those of its reply.
    pub async fn execute(&self, item: J) -> Result<R, Error> {
        self.submit(item)?.await
    }

    fn submit_from(
        &self,
        item: J,
        options: Options,
        in_house: Option<InHouse>,
    ) -> Result<Reply<J, R>, Error> {
        let Options {
            key,
            bytes,
            deadline,
            ..
        } = options;
        let local = &self.0;
        let settings = &local.shared.settings;
        let key = match &local.shared.key_of {
            Some(key_of) => Some(key_of(&item)),
            None => key,
        };
        let in_batch = bytes.checked_add(settings.item_overhead);
        if in_batch.is_none_or(|it| it > settings.max_bytes) || bytes > settings.queue_bytes {
            return Err(Error::TooLarge);
        }
        let now = Instant::now();
        let (answerer, seat) = seat::pair();
        let entry = Entry {
            item: Pending {
                item,
                answerer,
                desk: local.index,
            },
            key,
            bytes,
            arrived: now,
            deadline,
        };
        let mut state = local.lock();
        if let Err(refused) = state.may_enter(settings, (key, bytes), now) {
            drop(state);
            return Err(refused);
        }
        let source = in_house.as_ref().and_then(InHouse::source);
        let place = state.push(entry, source);
        let work = state.advance_full(local, now);
        let earlier = local.arm(&mut state, now);
        local.release(state, earlier);
        local.perform(work);
        Ok(Reply::new(seat, place, Arc::clone(local), in_house))
    }

    /// A caller that submits one item at a time, see [`Source`].
    pub fn source(&self) -> Source<J, R> {
        Source::new(self.clone(), Arc::clone(&self.0.shared.census))
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

    /// Answers everything that is still queued with [`Error::Abandoned`].
    /// Batches in flight are not touched.
    pub fn abandon(&self) {
        self.0.abandon();
    }

    /// Waits until nothing is queued and no batch is in flight.
    pub async fn vacated(&self) {
        loop {
            let mut vacant = std::pin::pin!(self.0.shared.vacant.notified());
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

    /// Keeps batches below the configured bounds from here on, until the cap's times
    /// are over or the next one is set.
    pub fn cap(&self, cap: Cap) {
        let mut state = self.0.lock();
        state.cap(cap);
        self.0.proceed(state);
    }

    /// The counts at this moment.
    pub fn snapshot(&self) -> Snapshot {
        let sources = self.0.shared.census.open();
        self.0.lock().snapshot(sources)
    }

    /// The same, and the most that there was of something since this was last asked,
    /// which is told once: for the one who keeps such maxima over time.
    pub fn observe(&self) -> Snapshot {
        let sources = self.0.shared.census.open();
        self.0.lock().observe(sources)
    }

    fn is_adaptive(&self) -> bool {
        self.0.shared.settings.wait == Wait::Adaptive
    }

    /// Looks again whether waiting still pays.
    fn reconsider(&self) {
        if self.is_adaptive() {
            self.0.proceed(self.0.lock());
        }
    }
}

impl<J: Send + 'static, R: Send + 'static> Shared<J, R> {
    fn lock(&self) -> MutexGuard<'_, State<J, R>> {
        // A step that panicked has left no step half done that another builds on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn desks(&self) -> MutexGuard<'_, Vec<Arc<Desk>>> {
        // Nothing panics while it is held.
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J: Send + 'static, R: Send + 'static> Drop for Shared<J, R> {
    fn drop(&mut self) {
        // Its tasks find nobody there, and end.
        let desks = std::mem::take(&mut *self.desks());
        desks.iter().for_each(|desk| desk.dismiss());
    }
}

impl<J: Send + 'static, R: Send + 'static> Clone for Batcher<J, R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<J: Send + 'static, R: Send + 'static> std::fmt::Debug for Batcher<J, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Batcher").field(&self.snapshot()).finish()
    }
}

/// One of the places for batches in flight; free again when dropped. See
/// [`Batch::slot`].
#[must_use = "a slot that is dropped is free again"]
pub struct Slot<J: Send + 'static, R: Send + 'static> {
    local: Arc<Local<J, R>>,
    /// Whether it was given to a half of a batch that was split.
    half: bool,
    /// That its batch is processed there; none once it is free.
    under_way: Option<UnderWay>,
}

impl<J: Send + 'static, R: Send + 'static> Slot<J, R> {
    fn new(local: Arc<Local<J, R>>, half: bool) -> Self {
        let under_way = Some(UnderWay::at(&local.desk));
        Self {
            local,
            half,
            under_way,
        }
    }

    fn local(&self) -> &Arc<Local<J, R>> {
        &self.local
    }

    /// Its batch is processed there. What another batcher has given stays that
    /// one's, to be free there: here it was never taken.
    fn move_to(&mut self, local: &Arc<Local<J, R>>) {
        if Arc::ptr_eq(&self.local.shared, &local.shared) {
            self.under_way = Some(UnderWay::at(&local.desk));
            self.local = Arc::clone(local);
        }
    }
}

impl<J: Send + 'static, R: Send + 'static> Drop for Slot<J, R> {
    fn drop(&mut self) {
        // Before what takes its place looks where that is.
        self.under_way = None;
        let mut state = self.local.lock();
        state.free_slot(self.half);
        if Spawning::is_on() {
            // A runtime that has ended drops what it is given at once, and would
            // so be given batch after batch, each inside of the last. The clock
            // may be gone with it.
            self.local.release(state, true);
        } else {
            self.local.proceed(state);
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

impl<J: Send + 'static, R: Send + 'static> std::fmt::Debug for Slot<J, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot")
    }
}
