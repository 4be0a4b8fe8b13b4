//! What was decided under the lock, made ready there to be done once it is released.
//!
//! An `S` is a slot.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::answered::{Answered, answer};
use crate::error::Error;
use crate::frame::Frame;
use crate::liveness::Liveness;
use crate::member::{Member, Pending};
use crate::policy::FlushReason;
use crate::queue::Room;
use crate::state::{Decisions, Departure};

/// Whom to tell of a slot.
pub(crate) type Waiter<S> = oneshot::Sender<S>;

/// What is left to do.
pub(crate) struct Work<J, R, S> {
    pub batches: Vec<Dispatch<J, R, S>>,
    /// Slots for batches that were parked.
    pub slots: Vec<(Waiter<S>, S)>,
    pub gone: Vec<Answered<J, R>>,
}

/// A batch that leaves, on its way to the processor. Dropped there, its members are
/// answered before the slot is free.
pub(crate) struct Dispatch<J, R, S> {
    pub members: Vec<Member<J, R>>,
    pub frame: Option<Frame>,
    pub reason: FlushReason,
    pub left: Instant,
    pub liveness: Arc<Liveness>,
    pub slot: S,
}

impl<J, R, S> Work<J, R, S> {
    /// Makes the handles, still under the lock, so that a departing caller finds its item
    /// either queued, in flight or answered. `slot` makes a slot, for a half or not.
    pub fn new(
        decisions: Decisions<Pending<J, R>, Waiter<S>>,
        slot: impl Fn(bool) -> S,
        now: Instant,
    ) -> Self {
        let room_in = decisions.room_in;
        let resumed = decisions.resumed.into_iter();
        let batches = decisions.departures.into_iter();
        Self {
            gone: answer(decisions.expired, |room| match room {
                Room::Queue => Error::Expired { room_in },
                Room::Overflow => Error::Full { room_in },
            }),
            slots: resumed.map(|(whom, half)| (whom, slot(half))).collect(),
            batches: batches
                .map(|it| Dispatch::new(it, slot(false), now))
                .collect(),
        }
    }
}

impl<J, R, S> Dispatch<J, R, S> {
    fn new(departure: Departure<Pending<J, R>>, slot: S, now: Instant) -> Self {
        let liveness = Arc::new(Liveness::default());
        let attach = |entry| {
            let member = Member::new(entry);
            // From the queue, which is no batch that could be told.
            let _ = member.answerer.attach(&liveness, member.bytes);
            member
        };
        let mut members: Vec<_> = departure.entries.into_iter().map(&attach).collect();
        members.extend(departure.riders.into_iter().map(attach));
        Self {
            members,
            frame: departure.frame,
            reason: departure.reason,
            left: now,
            liveness,
            slot,
        }
    }
}
