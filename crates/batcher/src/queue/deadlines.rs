//! The deadlines of all that wait, the earliest first.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::keys::{Number, Ticket};
use super::line::Line;

#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    /// Nearly all items have the same time to stay, so that their deadlines come in
    /// the order of their arrivals.
    in_order: Line<(Instant, Number)>,
    /// Those that come before one of an earlier item.
    early: BTreeSet<(Instant, Number, usize)>,
}

impl Deadlines {
    /// An item comes; whether its deadline is an early one.
    pub fn join(&mut self, deadline: Instant, Ticket { number, at }: Ticket) -> bool {
        let latest = self.in_order.last();
        let early = latest.is_some_and(|(latest, _)| deadline < latest);
        match early {
            true => drop(self.early.insert((deadline, number, at))),
            false => self.in_order.join((deadline, number), at),
        }
        early
    }

    /// The item leaves.
    pub fn leave(&mut self, deadline: Instant, Ticket { number, at }: Ticket, early: bool) {
        match early {
            true => drop(self.early.remove(&(deadline, number, at))),
            false => drop(self.in_order.leave((deadline, number))),
        }
    }

    /// The earliest, and whose it is.
    pub fn first(&self) -> Option<(Instant, Ticket)> {
        let in_order = self.in_order.first();
        let in_order = in_order.map(|((deadline, number), at)| (deadline, Ticket { number, at }));
        let early = self.early.first();
        let early = early.map(|&(deadline, number, at)| (deadline, Ticket { number, at }));
        [in_order, early]
            .into_iter()
            .flatten()
            .min_by_key(|&(deadline, ticket)| (deadline, ticket.number))
    }
}
