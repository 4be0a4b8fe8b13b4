//! How large a batch the upstream takes, learned from those it refused with 413.
//!
//! A pure value, told the time by its caller. A refusal does not say whether there
//! were too many jobs or too many bytes, so the bound that the batch came closer to
//! is lowered, to a half, which is what the batch goes on as; if it was the other
//! one, the next refusal lowers that. One job of many bytes so leaves batches of
//! many small ones as they are. A job alone that is refused teaches nothing about
//! batches. After a minute without a smaller refusal a bound is as configured
//! again, since upstreams are mended too.

use std::time::Duration;

use tokio::time::Instant;

use crate::batcher::{Cap, Ceiling};

/// How long a refusal is remembered.
pub const REMEMBERED: Duration = Duration::from_secs(60);

/// Jobs and bytes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// How many jobs.
    pub jobs: usize,
    /// Their bytes, as the batcher counts them.
    pub bytes: usize,
}

/// What is known of the sizes that the upstream takes.
#[derive(Clone, Debug)]
pub struct LearnedSize {
    /// As large as batches are configured to be.
    largest: Size,
    known: Cap,
}

impl LearnedSize {
    /// Nothing is known; batches are as large as configured.
    pub fn new(largest: Size) -> Self {
        let known = Cap::default();
        Self { largest, known }
    }

    /// A batch of this size was refused as too large. Returns what batches are to be
    /// kept to, if that has changed.
    pub fn refused(&mut self, size: Size, now: Instant) -> Option<Cap> {
        if size.jobs <= 1 {
            return None;
        }
        let by_jobs = size.jobs as f64 / self.largest.jobs.max(1) as f64;
        let by_bytes = size.bytes as f64 / self.largest.bytes.max(1) as f64;
        let (ceiling, half) = match by_jobs >= by_bytes {
            true => (&mut self.known.items, size.jobs.div_ceil(2)),
            false => (&mut self.known.bytes, size.bytes / 2),
        };
        // One that had left before a smaller one was refused is no news.
        if ceiling.is_some_and(|known| now < known.until && known.most <= half) {
            return None;
        }
        *ceiling = Some(Ceiling {
            most: half,
            until: now + REMEMBERED,
        });
        Some(self.known)
    }

    /// Whether a batch of this size may leave.
    pub fn allows(&self, size: Size, now: Instant) -> bool {
        self.known.allows(size.jobs, size.bytes, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(jobs: usize, bytes: usize) -> Size {
        Size { jobs, bytes }
    }

    /// The most jobs and bytes after these refusals, where 100 and 1000 are
    /// configured.
    fn after(refusals: &[(usize, usize)], now: Instant) -> [Option<usize>; 2] {
        let mut learned = LearnedSize::new(size(100, 1000));
        let mut known = Cap::default();
        for &(jobs, bytes) in refusals {
            known = learned.refused(size(jobs, bytes), now).unwrap_or(known);
        }
        [known.items, known.bytes].map(|it| it.map(|it| it.most))
    }

    #[test]
    fn a_refusal_halves_the_bound_that_the_batch_came_closer_to() {
        let now = Instant::now();
        for (refusals, jobs, bytes) in [
            (&[(100, 300)][..], Some(50), None),
            (&[(2, 900)], None, Some(450)),
            (&[(100, 300), (50, 150)], Some(25), None),
            // News of larger ones comes late.
            (&[(50, 150), (100, 300)], Some(25), None),
            (&[(100, 300), (10, 400)], Some(50), Some(200)),
            (&[(3, 10)], Some(2), None),
            (&[(2, 10)], Some(1), None),
            // One job alone says nothing about batches.
            (&[(1, 999)], None, None),
        ] {
            assert_eq!(after(refusals, now), [jobs, bytes], "{refusals:?}");
        }
    }

    #[test]
    fn no_batch_as_large_as_the_smallest_refused_leaves_for_a_minute() {
        let now = Instant::now();
        let mut learned = LearnedSize::new(size(100, 1000));
        assert!(learned.allows(size(100, 1000), now));
        assert!(learned.refused(size(80, 400), now).is_some());
        for (jobs, bytes, allowed) in [
            (80, 400, false),
            (100, 100, false),
            (41, 41, false),
            (40, 400, true),
            (1, 1000, true),
        ] {
            assert_eq!(learned.allows(size(jobs, bytes), now), allowed, "{jobs}");
        }
        let later = now + REMEMBERED;
        assert!(!learned.allows(size(80, 400), later - Duration::from_millis(1)));
        assert!(learned.allows(size(80, 400), later));
        // And it is learned anew, be it less than before.
        assert!(learned.refused(size(100, 400), later).is_some());
        assert!(learned.allows(size(50, 400), later));
        assert!(!learned.allows(size(51, 400), later));
    }

    #[test]
    fn one_large_job_does_not_keep_small_ones_apart() {
        let now = Instant::now();
        let mut learned = LearnedSize::new(size(100, 1000));
        assert!(learned.refused(size(2, 900), now).is_some());
        assert!(learned.allows(size(100, 300), now));
        assert!(!learned.allows(size(2, 900), now));
    }
}
