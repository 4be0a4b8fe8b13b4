//! What happened in one second.

use std::time::Duration;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::for_later::ForLater;
use crate::batcher::{FlushReason, Snapshot};
use crate::observe::by_code::ByCode;
use crate::observe::latency::LatencyHistogram;
use crate::observe::moment::Moment;
use crate::observe::records::Recovered;

/// Sizes of batches are told apart by powers of two, up to this many.
const SIZES: usize = 18;

/// What is counted anyway, of one second or up to one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Jobs that entered the queue.
    pub jobs: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Those of them for which there was no room in the queue.
    pub queue_full: u64,
    /// Those of them for which there was no room in the store of jobs for later.
    pub store_full: u64,
    /// How often that store has failed.
    pub store_errors: u64,
    /// Jobs for later that a process had sent which is gone, by what became of them, in the
    /// order of [`Recovered::ALL`].
    pub recovered: [u64; Recovered::ALL.len()],
    /// What came of jobs for later that were no longer this process's.
    pub fenced: u64,
    /// Jobs that a batch left without because it had another of the same id.
    pub kept_apart: u64,
    /// Jobs for later that left in free places of callers' batches.
    pub free_seats: u64,
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

impl Counts {
    /// Those up to a moment.
    pub(super) fn of(moment: &Moment) -> Self {
        let Moment {
            batcher,
            totals,
            log_lines_dropped,
        } = moment;
        Self {
            jobs: batcher.accepted,
            refused: totals.refused,
            queue_full: totals.queue_full,
            store_full: totals.store_full,
            store_errors: totals.store_errors,
            recovered: totals.recovered,
            fenced: totals.fenced,
            kept_apart: batcher.kept_apart,
            free_seats: batcher.detached_rode,
            departed: batcher.cancelled_in_flight,
            retries: totals.retries,
            splits: totals.splits,
            splits_too_large: totals.splits_too_large,
            log_lines_dropped: *log_lines_dropped,
        }
    }

    /// Two of them as one.
    #[must_use]
    pub fn with(&self, other: &Self, f: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            jobs: f(self.jobs, other.jobs),
            refused: f(self.refused, other.refused),
            queue_full: f(self.queue_full, other.queue_full),
            store_full: f(self.store_full, other.store_full),
            store_errors: f(self.store_errors, other.store_errors),
            recovered: std::array::from_fn(|how| f(self.recovered[how], other.recovered[how])),
            fenced: f(self.fenced, other.fenced),
            kept_apart: f(self.kept_apart, other.kept_apart),
            free_seats: f(self.free_seats, other.free_seats),
            departed: f(self.departed, other.departed),
            retries: f(self.retries, other.retries),
            splits: f(self.splits, other.splits),
            splits_too_large: f(self.splits_too_large, other.splits_too_large),
            log_lines_dropped: f(self.log_lines_dropped, other.log_lines_dropped),
        }
    }
}

/// One second; times are in milliseconds where it is serialized.
#[derive(Clone, Debug, Default)]
pub struct Second {
    /// Which one, in Unix time.
    pub t: u64,
    /// What is counted anyway.
    pub counts: Counts,
    /// Batches that left for the first time.
    pub batches: u64,
    /// Jobs in them.
    pub batch_jobs: u64,
    /// The sum of how full they were.
    fill: f64,
    /// The most jobs that waited at any moment that is known of.
    pub queue_jobs: usize,
    /// The most that waited for room in the queue.
    pub waiting_for_room: usize,
    /// The most batches in flight.
    pub in_flight: usize,
    /// How long every slot was taken.
    pub(super) saturated: Duration,
    /// How long the jobs of the batches that left had waited.
    pub wait: LatencyHistogram,
    /// How long the upstream had the jobs of the batches that ended.
    pub upstream: LatencyHistogram,
    /// How long answered jobs were here, from their arrival on.
    pub job: LatencyHistogram,
    /// Batches by why they left.
    reasons: [u64; FlushReason::ALL.len()],
    /// Answered jobs by what they came to.
    pub outcomes: ByCode,
    /// What became of jobs for later.
    pub later: ForLater,
    /// The most of them that waited or were at the upstream, where that is known.
    pub backlog: Option<u64>,
    /// Batches by size: of 2^i to 2^(i+1) - 1 jobs.
    sizes: [u64; SIZES],
}

impl Second {
    /// One in which nothing has happened yet.
    pub fn new(t: u64) -> Self {
        Self {
            t,
            ..Self::default()
        }
    }

    /// A batch of so many jobs, so full from 0 to 1, has left.
    pub(super) fn left(&mut self, jobs: usize, fill: f64, reason: FlushReason) {
        self.batches += 1;
        self.batch_jobs += jobs as u64;
        self.fill += fill;
        self.reasons[reason as usize] += 1;
        let size = jobs.max(1).ilog2() as usize;
        self.sizes[size.min(SIZES - 1)] += 1;
    }

    /// The batcher held so much at most.
    pub(super) fn saw(&mut self, batcher: &Snapshot) {
        self.queue_jobs = self.queue_jobs.max(batcher.most_queued);
        let room = batcher.most_waiting_for_room;
        self.waiting_for_room = self.waiting_for_room.max(room);
        self.in_flight = self.in_flight.max(batcher.most_in_flight);
    }

    /// So many jobs for later waited or were at the upstream.
    pub(super) fn saw_backlog(&mut self, jobs: u64) {
        self.backlog = self.backlog.max(Some(jobs));
    }

