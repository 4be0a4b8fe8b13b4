//! Items that take the free places of a batch of another queue.

use super::keys::{KeySet, Ticket};
use super::{Entry, Queue, take_out};
use crate::frame::Frame;

/// So many are passed over at most, since their keys are in the batch or their bytes
/// exceed it: what is behind them does not ride.
const PASSED_OVER: usize = 64;

impl<T> Queue<T> {
    /// Takes those that fit beside the `others` of a batch of this frame, the oldest first:
    /// none whose key one of those has, and no more than these bounds allow in all.
    pub fn take_riders(
        &mut self,
        frame: Option<&Frame>,
        others: &[Entry<T>],
        max_size: usize,
        max_bytes: usize,
    ) -> Vec<Entry<T>> {
        let used: usize = others.iter().map(|it| it.bytes + self.overhead).sum();
        let seats = max_size.saturating_sub(others.len());
        let mut free = max_bytes.saturating_sub(used);
        let waits = |queue: &super::FrameQueue| !queue.ready.is_empty();
        if seats == 0 || free < self.overhead || !self.frames.get(frame).is_some_and(waits) {
            return Vec::new();
        }
        let Some(queue) = self.frames.get_mut(frame) else {
            return Vec::new();
        };
        let keys: KeySet = others.iter().filter_map(|it| it.key).collect();
        let (mut taken, mut passed_over) = (Vec::new(), Vec::new());
        while taken.len() < seats && passed_over.len() < PASSED_OVER {
            let Some((number, at)) = queue.ready.pop() else {
                break;
            };
            #[cfg(test)]
            self.visits.set(self.visits.get() + 1);
            let Entry { key, bytes, .. } = self.waiting[at].entry;
            if bytes + self.overhead > free || key.is_some_and(|it| keys.contains(&it)) {
                passed_over.push((number, at));
                continue;
            }
            let ticket = Ticket { number, at };
            free -= bytes + self.overhead;
            self.bytes -= bytes;
            taken.push(take_out(
                &mut self.waiting,
                &mut self.deadlines,
                queue,
                ticket,
            ));
        }
        queue.ready.put_back(passed_over);
        // Once all are taken, as when a batch is.
        for key in taken.iter().filter_map(|entry| entry.key) {
            self.followers -= queue.succeed(key, &mut self.waiting);
        }
        self.frames.forget_if_empty(frame);
        self.admit();
        self.shrink_if_empty();
        taken
    }
}
