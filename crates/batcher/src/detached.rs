//! An item whose answer is not awaited by a caller but handed to whoever keeps it.
//!
//! Detached items wait in a lane of their own: they take the free places of batches that
//! leave for callers, and leave by themselves where no caller's batch is ready. The lane is
//! as long as whoever submits them lets it be: the bounds of the queue are the callers'.
//!
//! There is nothing else of one that waits than its place in line, what is done with its
//! answer, and this handle to it, so that there may be a million.

use std::sync::Arc;

use tokio::time::Instant;

use crate::batcher::Batcher;
use crate::error::Error;
use crate::handle::Handle;
use crate::keys::Keys;
use crate::member::{Pending, Standing};
use crate::options::Options;
use crate::queue::{Entry, Loads};
use crate::recipient::{OnAnswer, Recipient};
use crate::reply_slot::{self, ReplySlot, Stage};

/// A detached item that was submitted. Dropping this leaves it where it is.
pub struct Detached<J: Send + 'static, R: Send + 'static> {
    slot: ReplySlot<R>,
    handle: Arc<Handle<J, R>>,
}

impl<J: Send + 'static, R: Send + 'static> Detached<J, R> {
    /// Takes the item out of its lane at once, or tells its batch that nobody wants its
    /// answer any more, see [`Batch::abandoned`](crate::Batch::abandoned). What is done
    /// with its answer is dropped, unless the item is answered already.
    pub fn withdraw(&self) {
        let mut state = self.handle.lock();
        // Under the lock, which an item leaves its lane and comes back to it under, and a
        // parked batch counts each member once under.
        let left = self.slot.leave();
        let withdrawn = left.ticket().and_then(|ticket| state.withdraw(ticket));
        if let Some(bytes) = left.parked_bytes() {
            state.leave_parked(Loads::one(bytes, true));
        }
        self.handle.release_only(state);
        drop((withdrawn, left));
    }

    /// How far the item has come; `None` once it is answered or withdrawn.
    pub fn stage(&self) -> Option<Stage> {
        self.slot.stage()
    }
}

impl<J: Send + 'static, R: Send + 'static> std::fmt::Debug for Detached<J, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Detached")
            .field("stage", &self.stage())
            .finish_non_exhaustive()
    }
}

impl<J: Send + 'static, R: Send + 'static> Batcher<J, R> {
    /// Submits a detached item. There is always room for it: `queue_items`, `queue_bytes`
    /// and `on_full` of the [`Settings`](crate::Settings) are for items that callers wait
    /// for, and how many are detached is up to whoever calls this.
    ///
    /// It is never answered from within this call.
    ///
    /// # Errors
    /// With the item, where it is larger than a batch may be, or after
    /// [`close`](Self::close); nothing is done with an answer then.
    pub fn submit_detached(
        &self,
        item: J,
        mut options: Options,
        on_answer: OnAnswer<R>,
    ) -> Result<Detached<J, R>, (J, Error)> {
        let handle = &self.0;
        let settings = &handle.shared.settings;
        if let Some(key_of) = &handle.shared.key_of {
            options.keys = Keys::one(key_of(&item));
        }
        if options.is_too_large(settings) {
            return Err((item, Error::TooLarge));
        }
        let arrived = Instant::now();
        let (answerer, slot) = reply_slot::pair(Recipient::Detached(on_answer));
        let mut standing = Box::new(Standing::default());
        let mut state = handle.lock();
        if state.is_closed() {
            drop(state);
            // Before the answering end is dropped, which would answer.
            drop(slot.leave());
            return Err((item, Error::Closed));
        }
        standing.number = state.next_detached();
        let pending = Pending {
            item,
            answerer,
            runtime: handle.index,
            detached: Some(standing),
        };
        let entry = Entry::new(pending, options, arrived);
        slot.set_ticket(state.push_detached(entry));
        // Left to the clock, so that nothing of callers leaves earlier for it.
        handle.set_clock(state);
        Ok(Detached {
            slot,
            handle: Arc::clone(handle),
        })
    }

    /// Until then no detached item leaves, neither in a batch of its like nor beside those
    /// of callers, whatever is full, due, or flushed; with `None` they leave again. Their
    /// deadlines go on. A batcher that is [closed](Self::close) holds nothing.
    pub fn hold_detached(&self, until: Option<Instant>) {
        let mut state = self.0.lock();
        state.hold_detached(until);
        self.0.set_clock(state);
    }

    /// As [`hold_detached`](Self::hold_detached), for another reason, which has an end of
    /// its own: it is neither taken back nor shortened, and a closed batcher waits for it.
    pub fn pause_detached(&self, until: Instant) {
        let mut state = self.0.lock();
        state.pause_detached(until);
        self.0.set_clock(state);
    }
}
