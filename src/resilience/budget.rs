//! How many retries there may be, so that they can't multiply an outage.
//!
//! Retries within the last 10 s may be a share of the batches sent in that
//! time, or a few whatever the load, if that is more. A share of 0.2 means that
//! an upstream which fails everything gets 1.2 times the calls, not
//! `retry.max_attempts` times.
//!
//! A retry is decided on before its pause and sent after it, if its callers are
//! still there: it is reserved first, and counts once it is sent.

use tokio::time::Instant;

use crate::batcher::window::Window;

/// Counts batches and retries; says whether one more retry is within bounds.
#[derive(Clone, Debug)]
pub struct Budget {
    share: f64,
    least: u64,
    batches: Window<10>,
    /// One second more, since the oldest is over in part only: no 10 s whatever
    /// have more retries in them than allowed.
    retries: Window<11>,
    /// Retries that are to be sent and are within bounds.
    reserved: u64,
}

impl Budget {
    /// Retries may be `share` of the batches, and `least` in any 10 s.
    pub fn new(share: f64, least: u32, now: Instant) -> Self {
        Self {
            share,
            least: u64::from(least),
            batches: Window::new(now),
            retries: Window::new(now),
            reserved: 0,
        }
    }

    /// Whether it allows no retry, ever.
    pub fn is_off(&self) -> bool {
        self.share == 0.0 && self.least == 0
    }

    /// A batch is sent for the first time.
    pub fn sent(&mut self, now: Instant) {
        self.batches.add(1, now);
    }

    /// Whether one more retry is within the budget, which then is
    /// [`spend`](Self::spend)'s or [`give_back`](Self::give_back)'s to settle.
    #[must_use]
    pub fn reserve(&mut self, now: Instant) -> bool {
        let batches = self.batches.sum(now);
        // Rounded down: a share of a retry is none.
        let allowed = ((batches as f64 * self.share) as u64).max(self.least);
        let within = self.retries.sum(now) + self.reserved < allowed;
        self.reserved += u64::from(within);
        within
    }

    /// A retry that was reserved is sent.
    pub fn spend(&mut self, now: Instant) {
        self.reserved = self.reserved.saturating_sub(1);
        self.retries.add(1, now);
    }

    /// A retry that was reserved is not sent after all.
    pub fn give_back(&mut self) {
        self.reserved = self.reserved.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Sends a retry, if it is within the budget.
    fn sends(budget: &mut Budget, now: Instant) -> bool {
        let within = budget.reserve(now);
        if within {
            budget.spend(now);
        }
        within
    }

    fn taken(budget: &mut Budget, now: Instant) -> u64 {
        (0..1000).filter(|_| sends(budget, now)).count() as u64
    }

    #[test]
    fn a_retry_that_is_not_sent_takes_nothing_from_the_budget() {
        let now = Instant::now();
        let mut budget = Budget::new(0.0, 2, now);
        assert!(budget.reserve(now) && budget.reserve(now));
        assert!(!budget.reserve(now), "both are to be sent");
        budget.give_back();
        assert!(budget.reserve(now));
        // Nothing is forgotten of one that is sent late.
        let later = now + Duration::from_secs(60);
        budget.spend(later);
        budget.give_back();
        assert!(budget.reserve(later));
        assert!(!budget.reserve(later));
    }

    #[test]
    fn retries_are_a_share_of_the_batches_or_a_few() {
        let now = Instant::now();
        for (batches, share, least, allowed) in [
            (0, 0.2, 3, 3),
            (15, 0.2, 3, 3),
            (19, 0.2, 3, 3),
            (20, 0.2, 3, 4),
            (100, 0.2, 3, 20),
            (100, 0.2, 0, 20),
            (4, 0.2, 0, 0),
            (100, 0.0, 0, 0),
            (100, 0.0, 5, 5),
            (100, 1.0, 0, 100),
        ] {
            let mut budget = Budget::new(share, least, now);
            (0..batches).for_each(|_| budget.sent(now));
            let found = taken(&mut budget, now);
            assert_eq!(found, allowed, "{batches} batches, {share}, {least}");
        }
    }

    #[test]
    fn any_ten_seconds_have_no_more_than_allowed() {
        let start = Instant::now();
        // From early in a second on, and from late in one.
        for first in 0..10 {
            let mut budget = Budget::new(0.0, 3, start);
            let mut taken = Vec::new();
            for tenth in first..1000 {
                let now = start + Duration::from_millis(tenth * 100);
                if sends(&mut budget, now) {
                    taken.push(now);
                }
            }
            for window in taken.windows(4) {
                let span = window[3] - window[0];
                assert!(span >= Duration::from_secs(10), "{first}: {span:?}");
            }
            // And they do come back.
            assert!(taken.len() >= 3 * 8, "{first}: {}", taken.len());
        }
    }

    #[test]
    fn without_share_and_least_it_is_off() {
        let now = Instant::now();
        assert!(Budget::new(0.0, 0, now).is_off());
        assert!(!Budget::new(0.0, 1, now).is_off());
        assert!(!Budget::new(0.1, 0, now).is_off());
    }

    #[test]
    fn batches_are_forgotten_after_ten_seconds() {
        let start = Instant::now();
        let mut budget = Budget::new(0.2, 1, start);
        (0..100).for_each(|_| budget.sent(start));
        let later = start + Duration::from_secs(10);
        assert_eq!(taken(&mut budget, later), 1);
    }
}
