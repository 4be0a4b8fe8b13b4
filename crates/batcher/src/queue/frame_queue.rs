//! What waits of one frame: a value that is made with its first item and gone with
//! its last.
//!
//! It names items by their places in the slab that all frames share. Of each key the
//! oldest is its *leader*, all others are *followers*: they wait for one another.

use std::collections::BTreeSet;
use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

use super::entry::{Position, Waiting};
use super::keys::{Keys, Number, Rank, Rejoined, Ticket};
use super::line::Line;
use super::load::Load;
use crate::rate::Arrivals;

#[derive(Debug)]
pub(crate) struct FrameQueue {
    /// The oldest of each key, which the next batch may take.
    pub ready: Line<Number>,
    pub ready_bytes: usize,
    pub keys: Keys,
    /// Until when those wait for company at most whose time is too short for
    /// `max_wait`.
    hurried: BTreeSet<(Instant, Number)>,
    pub arrivals: Arrivals,
    /// How many wait, wherever.
    pub waiting: usize,
    /// Where it is lined up among the frames: since or from when a batch of it may
    /// leave, and which came first where that is the same.
    pub turn: Option<Turn>,
    /// Whether it has changed since its turn was set.
    pub changed: bool,
}

/// A place among the frames, see [`FrameQueue::turn`].
pub(crate) type Turn = (Instant, u64);

impl FrameQueue {
    /// Nothing waits. Gaps between arrivals count as no longer than `longest_gap`.
    pub fn new(longest_gap: Duration, keys: Keys) -> Self {
        Self {
            ready: Line::default(),
            ready_bytes: 0,
            keys,
            hurried: BTreeSet::new(),
            arrivals: Arrivals::new(longest_gap),
            waiting: 0,
            turn: None,
            changed: false,
        }
    }

    /// An item comes, to the queue or for room in it.
    pub fn join(&mut self, ticket: Ticket, key: Option<u64>, hurried: Option<Instant>) -> Rank {
        self.count(ticket, hurried);
        key.map_or(Rank::Leader, |key| {
            self.keys.join(key, ticket.number, ticket.at)
        })
    }

    /// An item comes back to its place in the queue, which it has left with a batch. What
    /// has become a follower by that.
    pub fn rejoin<T>(
        &mut self,
        ticket: Ticket,
        (key, bytes): (Option<u64>, usize),
        hurried: Option<Instant>,
        waiting: &mut Slab<Waiting<T>>,
    ) -> (Rank, Load) {
        self.count(ticket, hurried);
        let number_of = |at: usize| waiting[at].number;
        let rejoined = key.map(|key| self.keys.rejoin(key, ticket, number_of));
        let instead_of = match rejoined {
            Some(Rejoined::Follows) => return (Rank::Follower, Load::one(bytes)),
            Some(Rejoined::Leads { instead_of }) => instead_of,
            None => None,
        };
        self.make_ready(ticket, bytes);
        let held = instead_of.map(|at| {
            let led = &mut waiting[at];
            led.rank = Rank::Follower;
            if led.position == Position::Ready {
                led.position = Position::Held;
                self.ready.leave(led.number);
                self.ready_bytes -= led.entry.bytes;
            }
            Load::one(led.entry.bytes)
        });
        (Rank::Leader, held.unwrap_or_default())
    }

    fn count(&mut self, ticket: Ticket, hurried: Option<Instant>) {
        self.waiting += 1;
        if let Some(time) = hurried {
            self.hurried.insert((time, ticket.number));
        }
    }

    /// An item leaves, be it for a batch or not.
    pub fn leave(&mut self, number: Number, hurried: Option<Instant>) {
        self.waiting -= 1;
        if let Some(time) = hurried {
            self.hurried.remove(&(time, number));
        }
    }

    /// The next batch may take it.
    pub fn make_ready(&mut self, Ticket { number, at }: Ticket, bytes: usize) {
        self.ready_bytes += bytes;
        self.ready.join(number, at);
    }

    /// After the leader of `key` has gone: the next of that key leads, and is ready
    /// if it was held. What ceases to be a follower.
    pub fn succeed<T>(&mut self, key: u64, waiting: &mut Slab<Waiting<T>>) -> Load {
        let Some((number, at)) = self.keys.succeed(key) else {
            return Load::default();
        };
        let next = &mut waiting[at];
        let bytes = next.entry.bytes;
        next.rank = Rank::Leader;
        if next.position == Position::Held {
            next.position = Position::Ready;
            self.make_ready(Ticket { number, at }, bytes);
        }
        Load::one(bytes)
    }

    /// The first time at which one of those that wait for company less than
    /// `max_wait`, their deadlines being that near, has waited enough.
    pub fn hurried(&self) -> Option<Instant> {
        self.hurried.first().map(|&(time, _)| time)
    }

    /// Whether the batch at the front can't grow, where each item adds `overhead`.
    pub fn is_full(&self, max_size: usize, max_bytes: usize, overhead: usize) -> bool {
        let ready_bytes = self.ready_bytes + self.ready.len() * overhead;
        self.ready.len() >= max_size || ready_bytes > max_bytes
    }
    /// For how many items there is room without asking for more.
    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.ready.capacity().max(self.keys.capacity())
    }
}
