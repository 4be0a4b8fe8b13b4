//! The queues of all frames that anything waits of.
//!
//! That of the items without a frame is always there, and found without a look-up.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::time::Duration;

use super::frame_queue::{FrameQueue, Turn};
use super::keys::{KeyHasher, Keys};
use super::line::Line;
use crate::frame::Frame;

/// Few enough of them to keep the room that they had.
const FEW: usize = 16;

#[derive(Debug)]
pub(crate) struct Frames {
    longest_gap: Duration,
    /// What keeps the keys of each.
    keys: fn() -> Keys,
    unframed: FrameQueue,
    framed: HashMap<Frame, FrameQueue, BuildHasherDefault<KeyHasher>>,
    /// Those that have changed since this was last asked for.
    changed: Vec<Frame>,
    /// The turns of those that have gone since.
    given_up: Vec<Turn>,
}

impl Frames {
    pub fn new(longest_gap: Duration, keys: fn() -> Keys) -> Self {
        Self {
            longest_gap,
            keys,
            unframed: FrameQueue::new(longest_gap, keys()),
            framed: HashMap::default(),
            changed: Vec::new(),
            given_up: Vec::new(),
        }
    }

    pub fn get(&self, frame: Option<&Frame>) -> Option<&FrameQueue> {
        match frame {
            None => Some(&self.unframed),
            Some(frame) => self.framed.get(frame),
        }
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, frame: Option<&Frame>) -> Option<&mut FrameQueue> {
        let Some(frame) = frame else {
            return Some(&mut self.unframed);
        };
        let queue = self.framed.get_mut(frame)?;
        note_change(&mut self.changed, frame, queue);
        Some(queue)
    }

    /// The same for an item that comes: made where it is the first.
    pub fn get_or_make(&mut self, frame: Option<&Frame>) -> &mut FrameQueue {
        let Some(frame) = frame else {
            return &mut self.unframed;
        };
        let new = || FrameQueue::new(self.longest_gap, (self.keys)());
        let queue = self.framed.entry(frame.clone()).or_insert_with(new);
        note_change(&mut self.changed, frame, queue);
        queue
    }

    /// An item has left: its frame's queue goes with the last.
    pub fn forget_if_empty(&mut self, frame: Option<&Frame>) {
        if let Some(frame) = frame
            && self.framed.get(frame).is_some_and(|it| it.waiting == 0)
        {
            let gone = self.framed.remove(frame);
            self.given_up.extend(gone.and_then(|it| it.turn));
            if self.framed.capacity() / 4 > self.framed.len().max(FEW) {
                self.framed.shrink_to(2 * self.framed.len());
            }
        }
    }

    /// Nothing without a frame waits, after much has.
    pub fn shrink_unframed(&mut self) {
        self.unframed.ready = Line::default();
        self.unframed.keys.shrink_empty();
    }

    /// Sets the turn of a frame, which is thereby up to date; what it was before.
    pub fn set_turn(&mut self, frame: &Frame, turn: Option<Turn>) -> Option<Turn> {
        let queue = self.framed.get_mut(frame)?;
        queue.changed = false;
        std::mem::replace(&mut queue.turn, turn)
    }

    /// Whether the turns of all are what they were.
    pub fn are_unchanged(&self) -> bool {
        self.changed.is_empty() && self.given_up.is_empty()
    }

    /// Takes out which may have another turn, and the turns of those that have gone.
    pub fn take_changes(&mut self) -> (Vec<Frame>, Vec<Turn>) {
        let given_up = std::mem::take(&mut self.given_up);
        (std::mem::take(&mut self.changed), given_up)
    }

    /// Something has changed that concerns all of them: in the order of their oldest
    /// items, in which those line up that are ready with it.
    pub fn change_all(&mut self) {
        let mut all: Vec<_> = self.framed.iter_mut().collect();
        all.sort_unstable_by_key(|(_, queue)| queue.ready.first());
        self.changed.clear();
        for (frame, queue) in all {
            queue.changed = true;
            self.changed.push(frame.clone());
        }
    }

    /// For how many items without a frame there is room.
    #[cfg(test)]
    pub fn unframed_capacity(&self) -> usize {
        self.unframed.capacity()
    }

    /// How many frames anything waits of, and for how many there is room.
    #[cfg(test)]
    pub fn sizes(&self) -> (usize, usize) {
        let lists = self.changed.capacity() + self.given_up.capacity();
        (self.framed.len(), self.framed.capacity() + lists)
    }
}

fn note_change(changed: &mut Vec<Frame>, frame: &Frame, queue: &mut FrameQueue) {
    if !std::mem::replace(&mut queue.changed, true) {
        changed.push(frame.clone());
    }
}
