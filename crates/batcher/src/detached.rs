//! An item whose answer is not awaited by a caller but handed to whoever keeps it.
//!
//! Detached items wait in a lane of their own: they take the free places of batches that
//! leave for callers, and leave by themselves where no caller's batch is ready. The lane is
//! as long as whoever submits them lets it be: the bounds of the queue are the callers'.
//!
//! There is nothing else of one that waits than its place in line, what is done with its
//! answer, and this handle to it, so that there may be a million.

use std::pin::pin;
use std::sync::Arc;

use futures_util::future::select;
use tokio::time::{Instant, sleep_until};

use crate::batcher::Batcher;
use crate::error::Error;
use crate::handle::Handle;
use crate::keys::Keys;
use crate::options::Options;
use crate::queue::{Entry, Loads};
use crate::recipient::{OnAnswer, Recipient};
use crate::reply_slot::{self, ReplySlot, Stage};
use crate::wanted::Wanted;

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

    /// Takes the item out of its lane if it is there, as [`withdraw`](Self::withdraw) does:
    /// whether it was. One whose batch has left is as it was before; one that was
    /// [put back](crate::Batch::put_back_detached) is there again.
    pub fn take_back(&self) -> bool {
        let mut state = self.handle.lock();
        // Under the lock, which it leaves its lane under.
        let Some((ticket, left)) = self.slot.leave_queue() else {
            return false;
        };
        let taken = state.withdraw(ticket);
        self.handle.release_only(state);
        drop((taken, left));
        true
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
        let (answerer, slot) = reply_slot::pair(Recipient::Detached(on_answer));
        let mut entry = Entry::detached(item, answerer, handle.index, options);
        let mut state = handle.lock();
        if state.is_closed() {
            drop(state);
            // Before the answering end is dropped, which would answer.
            drop(slot.leave());
            return Err((entry.item.item, Error::Closed));
        }
        entry.set_number(state.next_detached());
        slot.set_ticket(state.push_detached(entry));
        // Left to the clock, so that nothing of callers leaves earlier for it.
        handle.set_clock(state);
        Ok(Detached {
            slot,
            handle: Arc::clone(handle),
        })
    }

    /// For whoever keeps detached items elsewhere and submits them in time: returns as soon
    /// as some are wanted. Where a batch is `ready`, since as many are kept as fill one or
    /// the oldest has waited enough, that is one as soon as the lane holds less than one: so
    /// a slot that becomes free finds the next batch in the lane, and no more is in there
    /// than two of them. Else it is as much as the last batch of callers had free places
    /// for and the lane does not hold, once for each such batch: for the next of them.
    ///
    /// Nothing is wanted while detached items are [held](Self::hold_detached), nor once it
    /// is [closed](Self::close). Whoever has nothing to submit need not ask: until somebody
    /// does, nothing is noted. Dropped, it has asked for nothing.
    pub async fn detached_wanted(&self, ready: bool) -> Wanted {
        loop {
            let mut woken = pin!(self.0.shared.wanted.notified());
            woken.as_mut().enable();
            let wanted = self.0.lock().wanted(ready, Instant::now());
            match wanted {
                Ok(wanted) => return wanted,
                Err(None) => woken.await,
                Err(Some(time)) => {
                    select(woken, pin!(sleep_until(time))).await;
                }
            }
        }
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
