//! Every metric in one place, by name and meaning.
//!
//! What happens is told here by whoever does it, in its own words (a batch left, a
//! call ended); the numbers are atomics, so telling costs a few additions and no
//! lock. What the batcher knows anyway (what waits, what is in flight) is read from
//! it when somebody asks. [`exposition`] writes all of it as Prometheus text.

mod exposition;
mod histogram;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::batcher::FlushReason;
use crate::code::Code;
use crate::engine::correlate::Unmatched;

pub use exposition::{Format, Gauges, exposition};
pub use histogram::{Histogram, Reading};

/// Bounds for times, in nanoseconds: 50 µs to 60 s.
const TIMES: [u64; 19] = {
    const US: u64 = 1_000;
    const MS: u64 = 1_000 * US;
    const S: u64 = 1_000 * MS;
    [
        50 * US,
        100 * US,
        250 * US,
        500 * US,
        MS,
        2_500 * US,
        5 * MS,
        10 * MS,
        25 * MS,
        50 * MS,
        100 * MS,
        250 * MS,
        500 * MS,
        S,
        2_500 * MS,
        5 * S,
        10 * S,
        30 * S,
        60 * S,
    ]
};

const NANOS_PER_SECOND: f64 = 1e9;

/// The unit of a batch's fill: a thousandth.
const FILL: f64 = 1e3;

/// Statuses that HTTP has: 100 to 999.
const STATUSES: usize = 1_000;

/// Counts of what happens, from the start of the process on.
#[derive(Debug)]
pub struct Metrics {
    answered: ByCode,
    refused: ByCode,
    job_duration: Histogram,
    queue_wait: Histogram,
    batches: Box<[ByCode]>,
    batches_abandoned: [AtomicU64; FlushReason::ALL.len()],
    batch_jobs: Histogram,
    batch_bytes: Histogram,
    batch_fill: Histogram,
    /// By [`CallOutcome`].
    upstream_duration: Box<[Histogram]>,
    upstream_status: Box<[AtomicU64]>,
    retries: AtomicU64,
    budget_exhausted: AtomicU64,
    splits: [AtomicU64; SplitCause::ALL.len()],
    unmatched: [AtomicU64; Unmatched::KINDS.len()],
    bounds: Bounds,
}

/// What batches are measured against.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// `batch.max_size`.
    pub max_size: usize,
    /// `batch.max_bytes`.
    pub max_bytes: usize,
}

/// Sums at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Accepted jobs that were answered, in the order of [`Code::ALL`].
    pub answered: Vec<u64>,
    /// Requests that were refused.
    pub refused: u64,
    /// Those of them for which there was no room in the queue.
    pub queue_full: u64,
    /// Batches that were sent again.
    pub retries: u64,
    /// Batches that were split.
    pub splits: u64,
    /// Those of them that were too large for the upstream.
    pub splits_too_large: u64,
}

/// Why a batch was split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitCause {
    /// It was answered 413.
    TooLarge,
    /// It was answered a status of `upstream.split_on`.
    Status,
}

impl SplitCause {
    const ALL: [Self; 2] = [Self::TooLarge, Self::Status];

    /// Its name as a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::Status => "status",
        }
    }
}

/// What one call to the upstream came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// An answer, or the want of one.
    Ended(Code),
    /// Every caller left before that.
    Abandoned,
}

impl CallOutcome {
    /// Every outcome there is, in the order of [`index`](Self::index).
    fn all() -> impl Iterator<Item = Self> {
        let ended = Code::ALL.iter().map(|code| Self::Ended(*code));
        ended.chain([Self::Abandoned])
    }

    fn index(self) -> usize {
        match self {
            Self::Ended(code) => code as usize,
            Self::Abandoned => Code::ALL.len(),
        }
    }

    /// Its name as a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ended(code) => code.as_str(),
            Self::Abandoned => "abandoned",
        }
    }
}

impl From<Code> for CallOutcome {
    fn from(code: Code) -> Self {
        Self::Ended(code)
    }
}

/// A batch that leaves.
#[derive(Clone, Copy, Debug)]
pub struct Left {
    /// How many jobs are in it.
    pub jobs: usize,
    /// The bytes of its array.
    pub bytes: usize,
}

