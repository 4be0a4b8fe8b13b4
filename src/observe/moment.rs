//! What is counted at one moment: by the batcher, by the metrics and by the log.

use crate::batcher::Snapshot;
use crate::observe::by_code::ByCode;

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
    /// Batches that were sent again.
    pub retries: u64,
    /// Batches that were split.
    pub splits: u64,
    /// Those of them that were too large for the upstream.
    pub splits_too_large: u64,
}
