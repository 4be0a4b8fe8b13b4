//! What is counted at one moment: by the batcher, by the metrics and by the log.

use crate::batcher::Snapshot;
use crate::observe::by_code::ByCode;
use crate::observe::records::Recovered;

/// What is counted at one moment.
#[derive(Clone, Debug, Default)]
pub struct Moment {
    /// By the batcher.
    pub batcher: Snapshot,
    /// By the metrics.
    pub totals: Totals,
    /// By the log: lines that it had no room for.
    pub log_lines_dropped: u64,
}

impl Moment {
    /// What is counted on both of two routes of one process, each at its own moment. The most
    /// that each held was not held at once: their sum is a bound.
    #[must_use]
    pub(super) fn with(&self, other: &Self) -> Self {
        Self {
            batcher: both(&self.batcher, &other.batcher),
            totals: self.totals.with(&other.totals),
            // The log is the process's.
            log_lines_dropped: self.log_lines_dropped.max(other.log_lines_dropped),
        }
    }
}

/// What two batchers have counted.
pub(super) fn both(one: &Snapshot, two: &Snapshot) -> Snapshot {
    Snapshot {
        accepted: one.accepted + two.accepted,
        queued: one.queued + two.queued,
        most_queued: one.most_queued + two.most_queued,
        queued_bytes: one.queued_bytes + two.queued_bytes,
        waiting_for_room: one.waiting_for_room + two.waiting_for_room,
        most_waiting_for_room: one.most_waiting_for_room + two.most_waiting_for_room,
        kept_apart: one.kept_apart + two.kept_apart,
        detached_queued: one.detached_queued + two.detached_queued,
        detached_oldest: one
            .detached_oldest
            .into_iter()
            .chain(two.detached_oldest)
            .min(),
        detached_rode: one.detached_rode + two.detached_rode,
        in_flight: one.in_flight + two.in_flight,
        most_in_flight: one.most_in_flight + two.most_in_flight,
        max_in_flight: one.max_in_flight + two.max_in_flight,
        saturated: one.saturated + two.saturated,
        sources: one.sources + two.sources,
        cancelled_queued: one.cancelled_queued + two.cancelled_queued,
        cancelled_in_flight: one.cancelled_in_flight + two.cancelled_in_flight,
    }
}

/// Sums of the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Accepted jobs that were answered.
    pub answered: ByCode,
    /// Requests that were refused, but for those that asked for a job which is gone.
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
    /// Batches that were sent again.
    pub retries: u64,
    /// Batches that were split.
    pub splits: u64,
    /// Those of them that were too large for the upstream.
    pub splits_too_large: u64,
}

impl Totals {
    fn with(&self, other: &Self) -> Self {
        Self {
            answered: self.answered.with(&other.answered, |one, two| one + two),
            refused: self.refused + other.refused,
            queue_full: self.queue_full + other.queue_full,
            store_full: self.store_full + other.store_full,
            store_errors: self.store_errors + other.store_errors,
            recovered: std::array::from_fn(|how| self.recovered[how] + other.recovered[how]),
            fenced: self.fenced + other.fenced,
            retries: self.retries + other.retries,
            splits: self.splits + other.splits,
            splits_too_large: self.splits_too_large + other.splits_too_large,
        }
    }
}
