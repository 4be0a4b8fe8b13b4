//! What happened in one second.

use std::time::Duration;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::{Left, Spread};
use crate::batcher::FlushReason;
use crate::code::Code;

/// Sizes of batches are told apart by powers of two, up to this many.
pub(super) const SIZES: usize = 18;

/// One second; times are in milliseconds where it is serialized.
#[derive(Clone, Debug)]
pub struct Second {
    /// Which one, in Unix time.
    pub t: u64,
    /// Jobs that entered the queue.
    pub jobs: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Those of them for which there was no room in the queue.
    pub queue_full: u64,
    /// Batches that left for the first time.
    pub batches: u64,
    /// Jobs in them.
    pub batch_jobs: u64,
    /// The sum of how full they were.
    pub(super) fill: f64,
    /// The most jobs that waited at any moment that is known of.
    pub queue_jobs: usize,
    /// The most that waited for room in the queue.
    pub waiting_for_room: usize,
    /// The most batches in flight.
    pub in_flight: usize,
    /// How long every slot was taken.
    pub(super) saturated: Duration,
    /// How long the jobs of the batches that left had waited.
    pub wait: Spread,
    /// How long the upstream had the jobs of the batches that ended.
    pub upstream: Spread,
    /// How long answered jobs were here, from their arrival on.
    pub job: Spread,
    /// Batches by why they left.
    pub(super) reasons: [u64; FlushReason::ALL.len()],
    /// Answered jobs by what they came to.
    pub(super) outcomes: Vec<u64>,
    /// Batches by size: of 2^i to 2^(i+1) - 1 jobs.
    pub(super) sizes: [u64; SIZES],
    /// Jobs that a batch left without because it had another of the same id.
    pub kept_apart: u64,
    /// Jobs in flight whose callers left.
    pub departed: u64,
    /// Batches sent again.
    pub retries: u64,
    /// Batches split.
    pub splits: u64,
    /// Those of them that were too large for the upstream.
    pub splits_too_large: u64,
    /// Lines that the log had no room for.
    pub log_lines_dropped: u64,
}

impl Second {
    pub(super) fn new(t: u64) -> Self {
        Self {
            t,
            jobs: 0,
            refused: 0,
            queue_full: 0,
            batches: 0,
            batch_jobs: 0,
            fill: 0.0,
            queue_jobs: 0,
            waiting_for_room: 0,
            in_flight: 0,
            saturated: Duration::ZERO,
            wait: Spread::default(),
            upstream: Spread::default(),
            job: Spread::default(),
            reasons: [0; FlushReason::ALL.len()],
            outcomes: vec![0; Code::ALL.len()],
            sizes: [0; SIZES],
            kept_apart: 0,
            departed: 0,
            retries: 0,
            splits: 0,
            splits_too_large: 0,
            log_lines_dropped: 0,
        }
    }

    pub(super) fn left(&mut self, left: Left) {
        self.batches += 1;
        self.batch_jobs += left.size as u64;
        self.fill += left.fill;
        self.reasons[left.reason as usize] += 1;
        let size = left.size.max(1).ilog2() as usize;
        self.sizes[size.min(SIZES - 1)] += 1;
    }

    /// Batches that left, by why.
    pub fn reasons(&self) -> impl Iterator<Item = (FlushReason, u64)> + Clone + '_ {
        FlushReason::ALL.iter().copied().zip(self.reasons)
    }

    /// Answered jobs, by what they came to.
    pub fn outcomes(&self) -> impl Iterator<Item = (Code, u64)> + Clone + '_ {
        let counts = self.outcomes.iter().copied();
        Code::ALL.iter().copied().zip(counts)
    }

    /// The mean fill of the batches that left, 0 to 1.
    pub fn mean_fill(&self) -> f64 {
        match self.batches {
            0 => 0.0,
            batches => self.fill / batches as f64,
        }
    }

    /// The share of the second in which every slot was taken.
    pub fn slots_busy(&self) -> f64 {
        self.saturated.as_secs_f64().min(1.0)
    }
}

