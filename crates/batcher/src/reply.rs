//! A caller's end of a submitted item.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::Error;
use crate::handle::Handle;
use crate::queue::{Loads, Room, Ticket};
use crate::reply_slot::{ReplySlot, Stage};
use crate::sources::InFlight;

/// Resolves to the item's result. Dropping it is leaving: a queued item gives
/// its place back at once; a batch in flight that all callers have left is told
/// so, see [`Batch::abandoned`](crate::Batch::abandoned).
#[must_use = "dropping a reply withdraws its item"]
pub struct Reply<J: Send + 'static, R: Send + 'static> {
    slot: ReplySlot<R>,
    ticket: Ticket,
    room: Room,
    handle: Arc<Handle<J, R>>,
    _in_flight: Option<InFlight>,
}

impl<J: Send + 'static, R: Send + 'static> Reply<J, R> {
    pub(crate) fn new(
        slot: ReplySlot<R>,
        (ticket, room): (Ticket, Room),
        handle: Arc<Handle<J, R>>,
        in_flight: Option<InFlight>,
    ) -> Self {
        Self {
            slot,
            ticket,
            room,
            handle,
            _in_flight: in_flight,
        }
    }

    /// How far the item has come; `None` once it is answered.
    pub fn stage(&self) -> Option<Stage> {
        self.slot.stage()
    }

    /// Whether the queue was full when the item came, so that it waits for room.
    pub fn found_no_room(&self) -> bool {
        self.room == Room::Overflow
    }

    /// Takes the item out of the queue, if it is there still.
    fn withdraw(&self) -> bool {
        let mut state = self.handle.lock();
        let Some(withdrawn) = state.cancel(self.ticket) else {
            return false;
        };
        self.handle.proceed(state);
        // Before the answering end is dropped, which would answer.
        let _ = self.slot.leave();
        drop(withdrawn);
        true
    }
}

impl<J: Send + 'static, R: Send + 'static> Future for Reply<J, R> {
    type Output = Result<R, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.slot.poll(context)
    }
}

impl<J: Send + 'static, R: Send + 'static> Drop for Reply<J, R> {
    fn drop(&mut self) {
        if self.slot.is_over() {
            return;
        }
        if self.slot.stage() == Some(Stage::Queued) && self.withdraw() {
            return;
        }
        // Under the lock, so that a parked batch counts each member once.
        let mut state = self.handle.lock();
        let left = self.slot.leave();
        if left.loses_an_answer() {
            state.cancel_in_flight();
        }
        if let Some(bytes) = left.parked_bytes() {
            state.leave_parked(Loads::one(bytes, false));
            self.handle.proceed(state);
        } else {
            drop(state);
        }
        drop(left);
    }
}

impl<J: Send + 'static, R: Send + 'static> std::fmt::Debug for Reply<J, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply")
            .field("ticket", &self.ticket)
            .field("stage", &self.stage())
            .finish_non_exhaustive()
    }
}
