//! Items that take the free places of a batch of another queue.

use super::keys::{KeySet, Ticket};
use super::{Entry, Queue, take_out};
use crate::extent::Extent;
use crate::frame::Frame;

/// So many are passed over at most, since keys of theirs are in the batch or they exceed
/// it: what is behind them does not ride.
const PASSED_OVER: usize = 64;

impl<T> Queue<T> {
    /// Takes those that fit beside the `others` of a batch of this frame, the oldest first:
    /// none that has a key in common with one of those, and no more than the batch may
    /// take up in all.
    pub fn take_riders(
        &mut self,
        frame: Option<&Frame>,
        others: &[Entry<T>],
        bounds: Extent,
    ) -> Vec<Entry<T>> {
        let used: Extent = others.iter().map(|it| it.extent).sum();
        let Some(mut free) = bounds.checked_without(used) else {
            return Vec::new();
        };
        let waits = |queue: &super::FrameQueue| !queue.ready.is_empty();
        if free.weight == 0 || !self.frames.get(frame).is_some_and(waits) {
            return Vec::new();
        }
        let Some(queue) = self.frames.get_mut(frame) else {
            return Vec::new();
        };
        let keys: KeySet = others.iter().flat_map(|it| &it.keys).collect();
        let (mut taken, mut passed_over) = (Vec::new(), Vec::new());
        while free.weight > 0 && passed_over.len() < PASSED_OVER {
            let Some((number, at)) = queue.ready.pop() else {
                break;
            };
            #[cfg(test)]
            self.visits.set(self.visits.get() + 1);
            let entry = &self.waiting[at].entry;
            let left = free.checked_without(entry.extent);
            let Some(left) = left.filter(|_| entry.keys.into_iter().all(|it| !keys.contains(&it)))
            else {
                passed_over.push((number, at));
                continue;
            };
            free = left;
            self.bytes -= entry.bytes;
            let ticket = Ticket { number, at };
            taken.push(take_out(
                &mut self.waiting,
                &mut self.deadlines,
                queue,
                ticket,
            ));
        }
        queue.ready.put_back(passed_over);
        // Once all are taken, as when a batch is.
        for key in taken.iter().flat_map(|entry| &entry.keys) {
            if let Some(next) = queue.keys.succeed(key) {
                self.followers -= queue.follow_up(next, &mut self.waiting);
            }
        }
        self.frames.forget_if_empty(frame);
        self.admit();
        self.shrink_if_empty();
        taken
    }
}
