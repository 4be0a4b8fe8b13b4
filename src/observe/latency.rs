//! Histograms of times: quantiles to within a tenth, in little space.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Steps for each doubling: neighbours differ by a fifth, so that the middle of a
/// step is within a tenth of everything in it.
const STEPS: usize = 4;

/// From a microsecond to 2^30 of them, some 18 minutes.
const DOUBLINGS: usize = 30;

/// Counts of times by their size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LatencyHistogram {
    counts: Box<[u32]>,
    total: u64,
}

impl LatencyHistogram {
    /// One time.
    pub fn add(&mut self, time: Duration) {
        self.add_all(time, 1);
    }

    /// The same time so many times.
    pub fn add_all(&mut self, time: Duration, times: usize) {
        let times = u32::try_from(times).unwrap_or(u32::MAX);
        self.add_to(step(time), times);
    }

    fn add_to(&mut self, step: usize, times: u32) {
        if self.counts.is_empty() {
            self.counts = vec![0; STEPS * DOUBLINGS].into();
        }
        let count = &mut self.counts[step];
        *count = count.saturating_add(times);
        self.total += u64::from(times);
    }

    /// All of another's times.
    pub fn merge(&mut self, other: &Self) {
        if self.counts.is_empty() {
            self.counts.clone_from(&other.counts);
        } else {
            for (count, more) in self.counts.iter_mut().zip(&other.counts) {
                *count = count.saturating_add(*more);
            }
        }
        self.total += other.total;
    }

    /// The time that a share of all, 0 to 1, does not exceed, in milliseconds;
    /// `None` of no times.
    pub fn quantile_ms(&self, share: f64) -> Option<f64> {
        let rank = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let step = self.counts.iter().position(|&count| {
            seen += u64::from(count);
            seen >= rank
        })?;
        Some(middle_us(step) / 1e3)
    }
}

/// Times that many threads add without a lock, from the start of the process on.
#[derive(Debug)]
pub struct SharedLatencyHistogram([AtomicU64; STEPS * DOUBLINGS]);

/// How many of those were taken out already.
#[derive(Debug)]
pub struct Taken([u64; STEPS * DOUBLINGS]);

impl Default for SharedLatencyHistogram {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; STEPS * DOUBLINGS])
    }
}

impl Default for Taken {
    fn default() -> Self {
        Self([0; STEPS * DOUBLINGS])
    }
}

impl SharedLatencyHistogram {
    /// One time.
    pub fn add(&self, time: Duration) {
        self.0[step(time)].fetch_add(1, Ordering::Relaxed);
    }

    /// Adds to `times` those that were not taken out yet.
    pub fn take(&self, taken: &mut Taken, times: &mut LatencyHistogram) {
        for (step, (count, taken)) in self.0.iter().zip(&mut taken.0).enumerate() {
            let count = count.load(Ordering::Relaxed);
            if count > *taken {
                let new = u32::try_from(count - *taken).unwrap_or(u32::MAX);
                times.add_to(step, new);
                *taken = count;
            }
        }
    }
}

fn step(time: Duration) -> usize {
    let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
    let doublings = us.ilog2() as usize;
    // The two bits after the leading one.
    let within = ((us as u128) << 2 >> doublings) as usize - STEPS;
    (doublings * STEPS + within).min(STEPS * DOUBLINGS - 1)
}

fn middle_us(step: usize) -> f64 {
    let (doublings, within) = (step / STEPS, step % STEPS);
    let width = 1.0 / STEPS as f64;
    let low = 1.0 + within as f64 * width;
    2_f64.powi(doublings as i32) * (low + width / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_an_eighth() {
        for us in [1, 5, 49, 1_000, 5_432, 99_999, 30_000_000] {
            let mut times = LatencyHistogram::default();
            times.add(Duration::from_micros(us));
            let found = times.quantile_ms(0.5).unwrap() * 1e3;
            let ratio = found / us as f64;
            assert!((0.875..=1.125).contains(&ratio), "{us}: {found}");
        }
    }

    #[test]
    fn a_quantile_is_what_that_share_does_not_exceed() {
        let mut times = LatencyHistogram::default();
        assert_eq!(times.quantile_ms(0.5), None);
        times.add_all(Duration::from_millis(1), 99);
        times.add(Duration::from_secs(1));
        let [half, most, all] = [0.5, 0.99, 1.0].map(|share| times.quantile_ms(share).unwrap());
        assert!(half < 1.2 && most < 1.2, "{half} {most}");
        assert!(all > 800.0, "{all}");
    }

    #[test]
    fn every_time_has_a_step() {
        let mut times = LatencyHistogram::default();
        times.add(Duration::ZERO);
        times.add(Duration::MAX);
        assert!(times.quantile_ms(0.0).is_some() && times.quantile_ms(1.0).is_some());
    }

    #[test]
    fn times_are_taken_out_once() {
        let (shared, mut taken) = (SharedLatencyHistogram::default(), Taken::default());
        for (ms, total) in [(1, 1), (1, 1), (1_000, 1)] {
            shared.add(Duration::from_millis(ms));
            let (mut found, mut expected) =
                (LatencyHistogram::default(), LatencyHistogram::default());
            shared.take(&mut taken, &mut found);
            expected.add_all(Duration::from_millis(ms), total);
            assert_eq!(found, expected);
        }
        let mut nothing = LatencyHistogram::default();
        shared.take(&mut taken, &mut nothing);
        assert_eq!(nothing, LatencyHistogram::default());
    }

    #[test]
    fn merged_histograms_are_one() {
        let (mut one, mut other) = (LatencyHistogram::default(), LatencyHistogram::default());
        one.merge(&LatencyHistogram::default());
        assert_eq!(one.quantile_ms(0.5), None);
        other.add(Duration::from_millis(3));
        one.merge(&other);
        assert_eq!(one, other);
        one.merge(&other);
        assert_eq!(one.total, 2);
    }
}
