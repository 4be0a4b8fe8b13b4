//! Whose turn it is among the frames that a batch may leave of, now or later.
//!
//! A frame is lined up by the time since which its batch may leave, or from which it
//! will. When it has had its turn and has another batch ready it goes behind all others
//! that are: so each of them sends one by turns, whatever waits of each.
//!
//! What is without a frame has no place in here, so that it costs nothing where there
//! are no frames; it keeps the time of its last turn.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::frame::Frame;
use crate::queue::Turn;

#[derive(Debug)]
pub(crate) struct Turns {
    order: BTreeMap<Turn, Frame>,
    next: u64,
    /// The last turn of what is without a frame.
    unframed: Turn,
}

impl Turns {
    pub fn new(now: Instant) -> Self {
        Self {
            order: BTreeMap::new(),
            next: 0,
            unframed: (now, 0),
        }
    }

    /// Lines a frame up.
    pub fn line_up(&mut self, frame: &Frame, time: Instant) -> Turn {
        self.next += 1;
        let turn = (time, self.next);
        self.order.insert(turn, frame.clone());
        turn
    }

    /// A frame leaves its place.
    pub fn give_up(&mut self, turn: Turn) {
        self.order.remove(&turn);
    }

    /// The first in line, with its turn.
    pub fn first(&self) -> Option<(Turn, &Frame)> {
        self.order.first_key_value().map(|(&turn, it)| (turn, it))
    }

    /// A batch without a frame leaves.
    pub fn unframed_leaves(&mut self, now: Instant) {
        self.next += 1;
        self.unframed = (now, self.next);
    }

    /// Whether it is the turn of what is without a frame, where the first of the frames
    /// has this turn and both are ready.
    pub fn unframed_is_first(&self, turn: Turn) -> bool {
        self.unframed < turn
    }

    /// How many frames are lined up.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.order.len()
    }
}