impl Metrics {
    /// Nothing has happened yet.
    pub fn new(bounds: Bounds) -> Self {
        let powers = |from: u32, most: usize| {
            let last = (most as u64).next_power_of_two().trailing_zeros();
            (from..=last.max(from)).map(|power| 1 << power)
        };
        let times = || Histogram::new(TIMES, NANOS_PER_SECOND);
        Self {
            answered: ByCode::default(),
            refused: ByCode::default(),
            job_duration: times(),
            queue_wait: times(),
            batches: FlushReason::ALL.iter().map(|_| ByCode::default()).collect(),
            batches_abandoned: [const { AtomicU64::new(0) }; FlushReason::ALL.len()],
            batch_jobs: Histogram::new(powers(0, bounds.max_size), 1.0),
            batch_bytes: Histogram::new(powers(6, bounds.max_bytes), 1.0),
            batch_fill: Histogram::new((1..=10).map(|tenth| tenth * 100), FILL),
            upstream_duration: CallOutcome::all().map(|_| times()).collect(),
            upstream_status: (0..STATUSES).map(|_| AtomicU64::new(0)).collect(),
            retries: AtomicU64::new(0),
            budget_exhausted: AtomicU64::new(0),
            splits: [const { AtomicU64::new(0) }; SplitCause::ALL.len()],
            unmatched: [const { AtomicU64::new(0) }; Unmatched::KINDS.len()],
            bounds,
        }
    }

    /// A job that had entered the queue was answered, so long after it came.
    pub fn answered(&self, outcome: Code, after: Duration) {
        self.answered.add(outcome, 1);
        self.job_duration.observe(nanos(after));
    }

    /// A request was answered that never entered the queue.
    pub fn refused(&self, code: Code) {
        self.refused.add(code, 1);
    }

    /// A batch leaves for the first time. Its members had waited for so long.
    pub fn batch_left(&self, left: Left, waited: impl Iterator<Item = Duration>) {
        self.batch_jobs.observe(left.jobs as u64);
        self.batch_bytes.observe(left.bytes as u64);
        self.batch_fill.observe((self.fill(left) * FILL) as u64);
        waited.for_each(|waited| self.queue_wait.observe(nanos(waited)));
    }

    /// How full a batch is, from 0 to 1: by jobs or by bytes, whichever is more.
    pub fn fill(&self, left: Left) -> f64 {
        let by_jobs = left.jobs as f64 / self.bounds.max_size as f64;
        let by_bytes = left.bytes as f64 / self.bounds.max_bytes as f64;
        by_jobs.max(by_bytes).min(1.0)
    }

    /// A batch that left for this reason came to that.
    pub fn batch_ended(&self, reason: FlushReason, outcome: Code) {
        self.batches[reason as usize].add(outcome, 1);
    }