/// As `GET /live` has it.
impl Serialize for Second {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("t", &self.t)?;
        map.serialize_entry("jobs", &self.jobs)?;
        map.serialize_entry("refused", &self.refused)?;
        map.serialize_entry("batches", &self.batches)?;
        map.serialize_entry("batch_jobs", &self.batch_jobs)?;
        map.serialize_entry("fill", &round(self.mean_fill()))?;
        map.serialize_entry("queue_jobs", &self.queue_jobs)?;
        map.serialize_entry("waiting_for_room", &self.waiting_for_room)?;
        map.serialize_entry("in_flight", &self.in_flight)?;
        map.serialize_entry("slots_busy", &round(self.slots_busy()))?;
        for (name, spread, share) in [
            ("wait_p50_ms", &self.wait, 0.5),
            ("wait_p99_ms", &self.wait, 0.99),
            ("upstream_p50_ms", &self.upstream, 0.5),
            ("upstream_p99_ms", &self.upstream, 0.99),
            ("job_p50_ms", &self.job, 0.5),
            ("job_p99_ms", &self.job, 0.99),
        ] {
            map.serialize_entry(name, &spread.quantile_ms(share).map(round))?;
        }
        let reasons = self
            .reasons()
            .map(|(reason, count)| (reason.as_str(), count));
        map.serialize_entry("reasons", &NotZero(reasons))?;
        let outcomes = self.outcomes().map(|(code, count)| (code.as_str(), count));
        map.serialize_entry("outcomes", &NotZero(outcomes))?;
        map.serialize_entry("kept_apart", &self.kept_apart)?;
        map.serialize_entry("departed", &self.departed)?;
        map.serialize_entry("retries", &self.retries)?;
        map.serialize_entry("splits", &self.splits)?;
        map.end()
    }
}

/// More digits would be noise.
fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// A map of those that are not zero.
struct NotZero<I>(I);

impl<I: Iterator<Item = (&'static str, u64)> + Clone> Serialize for NotZero<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.clone().filter(|&(_, count)| count > 0))
    }
}

/// How many batches had a size within a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Size {
    /// The smallest size.
    pub from: usize,
    /// The largest.
    pub to: usize,
    /// How many batches.
    pub batches: u64,
}

impl Size {
    /// Of all batches of these seconds, up to `max_size`.
    pub fn of<'a>(seconds: impl Iterator<Item = &'a Second>, max_size: usize) -> Vec<Self> {
        let mut sums = [0; SIZES];
        for second in seconds {
            for (sum, count) in sums.iter_mut().zip(second.sizes) {
                *sum += count;
            }
        }
        let last = max_size.max(1).ilog2() as usize;
        let sizes = sums.iter().enumerate().take(last + 1);
        sizes
            .map(|(i, &batches)| Self {
                from: 1 << i,
                to: ((1 << (i + 1)) - 1).min(max_size),
                batches,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_told_apart_by_powers_of_two() {
        let mut second = Second::new(7);
        for size in [1, 2, 3, 4, 99, 100] {
            second.left(Left {
                size,
                fill: 0.5,
                reason: FlushReason::Wait,
            });
        }
        let sizes = Size::of([&second, &second].into_iter(), 100);
        let found: Vec<_> = sizes
            .iter()
            .map(|it| (it.from, it.to, it.batches))
            .collect();
        let expected = [
            (1, 1, 2),
            (2, 3, 4),
            (4, 7, 2),
            (8, 15, 0),
            (16, 31, 0),
            (32, 63, 0),
            (64, 100, 4),
        ];
        assert_eq!(found, expected);
        assert_eq!(second.mean_fill(), 0.5);
    }

    #[test]
    fn what_is_zero_is_left_out_and_what_is_unknown_is_null() {
        let mut second = Second::new(7);
        second.left(Left {
            size: 3,
            fill: 1.0 / 3.0,
            reason: FlushReason::Idle,
        });
        second.outcomes[Code::Ok as usize] = 3;
        second.wait.add(Duration::from_millis(5));
        let json = serde_json::to_value(&second).unwrap();
        assert_eq!(json["reasons"], serde_json::json!({"idle": 1}));
        assert_eq!(json["outcomes"], serde_json::json!({"ok": 3}));
        assert_eq!(json["fill"], 0.333);
        assert!(json["wait_p50_ms"].as_f64().is_some());
        assert!(json["upstream_p50_ms"].is_null());
    }
}
