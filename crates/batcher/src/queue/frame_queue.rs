//! What waits of one frame: a value that is made with its first item and gone with
//! its last.
//!
//! It names items by their places in the slab that all frames share. Of each key the
//! oldest is its *leader*, all others are *followers*: they wait for one another. What
//! leads all its keys is ready; no two that are have a key in common.

use std::collections::BTreeSet;
use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

use super::entry::{Position, Waiting};
use super::keys::{self, Number, Rejoined, Ticket};
use super::line::Line;
use super::load::Load;
use crate::extent::Extent;
use crate::keys::Keys;
use crate::rate::Arrivals;

#[derive(Debug)]
pub(crate) struct FrameQueue {
    /// The oldest of all their keys, which the next batch may take.
    pub ready: Line<Number>,
    /// What they take up of batches.
    pub ready_extent: Extent,
    pub keys: keys::Keys,
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
    pub fn new(longest_gap: Duration, keys: keys::Keys) -> Self {
        Self {
            ready: Line::default(),
            ready_extent: Extent::default(),
            keys,
            hurried: BTreeSet::new(),
            arrivals: Arrivals::new(longest_gap),
            waiting: 0,
            turn: None,
            changed: false,
        }
    }

    /// An item comes, to the queue or for room in it: at how many of its keys it follows.
    #[inline]
    pub fn join(&mut self, ticket: Ticket, keys: &Keys, hurried: Option<Instant>) -> u32 {
        self.count(ticket, hurried);
        let follows = |key| u32::from(self.keys.join(key, ticket));
        keys.into_iter().map(follows).sum()
    }

    /// An item comes back to its place in the queue, which it has left with a batch: at how
    /// many of its keys it follows, and what others have become followers by that.
    pub fn rejoin<T>(
        &mut self,
        ticket: Ticket,
        keys: &Keys,
        hurried: Option<Instant>,
        waiting: &mut Slab<Waiting<T>>,
    ) -> (u32, Load) {
        self.count(ticket, hurried);
        let (mut behind, mut held) = (0, Load::default());
        for key in keys {
            let number_of = |at: usize| waiting[at].number;
            match self.keys.rejoin(key, ticket, number_of) {
                Rejoined::Follows => behind += 1,
                Rejoined::Leads { instead_of } => {
                    let led = instead_of.map(|at| self.hold(&mut waiting[at]));
                    held += led.unwrap_or_default();
                }
            }
        }
        (behind, held)
    }

    /// One leads no longer at one of its keys: what it has become as a follower.
    fn hold<T>(&mut self, led: &mut Waiting<T>) -> Load {
        led.behind += 1;
        if led.position == Position::Ready {
            led.position = Position::Held;
            self.ready.leave(led.number);
            self.ready_extent -= led.entry.extent;
        }
        match led.behind {
            1 => Load::one(led.entry.bytes),
            _ => Load::default(),
        }
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
    #[inline]
    pub fn make_ready(&mut self, Ticket { number, at }: Ticket, extent: Extent) {
        self.ready_extent += extent;
        self.ready.join(number, at);
    }

    /// One leads in the place of what has left, at one of its keys: it is ready if it leads
    /// at all of them and was held. What ceases to be a follower.
    pub fn follow_up<T>(&mut self, at: usize, waiting: &mut Slab<Waiting<T>>) -> Load {
        let next = &mut waiting[at];
        next.behind -= 1;
        if next.behind > 0 {
            return Load::default();
        }
        let (number, extent, bytes) = (next.number, next.entry.extent, next.entry.bytes);
        if next.position == Position::Held {
            next.position = Position::Ready;
            self.make_ready(Ticket { number, at }, extent);
        }
        Load::one(bytes)
    }

    /// The first time at which one of those that wait for company less than
    /// `max_wait`, their deadlines being that near, has waited enough.
    pub fn hurried(&self) -> Option<Instant> {
        self.hurried.first().map(|&(time, _)| time)
    }

    /// Whether the batch at the front, which may take up so much, can't grow.
    #[inline]
    pub fn is_full(&self, bounds: Extent) -> bool {
        let ready = self.ready_extent;
        ready.weight >= bounds.weight || ready.bytes > bounds.bytes
    }

    /// For how many items there is room without asking for more.
    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.ready.capacity().max(self.keys.capacity())
    }
}
