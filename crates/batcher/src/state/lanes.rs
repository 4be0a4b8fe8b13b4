//! Whose turn it is, where what waits for callers and what is detached both want a slot.
//!
//! Nothing waits because of detached items: a batch of them alone leaves where no batch
//! with callers is ready to. Once its oldest has waited [`PATIENCE`] times as long as it
//! would for company, it takes turns with those, one for one: it is let pass by the first
//! of them that goes before it, and never goes first by its age.

use std::time::Duration;

use tokio::time::Instant;

use crate::policy::Action;

/// What has waited as many times as long as it would for company is old.
const PATIENCE: u32 = 10;

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
pub(crate) struct Wishes {
    pub callers: Action,
    pub detached: Action,
    /// When the oldest arrived of the batch that is meant by the latter.
    pub detached_oldest: Option<Instant>,
}

/// Remembers whose turn it was.
#[derive(Debug)]
pub(crate) struct Lanes {
    /// From then on detached items are old.
    old_after: Duration,
    /// Whether an old batch of detached items has let one with callers go first.
    let_pass: bool,
}

impl Lanes {
    /// Where detached items wait so long for company.
    pub fn new(detached_max_wait: Duration) -> Self {
        Self {
            old_after: detached_max_wait * PATIENCE,
            let_pass: false,
        }
    }

    /// Which of them has its wish.
    pub fn next(&self, wishes: &Wishes, now: Instant) -> Lane {
        let detached_first = match (wishes.callers.due(now), wishes.detached.due(now)) {
            (Some(callers), Some(detached)) if callers <= now && detached <= now => {
                self.let_pass && self.is_old(wishes, now)
            }
            (Some(callers), Some(detached)) => detached < callers,
            (callers, detached) => callers.is_none() && detached.is_some(),
        };
        match detached_first {
            true => Lane::Detached,
            false => Lane::Callers,
        }
    }

    /// That one has left, or has a slot again.
    pub fn left(&mut self, lane: Lane, wishes: &Wishes, now: Instant) {
        let waits = wishes.detached.due(now).is_some_and(|due| due <= now);
        self.let_pass = lane == Lane::Callers && waits && self.is_old(wishes, now);
    }

    fn is_old(&self, wishes: &Wishes, now: Instant) -> bool {
        let arrived = wishes.detached_oldest;
        arrived.is_some_and(|arrived| now >= arrived + self.old_after)
    }
}

#[cfg(test)]
#[path = "lanes_tests.rs"]
mod tests;
