//! What is to be submitted to the lane of detached items by whoever does so in time: one
//! batch ahead, and what callers' batches have free places for.
//!
//! Whoever asks and wants for nothing waits until something is taken out of the lane, or
//! until a batch of callers leaves that has free places. Nothing is noted before anybody
//! has asked.

use std::num::NonZero;

use crate::extent::Extent;
use crate::wanted::Wanted;

#[derive(Debug, Default)]
pub(super) struct Wants {
    /// Whether anybody has ever asked.
    in_use: bool,
    /// For what somebody waits, if somebody does.
    awaited: Option<Awaited>,
    /// Whether that has come, and is to be told.
    has_come: bool,
    /// How much more the last batch with callers could have weighed, but for riders, if
    /// that was not asked for since.
    free: usize,
}

/// With what it is time to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// Something is taken out of the lane.
    LaneShrinks,
    /// That, or a batch of callers leaves that has free places.
    FreePlaces,
}

impl Wants {
    /// Whether it is to be told what happens.
    #[inline]
    pub fn are_in_use(&self) -> bool {
        self.in_use
    }

    /// What is wanted where a batch could be submitted, being `ready`, or else something,
    /// and the lane holds so much of what batches may have. If that is nothing, it is
    /// [told](Self::take_told) when it is time to ask again.
    pub fn ask(&mut self, ready: bool, lane: Extent, batch: Extent) -> Option<Wanted> {
        self.in_use = true;
        let places = NonZero::new(self.free.saturating_sub(lane.weight));
        if ready && lane.is_within(batch) {
            return Some(Wanted::Batch);
        }
        if !ready && let Some(places) = places {
            self.free = 0;
            return Some(Wanted::Riders(places));
        }
        self.wait(ready);
        None
    }

    /// Nothing is wanted as yet.
    pub fn wait(&mut self, ready: bool) {
        self.in_use = true;
        self.awaited = Some(match ready {
            true => Awaited::LaneShrinks,
            false => Awaited::FreePlaces,
        });
    }

    /// Something is taken out of the lane, or may leave it again.
    #[inline]
    pub fn lane_shrinks(&mut self) {
        if self.awaited.take().is_some() {
            self.has_come = true;
        }
    }

    /// A batch with callers leaves that could weigh so much more, but for riders.
    pub fn callers_leave(&mut self, free: usize) {
        self.free = free;
        if free > 0 && self.awaited == Some(Awaited::FreePlaces) {
            self.lane_shrinks();
        }
    }

    /// Whether whoever waits is to be told to ask again.
    #[inline]
    pub fn take_told(&mut self) -> bool {
        std::mem::take(&mut self.has_come)
    }
}
