//! A histogram that many threads fill at once, at the cost of two additions.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of values up to each of some bounds, and their sum.
///
/// Values are whole numbers of a small unit, such as nanoseconds; `per_unit` of
/// them make the unit that is exposed.
#[derive(Debug)]
pub struct Histogram {
    bounds: Box<[u64]>,
    per_unit: f64,
    /// One for each bound, and one for what is over all of them.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// What a histogram holds at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// How many values there were.
    pub count: u64,
    /// Their sum, in the exposed unit.
    pub sum: f64,
    /// Each bound in the exposed unit, the last one infinite, with how many values
    /// are up to it and above the one before.
    pub buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// A histogram of no values yet; `bounds` ascend.
    pub fn new(bounds: impl IntoIterator<Item = u64>, per_unit: f64) -> Self {
        let bounds: Box<[u64]> = bounds.into_iter().collect();
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self {
            bounds,
            per_unit,
            counts,
            sum: AtomicU64::new(0),
        }
    }

    /// One value.
    pub fn observe(&self, value: u64) {
        self.observe_all(value, 1);
    }

    /// The same value so many times.
    pub fn observe_all(&self, value: u64, times: u64) {
        let bucket = self.bounds.partition_point(|&bound| bound < value);
        self.counts[bucket].fetch_add(times, Ordering::Relaxed);
        self.sum
            .fetch_add(value.saturating_mul(times), Ordering::Relaxed);
    }

    /// What it holds.
    pub fn read(&self) -> Reading {
        let bounds = self
            .bounds
            .iter()
            .map(|&bound| bound as f64 / self.per_unit);
        let bounds = bounds.chain([f64::INFINITY]);
        let counts = self.counts.iter().map(|it| it.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        Reading {
            // Of the same loads, so that it is the sum of the buckets.
            count: buckets.iter().map(|(_, count)| count).sum(),
            sum: self.sum.load(Ordering::Relaxed) as f64 / self.per_unit,
            buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_up_to_the_bound_that_it_does_not_exceed() {
        let histogram = Histogram::new([1, 10], 10.0);
        for value in [0, 1, 2, 10, 11] {
            histogram.observe(value);
        }
        histogram.observe_all(5, 3);
        let reading = histogram.read();
        let buckets = vec![(0.1, 2), (1.0, 5), (f64::INFINITY, 1)];
        assert_eq!(
            reading,
            Reading {
                count: 8,
                sum: 3.9,
                buckets
            }
        );
    }
}
