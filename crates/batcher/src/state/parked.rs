//! Batches that have given their slots back for a while, and the line of those that
//! are ready to resume, first come first served.
//!
//! They go before what is queued, since their items are older. Halves of a batch
//! that was split can be many, and each may split again: they leave one slot to
//! others, where there is more than one, so that new batches go on beside them.

use std::collections::BTreeMap;

/// A place in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    number: u64,
    half: bool,
}

/// Those that are parked. A `P` is whom to tell that there is a slot.
#[derive(Debug)]
pub(crate) struct Parked<P> {
    /// How many batches are parked, in line or not.
    pub batches: usize,
    next: u64,
    whole: BTreeMap<u64, P>,
    halves: BTreeMap<u64, P>,
}

impl<P> Parked<P> {
    pub fn new() -> Self {
        Self {
            batches: 0,
            next: 0,
            whole: BTreeMap::new(),
            halves: BTreeMap::new(),
        }
    }

    /// Lines up, as a half or not.
    pub fn line_up(&mut self, whom: P, half: bool) -> Place {
        let number = self.next;
        self.next += 1;
        self.line(half).insert(number, whom);
        Place { number, half }
    }

    /// Leaves the line; `None` if it has been told already.
    pub fn give_up(&mut self, place: Place) -> Option<P> {
        self.line(place.half).remove(&place.number)
    }

    /// Whether anybody may have a slot that is free.
    pub fn any_ready(&self, halves_may: bool) -> bool {
        !self.whole.is_empty() || halves_may && !self.halves.is_empty()
    }

    /// The first in line that may have a slot, and whether it is a half.
    pub fn next(&mut self, halves_may: bool) -> Option<(P, bool)> {
        let whole = self.whole.first_key_value().map(|(&number, _)| number);
        let half = self.halves.first_key_value().map(|(&number, _)| number);
        let half = half.filter(|_| halves_may);
        let is_half = half.is_some_and(|half| whole.is_none_or(|whole| half < whole));
        let (_, whom) = self.line(is_half).pop_first()?;
        Some((whom, is_half))
    }

    fn line(&mut self, half: bool) -> &mut BTreeMap<u64, P> {
        match half {
            true => &mut self.halves,
            false => &mut self.whole,
        }
    }
}
