//! A caller's end of a submitted item.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::error::Error;
use super::local::Local;
use super::queue::{Load, Room, Ticket};
use super::seat::{self, Seat};
use super::source::InHouse;

/// Resolves to the item's result. Dropping it is leaving: a queued item gives
/// its place back at once; a batch in flight that all callers have left is told
/// so, see [`Batch::abandoned`](super::Batch::abandoned).
#[must_use = "dropping a reply withdraws its item"]
pub struct Reply<J: Send + 'static, R: Send + 'static> {
    seat: Seat<R>,
    ticket: Ticket,
    room: Room,
    local: Arc<Local<J, R>>,
    _in_house: Option<InHouse>,
}

/// How far an unanswered item has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It waits for a batch, or for room in the queue.
    Queued,
    /// Its batch has left.
    InFlight,
}

impl<J: Send + 'static, R: Send + 'static> Reply<J, R> {
    pub(super) fn new(
        seat: Seat<R>,
        (ticket, room): (Ticket, Room),
        local: Arc<Local<J, R>>,
        in_house: Option<InHouse>,
    ) -> Self {
        Self {
            seat,
            ticket,
            room,
            local,
            _in_house: in_house,
        }
    }

    /// How far the item has come; `None` once it is answered.
    pub fn stage(&self) -> Option<Stage> {
        self.seat.stage().map(|stage| match stage {
            seat::Stage::Queued => Stage::Queued,
            seat::Stage::InFlight(..) => Stage::InFlight,
        })
    }

    /// Whether the queue was full when the item came, so that it waits for room.
    pub fn found_no_room(&self) -> bool {
        self.room == Room::Lobby
    }

    /// Takes the item out of the queue, if it is there still.
    fn withdraw(&self) -> bool {
        let mut state = self.local.lock();
        let Some(withdrawn) = state.cancel(self.ticket) else {
            return false;
        };
        self.local.proceed(state);
        // Before the answering end is dropped, which would answer.
        let _ = self.seat.leave();
        drop(withdrawn);
        true
    }
}

impl<J: Send + 'static, R: Send + 'static> Future for Reply<J, R> {
    type Output = Result<R, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.seat.poll(context)
    }
}

impl<J: Send + 'static, R: Send + 'static> Drop for Reply<J, R> {
    fn drop(&mut self) {
        if self.seat.is_over() {
            return;
        }
        if let Some(seat::Stage::Queued) = self.seat.stage()
            && self.withdraw()
        {
            return;
        }
        // Under the lock, so that a batch that rests counts each member once.
        let mut state = self.local.lock();
        let left = self.seat.leave();
        if left.loses_an_answer() {
            state.cancel_in_flight();
        }
        if let Some(bytes) = left.rested() {
            state.end_rest(Load::one(bytes));
            self.local.proceed(state);
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
