//! Counts of what happens, from the start of the process on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::histogram::Histogram;
use crate::batcher::FlushReason;
use crate::code::Code;
use crate::fault::Unmatched;
use crate::observe::by_code::ByCode;
use crate::observe::event::{ALONE, Bounds, BoundsInForce, Event, SplitCause};
use crate::observe::moment::Totals;
use crate::observe::records::{Recovered, StoreStep};

/// Bounds for times, in microseconds: 50 µs to 60 s.
const TIMES: [u64; 19] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

const NANOS_PER_SECOND: f64 = 1e9;

/// The unit of a batch's fill: a thousandth.
const FILL: f64 = 1e3;

/// Histograms of commits to a store reach up to 2 to the power of this many records.
const LARGEST_COMMIT: u32 = 12;

/// Statuses that HTTP has: 100 to 999.
const STATUSES: usize = 1_000;

/// Counts of what happens.
#[derive(Debug)]
pub struct Metrics {
    answered: ByCode<AtomicU64>,
    refused: ByCode<AtomicU64>,
    pub(super) job_duration: Histogram,
    pub(super) queue_wait: Histogram,
    batches: [ByOutcome<AtomicU64>; FlushReason::ALL.len()],
    pub(super) batch_jobs: Histogram,
    pub(super) batch_bytes: Histogram,
    pub(super) batch_fill: Histogram,
    upstream_duration: ByOutcome<Histogram>,
    upstream_status: Box<[AtomicU64]>,
    retries: AtomicU64,
    budget_exhausted: AtomicU64,
    splits: [AtomicU64; SplitCause::ALL.len()],
    alone: [AtomicU64; ALONE.len()],
    passed_through: AtomicU64,
    unmatched: [AtomicU64; Unmatched::KINDS.len()],
    pub(super) commit_duration: Histogram,
    pub(super) commit_records: Histogram,
    store_errors: [AtomicU64; StoreStep::ALL.len()],
    recovered: [AtomicU64; Recovered::ALL.len()],
    fenced: AtomicU64,
    bounds: BoundsInForce,
}

/// One for each code that something can come to, and one for what every caller has
/// left.
#[derive(Debug)]
struct ByOutcome<T> {
    ended: ByCode<T>,
    abandoned: T,
}

impl<T> ByOutcome<T> {
    fn new(mut each: impl FnMut() -> T) -> Self {
        Self {
            abandoned: each(),
            ended: ByCode::new(each),
        }
    }

    fn of(&self, outcome: Option<Code>) -> &T {
        outcome.map_or(&self.abandoned, |code| &self.ended[code])
    }

    fn iter(&self) -> impl Iterator<Item = (Option<Code>, &T)> {
        let ended = self.ended.iter().map(|(code, it)| (Some(code), it));
        ended.chain([(None, &self.abandoned)])
    }
}

impl Metrics {
    /// Nothing has happened yet.
    pub fn new(bounds: Bounds) -> Self {
        let powers = |from: u32, most: usize| {
            let last = (most as u64).next_power_of_two().trailing_zeros();
            (from..=last.max(from)).map(|power| 1 << power)
        };
        let times = || Histogram::new(TIMES.map(|micros| micros * 1_000), NANOS_PER_SECOND);
        Self {
            answered: ByCode::default(),
            refused: ByCode::default(),
            job_duration: times(),
            queue_wait: times(),
            batches: std::array::from_fn(|_| ByOutcome::new(AtomicU64::default)),
            batch_jobs: Histogram::new(powers(0, bounds.max_size), 1.0),
            batch_bytes: Histogram::new(powers(6, bounds.max_bytes), 1.0),
            batch_fill: Histogram::new((1..=10).map(|tenth| tenth * 100), FILL),
            upstream_duration: ByOutcome::new(times),
            upstream_status: (0..STATUSES).map(|_| AtomicU64::new(0)).collect(),
            retries: AtomicU64::new(0),
            budget_exhausted: AtomicU64::new(0),
            splits: Default::default(),
            alone: Default::default(),
            passed_through: AtomicU64::new(0),
            unmatched: Default::default(),
            commit_duration: times(),
            commit_records: Histogram::new((0..=LARGEST_COMMIT).map(|power| 1 << power), 1.0),
            store_errors: Default::default(),
            recovered: Default::default(),
            fenced: AtomicU64::new(0),
            bounds: BoundsInForce::new(bounds),
        }
    }

    /// Batches are measured against these from here on.
    pub fn bound(&self, bounds: Bounds) {
        self.bounds.set(bounds);
    }

