//! What the rules look at: the last minute summed up, what is at its end, and the
//! settings.

use super::backlog::{Backlog, BacklogLimits};
use crate::batcher::FlushReason;
use crate::code::Code;
use crate::observe::by_code::ByCode;
use crate::observe::latency::LatencyHistogram;
use crate::observe::live::{Counts, Failures, ForLater, Recent, Second};
use crate::observe::words::share;

/// How many of the last seconds the advice is drawn from.
const SECONDS: u64 = 60;

/// What happened in the last minute, and what is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// Jobs that entered the queue.
    pub jobs: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Those of them for which there was no room in the queue.
    pub queue_full: u64,
    /// Batches that left.
    pub batches: u64,
    /// Jobs in them.
    pub batch_jobs: u64,
    /// Their mean fill, 0 to 1.
    pub fill: f64,
    /// Batches by why they left.
    pub reasons: [u64; FlushReason::ALL.len()],
    /// Answered jobs by what they came to, those that are not zero; without those for
    /// later.
    pub outcomes: Vec<(Code, u64)>,
    /// What failed last by its cause, the newest first; also before that minute.
    pub failures: Vec<Failures>,
    /// The share of the active seconds in which every slot was taken.
    pub slots_busy: f64,
    /// The median and the 99th percentile of the wait in the queue, in milliseconds.
    pub wait_ms: [f64; 2],
    /// The same of the time at the upstream.
    pub upstream_ms: [f64; 2],
    /// The most jobs that waited.
    pub queue_jobs: usize,
    /// The most jobs that waited for room.
    pub waiting_for_room: usize,
    /// Jobs that a batch left without because it had another of the same id.
    pub kept_apart: u64,
    /// Jobs whose callers left while they were in flight.
    pub departed: u64,
    /// Batches sent again.
    pub retries: u64,
    /// Batches split.
    pub splits: u64,
    /// Those of them that were too large for the upstream.
    pub splits_too_large: u64,
    /// Lines that the log had no room for.
    pub log_lines_dropped: u64,
    /// Slots there are.
    pub slots: usize,
    /// Open connections of callers.
    pub connections: usize,
    /// Whether jobs are refused because the upstream has failed too often.
    pub circuit_open: bool,
    /// The jobs for later, unless none are taken.
    pub later: Option<Backlog>,
}

/// The settings that the rules look at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// `batch.max_size`.
    pub max_size: usize,
    /// `batch.max_wait`, in milliseconds.
    pub max_wait_ms: f64,
    /// `batch.wait = "adaptive"`.
    pub adaptive_wait: bool,
    /// `upstream.max_in_flight = "adaptive"`.
    pub adaptive_in_flight: bool,
    /// `queue.max_jobs`.
    pub queue_jobs: usize,
    /// `queue.on_full = "wait"`.
    pub waits_for_room: bool,
    /// `upstream.idempotent`.
    pub idempotent: bool,
    /// `upstream.timeout`, in milliseconds.
    pub upstream_timeout_ms: f64,
    /// `server.request_timeout`, in milliseconds.
    pub request_timeout_ms: f64,
    /// Those of jobs for later, unless none are taken.
    pub later: Option<BacklogLimits>,
}

impl Figures {
    /// Sums the last minute up.
    pub fn of(recent: &Recent, circuit_open: bool) -> Self {
        let seconds = recent.last(SECONDS);
        let now = &recent.moment.batcher;
        let (mut wait, mut upstream) = (LatencyHistogram::default(), LatencyHistogram::default());
        let mut reasons = [0; FlushReason::ALL.len()];
        let (mut outcomes, mut counts) = (ByCode::default(), Counts::default());
        let mut for_later = ForLater::default();
        let add = |all, more| all + more;
        for second in seconds {
            wait.merge(&second.wait);
            upstream.merge(&second.upstream);
            for (reason, count) in second.reasons() {
                reasons[reason as usize] += count;
            }
            outcomes = outcomes.with(&second.outcomes, add);
            counts = counts.with(&second.counts, add);
            for_later = for_later.with(&second.later, add);
        }
        let sum = |count: fn(&Second) -> u64| seconds.iter().map(count).sum::<u64>();
        let most = |count: fn(&Second) -> usize| seconds.iter().map(count).max().unwrap_or(0);
        let total = |value: fn(&Second) -> f64| seconds.iter().map(value).sum::<f64>();
        let batches = sum(|it| it.batches);
        let fill = total(|it| it.mean_fill() * it.batches as f64);
        let quantiles =
            |times: &LatencyHistogram| [0.5, 0.99].map(|it| times.quantile_ms(it).unwrap_or(0.0));
        Self {
            jobs: counts.jobs,
            refused: counts.refused,
            queue_full: counts.queue_full,
            batches,
            batch_jobs: sum(|it| it.batch_jobs),
            fill: share(fill, batches as f64),
            reasons,
            outcomes: outcomes.counts().collect(),
            failures: recent.failures.clone(),
            slots_busy: share(total(Second::slots_busy), seconds.len() as f64),
            wait_ms: quantiles(&wait),
            upstream_ms: quantiles(&upstream),
            queue_jobs: most(|it| it.queue_jobs),
            waiting_for_room: most(|it| it.waiting_for_room),
            kept_apart: counts.kept_apart,
            departed: counts.departed,
            retries: counts.retries,
            splits: counts.splits,
            splits_too_large: counts.splits_too_large,
            log_lines_dropped: counts.log_lines_dropped,
            slots: now.max_in_flight,
            connections: now.sources,
            circuit_open,
            later: recent
                .records
                .as_ref()
                .map(|records| Backlog::of(records, for_later, &counts)),
        }
    }

    pub(super) fn reason(&self, reason: FlushReason) -> f64 {
        share(self.reasons[reason as usize] as f64, self.batches as f64)
    }

    pub(super) fn mean_size(&self) -> f64 {
        share(self.batch_jobs as f64, self.batches as f64)
    }

    /// The share of the jobs that came which had to wait for another of their id.
    pub(super) fn apart(&self) -> f64 {
        share(self.kept_apart as f64, self.jobs as f64)
    }

    /// Whether ids decide what batches are like, more than anything else.
    pub(super) fn is_ruled_by_ids(&self) -> bool {
        self.apart() >= 0.5
    }

    /// Whether jobs for later decide what batches are like, more than callers do.
    pub(super) fn is_mostly_later(&self) -> bool {
        let some = self.later.as_ref().is_some_and(|later| !later.is_quiet());
        some && self.jobs * 2 < self.batch_jobs
    }

    /// Jobs that ended by what they came to, whether or not callers waited for them.
    pub(super) fn ended(&self) -> ByCode {
        let mut ended = self.later.as_ref().map(Backlog::ended).unwrap_or_default();
        self.outcomes
            .iter()
            .for_each(|&(code, count)| ended[code] += count);
        ended
    }

    /// How many callers were answered.
    pub(super) fn answered(&self) -> u64 {
        self.outcomes.iter().map(|(_, count)| count).sum()
    }

    /// Whether any job got a result, be it an error of its own.
    pub(super) fn some_succeed(&self) -> bool {
        let ended = self.ended();
        ended[Code::Ok] + ended[Code::JobError] > 0
    }
}
