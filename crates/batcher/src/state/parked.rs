//! Batches that have given their slots back for a while, and the lines of those that
//! are ready to resume, one for each lane, first come first served.
//!
//! They go before what is queued in their lane, since their items are older. Halves of a
//! batch that was split can be many, and each may split again: they leave one slot to
//! others, where there is more than one, so that new batches go on beside them.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::lanes::Lane;

/// What is known of a batch that is ready to resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resuming {
    pub lane: Lane,
    /// Whether it is a half of one that was split.
    pub half: bool,
    /// When its oldest item arrived.
    pub oldest: Instant,
}

/// A place in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    number: u64,
    lane: Lane,
    half: bool,
}

/// Those that are parked. A `P` is whom to tell that there is a slot.
#[derive(Debug)]
pub(crate) struct Parked<P> {
    /// How many batches are parked, in line or not.
    pub batches: usize,
    next: u64,
    callers: Line<P>,
    detached: Line<P>,
}

#[derive(Debug)]
struct Line<P> {
    whole: BTreeMap<u64, (P, Instant)>,
    halves: BTreeMap<u64, (P, Instant)>,
}

impl<P> Parked<P> {
    pub fn new() -> Self {
        Self {
            batches: 0,
            next: 0,
            callers: Line::new(),
            detached: Line::new(),
        }
    }

    /// Lines up.
    pub fn line_up(&mut self, whom: P, batch: Resuming) -> Place {
        let Resuming { lane, half, oldest } = batch;
        let number = self.next;
        self.next += 1;
        self.line(lane).of(half).insert(number, (whom, oldest));
        Place { number, lane, half }
    }

    /// Leaves the line; `None` if it has been told already.
    pub fn give_up(&mut self, place: Place) -> Option<P> {
        let line = self.line(place.lane).of(place.half);
        line.remove(&place.number).map(|(whom, _)| whom)
    }

    /// When the oldest item arrived of the first in line that may have a slot.
    pub fn first(&self, lane: Lane, halves_may: bool) -> Option<Instant> {
        let line = match lane {
            Lane::Callers => &self.callers,
            Lane::Detached => &self.detached,
        };
        line.first(halves_may).map(|(_, _, oldest)| oldest)
    }

    /// The first in line that may have a slot, and whether it is a half.
    pub fn next(&mut self, lane: Lane, halves_may: bool) -> Option<(P, bool)> {
        let line = self.line(lane);
        let (number, half, _) = line.first(halves_may)?;
        let (whom, _) = line.of(half).remove(&number)?;
        Some((whom, half))
    }

    fn line(&mut self, lane: Lane) -> &mut Line<P> {
        match lane {
            Lane::Callers => &mut self.callers,
            Lane::Detached => &mut self.detached,
        }
    }
}

impl<P> Line<P> {
    fn new() -> Self {
        Self {
            whole: BTreeMap::new(),
            halves: BTreeMap::new(),
        }
    }

    fn of(&mut self, half: bool) -> &mut BTreeMap<u64, (P, Instant)> {
        match half {
            true => &mut self.halves,
            false => &mut self.whole,
        }
    }

    /// The first that may have a slot: its number, whether it is a half, and when its
    /// oldest item arrived.
    fn first(&self, halves_may: bool) -> Option<(u64, bool, Instant)> {
        let whole = self.whole.first_key_value();
        let whole = whole.map(|(&number, &(_, oldest))| (number, false, oldest));
        let half = self.halves.first_key_value().filter(|_| halves_may);
        let half = half.map(|(&number, &(_, oldest))| (number, true, oldest));
        whole
            .into_iter()
            .chain(half)
            .min_by_key(|&(number, ..)| number)
    }
}