    /// Counts what has happened.
    #[inline(always)]
    pub fn count(&self, event: &Event) {
        match *event {
            Event::Refused { code, .. } => add(&self.refused[code], 1),
            Event::Answered { outcome, after } => {
                add(&self.answered[outcome], 1);
                self.job_duration.observe(nanos(after));
            }
            Event::BatchLeft { items, bytes, .. } => {
                self.batch_jobs.observe(items as u64);
                self.batch_bytes.observe(bytes as u64);
                let fill = self.bounds.fill(items, bytes);
                self.batch_fill.observe((fill * FILL) as u64);
            }
            Event::JobLeft { waited } => self.queue_wait.observe(nanos(waited)),
            Event::BatchEnded {
                reason, outcome, ..
            } => add(self.batches[reason as usize].of(Some(outcome)), 1),
            Event::BatchAbandoned { reason } => add(self.batches[reason as usize].of(None), 1),
            Event::AttemptEnded {
                outcome,
                status,
                took,
            } => {
                self.upstream_duration.of(outcome).observe(nanos(took));
                // 0 stands for none.
                let status = usize::from(status.unwrap_or(0)).min(STATUSES - 1);
                add(&self.upstream_status[status], 1);
            }
            Event::Retried => add(&self.retries, 1),
            Event::BudgetExhausted => add(&self.budget_exhausted, 1),
            Event::Split(cause) => add(&self.splits[cause as usize], 1),
            Event::Alone { why } => {
                if let Some(known) = ALONE.iter().position(|it| *it == why) {
                    add(&self.alone[known], 1);
                }
            }
            Event::Unmatched(ref unmatched) => {
                for (total, count) in self.unmatched.iter().zip(unmatched.by_kind()) {
                    if count > 0 {
                        add(total, count as u64);
                    }
                }
            }
            Event::StoreCommitted { records, took } => {
                self.commit_duration.observe(nanos(took));
                self.commit_records.observe(records as u64);
            }
            Event::StoreFailed { step } => add(&self.store_errors[step as usize], 1),
            Event::Recovered { how, records } => add(&self.recovered[how as usize], records as u64),
            Event::Fenced { records } => add(&self.fenced, records as u64),
            Event::PassedThrough => add(&self.passed_through, 1),
            Event::BatchFailed { .. }
            | Event::JobsFailed(_)
            | Event::Found(_)
            | Event::Recorded(_) => {}
        }
    }

    /// What the live page sums up.
    pub fn totals(&self) -> Totals {
        let splits = SplitCause::ALL.map(|cause| get(&self.splits[cause as usize]));
        let refusals = self.refusals();
        Totals {
            answered: self.outcomes(),
            // Who asks for a job that is gone hands none in.
            refused: refusals.sum() - refusals[Code::JobUnknown],
            queue_full: refusals[Code::QueueFull],
            store_full: refusals[Code::StoreFull],
            store_errors: self.store_errors().map(|(_, count)| count).sum(),
            recovered: Recovered::ALL.map(|how| get(&self.recovered[how as usize])),
            fenced: self.fenced(),
            retries: self.total_retries(),
            splits: splits.iter().sum(),
            splits_too_large: splits[SplitCause::TooLarge as usize],
        }
    }

    /// Accepted jobs that were answered, by outcome. A reader that finds a job here
    /// finds it accepted in what it reads next.
    pub fn outcomes(&self) -> ByCode {
        read(&self.answered)
    }

    /// Requests that never entered the queue, by code.
    pub fn refusals(&self) -> ByCode {
        read(&self.refused)
    }

    /// How many accepted jobs were answered.
    pub fn total_answered(&self) -> u64 {
        self.outcomes().sum()
    }

    /// How many requests were answered that never entered the queue.
    pub fn total_refused(&self) -> u64 {
        self.refusals().sum()
    }

    /// How many times a batch was sent again.
    pub fn total_retries(&self) -> u64 {
        get(&self.retries)
    }

    /// Calls by the status of their answer, those that are not zero, and those without
    /// an answer.
    pub fn statuses(&self) -> impl Iterator<Item = (Option<usize>, u64)> {
        let counts = self.upstream_status.iter().map(get).enumerate();
        counts
            .filter(|&(status, count)| count > 0 || status == 0)
            .map(|(status, count)| ((status > 0).then_some(status), count))
    }

    /// How many batches were not sent again for want of budget.
    pub(super) fn budget_exhausted(&self) -> u64 {
        get(&self.budget_exhausted)
    }

    /// Batches that left for this reason, by what they came to.
    pub(super) fn batches(&self, reason: FlushReason) -> impl Iterator<Item = (Option<Code>, u64)> {
        let batches = self.batches[reason as usize].iter();
        batches.map(|(outcome, count)| (outcome, get(count)))
    }

    /// Times of calls, by what they came to.
    pub(super) fn calls(&self) -> impl Iterator<Item = (Option<Code>, &Histogram)> {
        self.upstream_duration.iter()
    }

    /// How many batches were split, by why.
    pub fn splits(&self) -> impl Iterator<Item = (SplitCause, u64)> {
        SplitCause::ALL.into_iter().zip(self.splits.iter().map(get))
    }

    /// Calls that were forwarded by themselves, by why.
    pub(super) fn alone(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ALONE.into_iter().zip(self.alone.iter().map(get))
    }

    /// Requests to paths of no route that were passed through.
    pub fn passed_through(&self) -> u64 {
        get(&self.passed_through)
    }

    /// What a store failed to do, and how often.
    pub(super) fn store_errors(&self) -> impl Iterator<Item = (StoreStep, u64)> {
        let counts = self.store_errors.iter().map(get);
        StoreStep::ALL.into_iter().zip(counts)
    }

    /// Jobs for later that a process had sent which is gone, by what became of them.
    pub(super) fn recovered(&self) -> impl Iterator<Item = (Recovered, u64)> {
        Recovered::ALL
            .into_iter()
            .zip(self.recovered.iter().map(get))
    }

    /// What came of jobs for later that were no longer this process's.
    pub(super) fn fenced(&self) -> u64 {
        get(&self.fenced)
    }

    /// Results that belonged to no job, by kind.
    pub(super) fn unmatched(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.unmatched.iter().map(get);
        Unmatched::KINDS.into_iter().zip(counts)
    }
}

fn add(count: &AtomicU64, more: u64) {
    // What a job came to before it is told with that, see `Metrics::outcomes`.
    count.fetch_add(more, Ordering::Release);
}

fn get(count: &AtomicU64) -> u64 {
    count.load(Ordering::Acquire)
}

fn read(counts: &ByCode<AtomicU64>) -> ByCode {
    let mut each = counts.iter().map(|(_, count)| get(count));
    ByCode::new(|| each.next().unwrap_or_default())
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX)
}
