//! The handle that items are submitted with.

use std::sync::Arc;

use tokio::time::Instant;

use crate::attachment::attach;
use crate::batch::Batch;
use crate::cap::Cap;
use crate::error::Error;
use crate::handle::{Handle, KeyOf, Processing, Shared};
use crate::keys::Keys;
use crate::member::Pending;
use crate::options::Options;
use crate::queue::Entry;
use crate::recipient::Recipient;
use crate::reply::Reply;
use crate::reply_slot;
use crate::settings::Settings;
use crate::snapshot::Snapshot;
use crate::sources::InFlight;

/// Gathers items of type `J` into batches and answers each with an `R`.
///
/// A handle: clones are the same batcher.
pub struct Batcher<J: Send + 'static, R: Send + 'static>(pub(crate) Arc<Handle<J, R>>);

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

    pub(crate) fn open<P, F>(settings: Settings, key_of: Option<KeyOf<J>>, process: P) -> Self
    where
        P: Fn(Batch<J, R>) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let process = move |dispatch| -> Processing { Box::pin(process(Batch::new(dispatch))) };
        let shared = Arc::new(Shared::new(settings.bounded(), key_of, process));
        Self(Arc::new(attach(&shared)))
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
        Self(Arc::new(attach(&self.0.shared)))
    }

    /// How it behaves.
    pub fn settings(&self) -> &Settings {
        &self.0.shared.settings
    }

    /// Submits an item of which nothing else is known, see [`Options`]. The reply
    /// resolves when its result is there; dropping it is leaving.
    ///
    /// # Errors
    /// When the queue is full (and [`OnFull::Reject`](crate::OnFull::Reject) in force),
    /// when too many items wait for others of their keys, when the item is too large for
    /// any batch, or after [`close`](Self::close).
    pub fn submit(&self, item: J) -> Result<Reply<J, R>, Error> {
        self.submit_with(item, Options::default())
    }

    /// As [`submit`](Self::submit), with what is known of the item.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn submit_with(&self, item: J, options: Options) -> Result<Reply<J, R>, Error> {
        let refused = |(_, error)| error;
        self.try_submit(item, options).map_err(refused)
    }

    /// As [`submit_with`](Self::submit_with), for an item that its caller wants back if
    /// it is not taken.
    ///
    /// # Errors
    /// As [`submit`](Self::submit), with the item.
    pub fn try_submit(&self, item: J, options: Options) -> Result<Reply<J, R>, (J, Error)> {
        self.submit_from(item, options, None)
    }

    /// Submits an item of which nothing else is known, and waits for its result.
    ///
    /// # Errors
    /// Those of [`submit`](Self::submit), and those of its reply.
    pub async fn execute(&self, item: J) -> Result<R, Error> {
        self.submit(item)?.await
    }

    /// As [`try_submit`](Self::try_submit), on behalf of a source.
    pub(crate) fn submit_from(
        &self,
        item: J,
        mut options: Options,
        in_flight: Option<InFlight>,
    ) -> Result<Reply<J, R>, (J, Error)> {
        let handle = &self.0;
        let settings = &handle.shared.settings;
        if let Some(key_of) = &handle.shared.key_of {
            options.keys = Keys::one(key_of(&item));
        }
        if options.is_too_large(settings) || options.bytes > settings.queue_bytes {
            return Err((item, Error::TooLarge));
        }
        let now = Instant::now();
        let (answerer, slot) = reply_slot::pair(Recipient::Caller(None));
        let mut state = handle.lock();
        if let Err(refused) = state.may_enter(&options, now) {
            drop(state);
            return Err((item, refused));
        }
        let pending = Pending {
            item,
            answerer,
            runtime: handle.index,
            detached: None,
        };
        let entry = Entry::new(pending, options, now);
        let source = in_flight.as_ref().and_then(InFlight::source);
        let place = state.push(entry, source);
        handle.proceed_full(state, now);
        Ok(Reply::new(slot, place, Arc::clone(handle), in_flight))
    }

    /// Sends everything that waits at this moment, as slots allow, and tells how
    /// many items that is, detached ones among them. It does not wait for their results, as
    /// [`vacated`](Self::vacated) does.
    pub fn flush(&self) -> usize {
        // What is overdue does not count as sent.
        self.0.proceed(self.0.lock());
        let mut state = self.0.lock();
        let waiting = state.flush();
        self.0.proceed(state);
        waiting
    }

    /// Takes no more items, and sends what is queued as fast as slots allow, detached
    /// items that were [held](Self::hold_detached) too.
    pub fn close(&self) {
        let mut state = self.0.lock();
        state.close();
        self.0.proceed(state);
    }

    /// Answers everything that is still queued, in both lanes, with [`Error::Abandoned`].
    /// Batches in flight are not touched.
    pub fn abandon(&self) {
        self.0.abandon();
    }

    /// Waits until nothing is queued and no batch is in flight, in no lane; what is done
    /// with the answers to detached items has been done by then.
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
        state.set_max_in_flight(limit, Instant::now());
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
        let sources = self.0.shared.sources.open();
        self.0.lock().snapshot(sources, Instant::now())
    }

    /// The same, and the most that there was of something since this was last asked,
    /// which is told once: for the one who keeps such maxima over time.
    pub fn observe(&self) -> Snapshot {
        let sources = self.0.shared.sources.open();
        self.0.lock().observe(sources, Instant::now())
    }
}

impl<J: Send + 'static, R: Send + 'static, I> Batch<J, R, I> {
    /// The batcher that the batch comes from.
    pub fn batcher(&self) -> Batcher<J, R> {
        Batcher(Arc::clone(self.handle()))
    }

    /// Which of the batcher's runtimes it is processed on: 0 for the one that the
    /// batcher was made on, 1 for the first of
    /// [`on_this_runtime`](Batcher::on_this_runtime), and so on. The number of one that
    /// has ended is given to another.
    pub fn runtime(&self) -> usize {
        self.handle().place()
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
