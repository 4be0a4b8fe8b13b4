//! Whose turn it is, where what waits for callers and what is detached both want a slot.
//!
//! A batch of detached items alone leaves where no batch with callers is ready to, and
//! while a caller waits in line it leaves the last free slot to that. Once its oldest item
//! is old it has that slot too, and takes turns with batches that have callers, one for
//! one: the first of them goes before it whatever its age, and then it goes.
//!
//! While no caller waits, detached items may take all slots: a caller who comes then waits
//! until the first of them is free.

use std::time::Duration;

use tokio::time::Instant;

use crate::frame::Frame;
use crate::policy::Action;

/// What has waited as many times as long as it would for company is old,
const OLD_AFTER_WAITS: u32 = 10;

/// but not before this.
const OLD_AFTER: Duration = Duration::from_millis(100);

/// What a batch is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Items that callers wait for, and detached ones beside them or not.
    Callers,
    /// Detached items alone.
    Detached,
}

/// What each lane would do with a slot that is free.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choices {
    pub callers: Action,
    pub detached: Action,
    /// When the oldest arrived of the batch that is meant by the latter.
    pub detached_oldest: Option<Instant>,
}

/// What is to be done next.
#[derive(Debug)]
pub(super) struct Next {
    pub lane: Lane,
    pub frame: Option<Frame>,
    pub action: Action,
    /// Whether a batch with callers is full, be it next or not.
    pub callers_full: bool,
    /// Whether an old batch of detached items is ready.
    pub old_waits: bool,
}

impl Next {
    /// A batch with callers, where nothing is detached.
    pub fn of_callers(frame: Option<Frame>, action: Action) -> Self {
        Self {
            lane: Lane::Callers,
            frame,
            action,
            callers_full: action == Action::LeaveFull,
            old_waits: false,
        }
    }
}

/// Remembers whose turn it was.
#[derive(Debug)]
pub(super) struct Lanes {
    /// From then on detached items are old.
    old_after: Duration,
    /// Whether one with callers has gone before an old batch of detached items that was
    /// ready.
    callers_had_turn: bool,
}

impl Lanes {
    /// Where detached items wait so long for company.
    pub fn new(detached_max_wait: Duration) -> Self {
        Self::old_after(OLD_AFTER.max(detached_max_wait * OLD_AFTER_WAITS))
    }

    /// Where detached items are old after this.
    pub fn old_after(old_after: Duration) -> Self {
        Self {
            old_after,
            callers_had_turn: false,
        }
    }

    /// When a detached item is old that arrived then.
    pub fn old_from(&self, arrived: Instant) -> Instant {
        arrived + self.old_after
    }

    /// Which of them has the slot.
    pub fn next(&self, choices: &Choices, now: Instant) -> Lane {
        let detached_first = match (choices.callers.due(now), choices.detached.due(now)) {
            (Some(callers), Some(detached)) if callers <= now && detached <= now => {
                self.callers_had_turn && self.old_waits(choices, now)
            }
            (Some(callers), Some(detached)) => detached < callers,
            (callers, detached) => callers.is_none() && detached.is_some(),
        };
        match detached_first {
            true => Lane::Detached,
            false => Lane::Callers,
        }
    }

    /// Whether an old batch of detached items is ready.
    pub fn old_waits(&self, choices: &Choices, now: Instant) -> bool {
        let ready = choices.detached.due(now).is_some_and(|due| due <= now);
        let oldest = choices.detached_oldest;
        ready && oldest.is_some_and(|arrived| self.old_from(arrived) <= now)
    }

    /// That one has left, or has a slot again.
    pub fn left(&mut self, next: &Next) {
        self.callers_had_turn = next.lane == Lane::Callers && next.old_waits;
    }
}

#[cfg(test)]
#[path = "lanes_tests.rs"]
mod tests;
