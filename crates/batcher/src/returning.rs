//! Batches that have rested and want a slot again, first come first served.
//!
//! They go before what is queued, since their items are older. Halves of a batch
//! that was split can be many, and each may split again: they leave one slot to
//! others, where there is more than one, so that new batches go on beside them.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use super::Slot;

/// Where a batch that rests waits for its slot.
pub(super) type Place<J, R> = oneshot::Sender<Slot<J, R>>;

/// The places in line.
pub(super) struct Returning<J: Send + 'static, R: Send + 'static> {
    next: u64,
    whole: VecDeque<(u64, Place<J, R>)>,
    halves: VecDeque<(u64, Place<J, R>)>,
    /// Places that were given up: with one goes the waker of the task that waited
    /// for it, which may do anything, and so not under the batcher's lock.
    unwanted: Vec<Place<J, R>>,
    /// How many there may be until those that were given up are looked for.
    purge_at: usize,
}

/// The least of those.
const FEW: usize = 16;

impl<J: Send + 'static, R: Send + 'static> Returning<J, R> {
    pub fn new() -> Self {
        Self {
            next: 0,
            whole: VecDeque::new(),
            halves: VecDeque::new(),
            unwanted: Vec::new(),
            purge_at: FEW,
        }
    }

    /// Lines up, as a half or not.
    pub fn join(&mut self, place: Place<J, R>, half: bool) {
        let line = match half {
            true => &mut self.halves,
            false => &mut self.whole,
        };
        line.push_back((self.next, place));
        self.next += 1;
        // Now and then, so that each place costs the same however many there are.
        if self.whole.len() + self.halves.len() >= self.purge_at {
            for line in [&mut self.whole, &mut self.halves] {
                let (kept, closed): (VecDeque<_>, VecDeque<_>) =
                    line.drain(..).partition(|(_, place)| !place.is_closed());
                *line = kept;
                self.unwanted
                    .extend(closed.into_iter().map(|(_, place)| place));
            }
            self.purge_at = FEW.max(2 * (self.whole.len() + self.halves.len()));
        }
    }

    /// Takes out the places that were given up, to be dropped outside of the lock.
    pub fn unwanted(&mut self) -> Vec<Place<J, R>> {
        std::mem::take(&mut self.unwanted)
    }

    /// Whether anybody may have a slot that is free.
    pub fn wants_slot(&mut self, halves_may: bool) -> bool {
        first(&mut self.whole, &mut self.unwanted).is_some()
            || halves_may && first(&mut self.halves, &mut self.unwanted).is_some()
    }

    /// The first in line that may have a slot, and whether it is a half.
    pub fn next(&mut self, halves_may: bool) -> Option<(Place<J, R>, bool)> {
        let whole = first(&mut self.whole, &mut self.unwanted);
        let half = first(&mut self.halves, &mut self.unwanted).filter(|_| halves_may);
        let is_half = match (whole, half) {
            (Some(whole), Some(half)) => half < whole,
            (whole, _) => whole.is_none(),
        };
        let line = match is_half {
            true if !halves_may => return None,
            true => &mut self.halves,
            false => &mut self.whole,
        };
        line.pop_front().map(|(_, place)| (place, is_half))
    }
}

/// The number of the first that has not given its place up.
fn first<P, S>(
    line: &mut VecDeque<(u64, Place<P, S>)>,
    unwanted: &mut Vec<Place<P, S>>,
) -> Option<u64>
where
    P: Send + 'static,
    S: Send + 'static,
{
    while line.front().is_some_and(|(_, place)| place.is_closed()) {
        unwanted.extend(line.pop_front().map(|(_, place)| place));
    }
    line.front().map(|(number, _)| *number)
}
