//! How many retries there may be, so that they can't multiply an outage.
//!
//! Retries within the last 10 s may be a share of the batches sent in that
//! time, or a few whatever the load, if that is more. A share of 0.2 means that
//! an upstream which fails everything gets 1.2 times the calls, not
//! `retry.max_attempts` times.

use tokio::time::Instant;

use crate::window::Window;

/// Counts batches and retries; says whether one more retry is within bounds.
#[derive(Clone, Debug)]
pub struct Budget {
    share: f64,
    least: u64,
    batches: Window<10>,
    /// One second more, since the oldest is over in part only: no 10 s whatever
    /// have more retries in them than allowed.
    retries: Window<11>,
}

impl Budget {
    /// Retries may be `share` of the batches, and `least` in any 10 s.
    pub fn new(share: f64, least: u32, now: Instant) -> Self {
        Self {
            share,
            least: u64::from(least),
            batches: Window::new(now),
            retries: Window::new(now),
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

    /// Whether one more retry is within the budget, which then counts.
    pub fn take(&mut self, now: Instant) -> bool {
        let batches = self.batches.sum(now);
        // Rounded down: a share of a retry is none.
        let allowed = ((batches as f64 * self.share) as u64).max(self.least);
        let within = self.retries.sum(now) < allowed;
        if within {
            self.retries.add(1, now);
        }
        within
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn taken(budget: &mut Budget, now: Instant) -> u64 {
        (0..1000).filter(|_| budget.take(now)).count() as u64
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
                if budget.take(now) {
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