    /// Every caller of a batch that left for this reason has left.
    pub fn batch_abandoned(&self, reason: FlushReason) {
        self.batches_abandoned[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// One call to the upstream came to that, with this status if it was answered.
    pub fn call_ended(&self, outcome: CallOutcome, status: Option<u16>, took: Duration) {
        self.upstream_duration[outcome.index()].observe(nanos(took));
        // 0 stands for none.
        let status = usize::from(status.unwrap_or(0)).min(STATUSES - 1);
        self.upstream_status[status].fetch_add(1, Ordering::Relaxed);
    }

    /// A batch is sent again.
    pub fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// A batch would have been sent again, had there been budget for it.
    pub fn budget_exhausted(&self) {
        self.budget_exhausted.fetch_add(1, Ordering::Relaxed);
    }

    /// A batch is sent again in halves.
    pub fn split(&self, cause: SplitCause) {
        self.splits[cause as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Results belonged to nobody.
    pub fn unmatched(&self, unmatched: &Unmatched) {
        for (total, count) in self.unmatched.iter().zip(unmatched.by_kind()) {
            if count > 0 {
                total.fetch_add(count as u64, Ordering::Relaxed);
            }
        }
    }

    /// Accepted jobs that were answered, in the order of [`Code::ALL`]. Whoever finds
    /// a job here finds it accepted in whatever it reads next.
    pub fn answered_by_code(&self) -> Vec<u64> {
        let counts = self.answered.0.iter();
        counts.map(|it| it.load(Ordering::Acquire)).collect()
    }

    /// What the live page sums up.
    pub fn totals(&self) -> Totals {
        Totals {
            answered: self.answered_by_code(),
            refused: self.refused.sum(),
            queue_full: self.refused.of(Code::QueueFull),
            retries: self.total_retries(),
            splits: self.total_splits(),
            splits_too_large: self.splits(SplitCause::TooLarge),
        }
    }

    /// Calls by the status of their answer, those that are not zero, and those without
    /// an answer.
    pub fn statuses(&self) -> impl Iterator<Item = (Option<usize>, u64)> + '_ {
        let counts = self.upstream_status.iter().enumerate();
        let counts = counts.map(|(status, count)| (status, count.load(Ordering::Relaxed)));
        counts
            .filter(|&(status, count)| count > 0 || status == 0)
            .map(|(status, count)| ((status > 0).then_some(status), count))
    }

    /// How many batches were split for this.
    pub fn splits(&self, cause: SplitCause) -> u64 {
        self.splits[cause as usize].load(Ordering::Relaxed)
    }

    /// How many batches were not sent again for want of budget.
    pub fn total_budget_exhausted(&self) -> u64 {
        self.budget_exhausted.load(Ordering::Relaxed)
    }

    /// Results that belonged to nobody, by kind.
    pub fn unmatched_by_kind(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let counts = self.unmatched.iter().map(|it| it.load(Ordering::Relaxed));
        Unmatched::KINDS.into_iter().zip(counts)
    }

    /// How many jobs were answered that had entered the queue.
    pub fn total_answered(&self) -> u64 {
        self.answered.sum()
    }

    /// How many requests were answered that never entered the queue.
    pub fn total_refused(&self) -> u64 {
        self.refused.sum()
    }

    /// How many times a batch was sent again.
    pub fn total_retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// How many batches were split.
    pub fn total_splits(&self) -> u64 {
        self.splits
            .iter()
            .map(|it| it.load(Ordering::Relaxed))
            .sum()
    }

    /// The answered by outcome, as `ok=12 job-error=3`.
    pub fn outcomes(&self) -> &ByCode {
        &self.answered
    }

    /// The refused by code, in the same way.
    pub fn refusals(&self) -> &ByCode {
        &self.refused
    }
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX)
}

/// A count for each code.
#[derive(Debug)]
pub struct ByCode(Box<[AtomicU64]>);

impl Default for ByCode {
    fn default() -> Self {
        Self(Code::ALL.iter().map(|_| AtomicU64::new(0)).collect())
    }
}

impl ByCode {
    fn add(&self, code: Code, count: u64) {
        // What a job came to before it is told with that, see `answered_by_code`.
        self.0[code as usize].fetch_add(count, Ordering::Release);
    }

    fn of(&self, code: Code) -> u64 {
        self.0[code as usize].load(Ordering::Relaxed)
    }

    fn sum(&self) -> u64 {
        self.0.iter().map(|it| it.load(Ordering::Relaxed)).sum()
    }

    /// Those that are not zero, in the order of [`Code::ALL`].
    pub fn counts(&self) -> impl Iterator<Item = (Code, u64)> + '_ {
        self.counts_of(|_| false)
    }

    /// The same, and those that are expected though they be zero: a counter that
    /// appears with its first event seems not to have risen (`increase()`).
    fn counts_of(&self, expected: fn(Code) -> bool) -> impl Iterator<Item = (Code, u64)> + '_ {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        let counts = Code::ALL.iter().copied().zip(counts);
        counts.filter(move |&(code, count)| count > 0 || expected(code))
    }
}

/// As `ok=12 job-error=3`.
impl fmt::Display for ByCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (code, count)) in self.counts().enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{code}={count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        max_size: 100,
        max_bytes: 1_000,
    };

    #[test]
    fn counts_are_told_by_code() {
        let metrics = Metrics::new(BOUNDS);
        assert_eq!(metrics.outcomes().to_string(), "");
        for outcome in [Code::JobError, Code::Ok, Code::Ok] {
            metrics.answered(outcome, Duration::ZERO);
        }
        metrics.refused(Code::QueueFull);
        assert_eq!(metrics.outcomes().to_string(), "ok=2 job-error=1");
        assert_eq!(metrics.refusals().to_string(), "queue-full=1");
        assert_eq!((metrics.total_answered(), metrics.total_refused()), (3, 1));
    }

    #[test]
    fn a_batch_is_as_full_as_its_fuller_measure() {
        let metrics = Metrics::new(BOUNDS);
        for (jobs, bytes, fill) in [
            (1, 10, 0.01),
            (50, 10, 0.5),
            (1, 900, 0.9),
            (100, 1_000, 1.0),
        ] {
            assert_eq!(metrics.fill(Left { jobs, bytes }), fill);
        }
    }
}
