//! What is decided about detached items alone: how they come, go, and wait.

use tokio::time::Instant;

use super::{Departure, Lane, State};
use crate::extent::Extent;
use crate::queue::{Entry, Number, Ticket};
use crate::wanted::Wanted;

impl<T, P> State<T, P> {
    /// The number that the next detached item will have.
    pub fn next_detached(&self) -> Number {
        self.detached.queue.next_number()
    }

    /// Lines up a detached item. There is always room for it.
    pub fn push_detached(&mut self, entry: Entry<T>) -> Ticket {
        self.detached.queue.push(entry, None).0
    }

    /// A detached item is queued no longer. `None` if its batch left first.
    pub fn withdraw(&mut self, ticket: Ticket) -> Option<T> {
        let (entry, _) = self.detached.queue.remove(ticket)?;
        self.wants.lane_shrinks();
        Some(entry.item)
    }

    /// A detached item, which had this number, goes back to where it was in line.
    ///
    /// # Errors
    /// The entry, where all that waited was given up.
    pub fn put_back(&mut self, number: Number, entry: Entry<T>) -> Result<(Ticket, &T), Entry<T>> {
        match self.given_up {
            true => Err(entry),
            false => Ok(self.detached.queue.put_back(number, entry)),
        }
    }

    /// Until then no detached item leaves, neither beside others nor with its like, or
    /// until all are to leave since nothing comes any more.
    pub fn hold_detached(&mut self, until: Option<Instant>) {
        self.held_until = until;
        self.wants.lane_shrinks();
    }

    /// Nor before this, whatever else holds them or does not.
    pub fn pause_detached(&mut self, until: Instant) {
        self.paused_until = self.paused_until.max(Some(until));
    }

    /// What is wanted where a batch could be submitted, being `ready`, or else something.
    ///
    /// # Errors
    /// Where nothing is: when to ask again, unless that is [told](Self::take_wanted) before.
    pub fn wanted(&mut self, ready: bool, now: Instant) -> Result<Wanted, Option<Instant>> {
        let held = self.held(now);
        if held.is_some() || self.is_closed() {
            self.wants.wait(ready);
            return Err(held);
        }
        let batch = self.detached.bounds(None, now);
        let lane = self.detached.queue.extent_within(batch);
        self.wants.ask(ready, lane, batch).ok_or(None)
    }

    /// Whether those are to be told who wait to ask what is [wanted](Self::wanted).
    #[inline]
    pub fn take_wanted(&mut self) -> bool {
        self.wants.take_told()
    }

    /// A batch leaves.
    pub(super) fn note_wanted(&mut self, lane: Lane, departure: &Departure<T>, now: Instant) {
        if !self.wants.are_in_use() {
            return;
        }
        if lane == Lane::Detached || !departure.riders.is_empty() {
            self.wants.lane_shrinks();
        }
        if lane == Lane::Callers {
            let bounds = self.detached.bounds(departure.frame.as_ref(), now);
            let callers: Extent = departure.entries.iter().map(|it| it.extent).sum();
            let free = bounds.weight.saturating_sub(callers.weight);
            self.wants.callers_leave(free);
        }
    }

    /// Until when they are held, if they are.
    pub(super) fn held(&self, now: Instant) -> Option<Instant> {
        let held = self.held_until.filter(|_| !self.is_closed());
        held.max(self.paused_until).filter(|&until| now < until)
    }
}
