//! What is decided about detached items alone: how they come, go, and wait.

use tokio::time::Instant;

use super::State;
use crate::queue::{Entry, Number, Ticket};

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

    /// Until then no detached item leaves, neither beside others nor with its like.
    pub fn hold_detached(&mut self, until: Option<Instant>) {
        self.held_until = until;
    }

    /// Until when they are held, if they are.
    pub(super) fn held(&self, now: Instant) -> Option<Instant> {
        self.held_until.filter(|&until| now < until)
    }
}