    /// The same second of another route as well, whose slots are such a share of all there
    /// are. The most that each held was not held at once: their sum is a bound.
    pub(super) fn add(&mut self, other: &Self, share: f64) {
        let add = |one, two| one + two;
        let dropped = self.counts.log_lines_dropped;
        self.counts = self.counts.with(&other.counts, add);
        // The log is the process's, and each route has seen it.
        self.counts.log_lines_dropped = dropped.max(other.counts.log_lines_dropped);
        self.batches += other.batches;
        self.batch_jobs += other.batch_jobs;
        self.fill += other.fill;
        self.queue_jobs += other.queue_jobs;
        self.waiting_for_room += other.waiting_for_room;
        self.in_flight += other.in_flight;
        self.saturated += other.saturated.mul_f64(share);
        self.wait.merge(&other.wait);
        self.upstream.merge(&other.upstream);
        self.job.merge(&other.job);
        let pairs = self.reasons.iter_mut().zip(other.reasons);
        pairs.for_each(|(sum, count)| *sum += count);
        let pairs = self.sizes.iter_mut().zip(other.sizes);
        pairs.for_each(|(sum, count)| *sum += count);
        self.outcomes = self.outcomes.with(&other.outcomes, add);
        self.later = self.later.with(&other.later, add);
    }

    /// Batches that left, by why.
    pub fn reasons(&self) -> impl Iterator<Item = (FlushReason, u64)> + Clone + '_ {
        FlushReason::ALL.iter().copied().zip(self.reasons)
    }

    /// The mean fill of the batches that left, 0 to 1.
    pub fn mean_fill(&self) -> f64 {
        match self.batches {
            0 => 0.0,
            batches => self.fill / batches as f64,
        }
    }

    /// Whether anything is known of jobs for later.
    fn has_later(&self) -> bool {
        let counts = &self.counts;
        let [recovered, fenced] = [counts.recovered.iter().sum(), counts.fenced];
        let counted = counts.free_seats + recovered + fenced > 0;
        counted || self.later != ForLater::default() || self.backlog.is_some()
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
        map.serialize_entry("jobs", &self.counts.jobs)?;
        map.serialize_entry("refused", &self.counts.refused)?;
        map.serialize_entry("batches", &self.batches)?;
        map.serialize_entry("batch_jobs", &self.batch_jobs)?;
        map.serialize_entry("fill", &round(self.mean_fill()))?;
        map.serialize_entry("queue_jobs", &self.queue_jobs)?;
        map.serialize_entry("waiting_for_room", &self.waiting_for_room)?;
        map.serialize_entry("in_flight", &self.in_flight)?;
        map.serialize_entry("slots_busy", &round(self.slots_busy()))?;
        for (name, times, share) in [
            ("wait_p50_ms", &self.wait, 0.5),
            ("wait_p99_ms", &self.wait, 0.99),
            ("upstream_p50_ms", &self.upstream, 0.5),
            ("upstream_p99_ms", &self.upstream, 0.99),
            ("job_p50_ms", &self.job, 0.5),
            ("job_p99_ms", &self.job, 0.99),
        ] {
            map.serialize_entry(name, &times.quantile_ms(share).map(round))?;
        }
        let reasons = self
            .reasons()
            .map(|(reason, count)| (reason.as_str(), count));
        map.serialize_entry("reasons", &NotZero(reasons))?;
        let outcomes = self.outcomes.iter();
        let outcomes = outcomes.map(|(code, count)| (code.as_str(), *count));
        map.serialize_entry("outcomes", &NotZero(outcomes))?;
        map.serialize_entry("kept_apart", &self.counts.kept_apart)?;
        map.serialize_entry("departed", &self.counts.departed)?;
        map.serialize_entry("retries", &self.counts.retries)?;
        map.serialize_entry("splits", &self.counts.splits)?;
        if self.has_later() {
            map.serialize_entry("later", &Later(self))?;
        }
        map.end()
    }
}

/// What a second has of jobs for later, where it has any.
struct Later<'a>(&'a Second);

impl Serialize for Later<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(second) = self;
        let later = &second.later;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("handed_in", &later.handed_in)?;
        let outcomes = later.finished.iter();
        let outcomes = outcomes.map(|(code, count)| (code.as_str(), *count));
        map.serialize_entry("outcomes", &NotZero(outcomes))?;
        map.serialize_entry("expired_unread", &later.expired_unread)?;
        map.serialize_entry("free_seats", &second.counts.free_seats)?;
        let recovered = Recovered::ALL.iter().zip(second.counts.recovered);
        let recovered = recovered.map(|(how, count)| (how.as_str(), count));
        map.serialize_entry("recovered", &NotZero(recovered))?;
        map.serialize_entry("fenced", &second.counts.fenced)?;
        map.serialize_entry("backlog", &second.backlog)?;
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
    use crate::code::Code;

    #[test]
    fn batches_are_told_apart_by_powers_of_two() {
        let mut second = Second::default();
        for size in [1, 2, 3, 4, 99, 100] {
            second.left(size, 0.5, FlushReason::Wait);
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
    fn zero_counts_are_left_out_and_unknown_times_are_null() {
        let mut second = Second::default();
        second.left(3, 1.0 / 3.0, FlushReason::Idle);
        second.outcomes[Code::Ok] = 3;
        second.wait.add(Duration::from_millis(5));
        let json = serde_json::to_value(&second).unwrap();
        assert_eq!(json["reasons"], serde_json::json!({"idle": 1}));
        assert_eq!(json["outcomes"], serde_json::json!({"ok": 3}));
        assert_eq!(json["fill"], 0.333);
        assert!(json["wait_p50_ms"].as_f64().is_some());
        assert!(json["upstream_p50_ms"].is_null());
    }
}
