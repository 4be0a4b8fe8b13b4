//! What can happen: everything that is counted, kept for the live page or logged as a
//! failure.
//!
//! It is told once, where it happens, to [`Observer`](crate::observe::Observer), in
//! values; what comes of it is up to the metrics, the live page and the failure log.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use uuid::Uuid;

use crate::batcher::{FlushReason, Snapshot};
use crate::code::Code;
use crate::fault::Unmatched;
use crate::observe::failed_answer::FailedAnswer;
use crate::observe::records::{RecordCounts, Recovered, StoreStep};

/// Something that has happened.
#[derive(Debug)]
pub enum Event {
    /// A request was answered that never entered the queue.
    Refused {
        /// With what.
        code: Code,
        /// What the batcher holds.
        batcher: Snapshot,
    },
    /// An accepted job was answered.
    Answered {
        /// What it came to.
        outcome: Code,
        /// How long after it came.
        after: Duration,
    },
    /// A batch leaves for the first time.
    BatchLeft {
        /// How many jobs are in it.
        jobs: usize,
        /// How many items those have together.
        items: usize,
        /// The bytes of its body.
        bytes: usize,
        /// Why it leaves.
        reason: FlushReason,
        /// What the batcher holds.
        batcher: Snapshot,
    },
    /// A job is in a batch that leaves for the first time; told after that it does.
    JobLeft {
        /// How long the job has waited.
        waited: Duration,
    },
    /// A batch's members are answered.
    BatchEnded {
        /// How many jobs were in it.
        jobs: usize,
        /// Why it left.
        reason: FlushReason,
        /// What it came to.
        outcome: Code,
        /// How long the upstream had it.
        upstream: Duration,
        /// What the batcher holds.
        batcher: Snapshot,
    },
    /// Every caller of a batch has left.
    BatchAbandoned {
        /// Why it left.
        reason: FlushReason,
    },
    /// One call to the upstream is over.
    AttemptEnded {
        /// What it came to; `None` where every caller left before that.
        outcome: Option<Code>,
        /// The status of its answer, where there was one.
        status: Option<u16>,
        /// How long it took.
        took: Duration,
    },
    /// A batch is sent again.
    Retried,
    /// A batch would have been sent again, had there been budget for it.
    BudgetExhausted,
    /// A batch is sent again in halves.
    Split(SplitCause),
    /// A call is forwarded by itself, as it came.
    Alone {
        /// Why it is not merged: one of [`ALONE`].
        why: &'static str,
    },
    /// Results belonged to no job.
    Unmatched(Unmatched),
    /// A batch has failed as a whole.
    BatchFailed {
        /// Its jobs.
        failed: FailedJobs,
        /// How often it was sent.
        attempts: u32,
    },
    /// Jobs of a batch have failed for themselves.
    JobsFailed(FailedJobs),
    /// The store of jobs for later has committed something.
    StoreCommitted {
        /// How many records.
        records: usize,
        /// How long it took.
        took: Duration,
    },
    /// The store of jobs for later had these of the route when the process began with it:
    /// what was counted before is not what happens.
    Found(RecordCounts),
    /// The store of jobs for later has counted these on the route until a commit.
    Recorded(RecordCounts),
    /// The store of jobs for later has failed to do something.
    StoreFailed {
        /// What.
        step: StoreStep,
    },
    /// Jobs for later of the route were claimed that a process had sent which is gone.
    Recovered {
        /// What becomes of them.
        how: Recovered,
        /// How many.
        records: usize,
    },
    /// What came of jobs for later of the route was dropped, since they were no longer this
    /// process's: its lease of them had run out.
    Fenced {
        /// How many.
        records: usize,
    },
    /// A request to a path of no route was passed through.
    PassedThrough,
}

/// Every reason there is for a call to be forwarded by itself.
pub const ALONE: [&str; 9] = [
    "method", "type", "encoding", "form", "size", "upgrade", "stream", "key", "header",
];

/// Why a batch was split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitCause {
    /// It was answered 413.
    TooLarge,
    /// It was answered a status of `upstream.split_on`.
    Status,
    /// It was answered by one error for all.
    Refused,
}

impl SplitCause {
    /// Every cause there is.
    pub const ALL: [Self; 3] = [Self::TooLarge, Self::Status, Self::Refused];

    /// That of a batch which was refused by this status.
    pub fn of(status: Option<u16>) -> Self {
        match status {
            Some(413) => Self::TooLarge,
            _ => Self::Status,
        }
    }

    /// Its name as a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::Status => "status",
            Self::Refused => "refused",
        }
    }
}

/// Jobs that failed together; never what was in them.
#[derive(Clone, Debug)]
pub struct FailedJobs {
    /// What they came to.
    pub outcome: Code,
    /// Why, in our own words; empty where there are none.
    pub cause: String,
    /// What is to be seen of the answer, where there was one.
    pub answer: Option<FailedAnswer>,
    /// How many they are.
    pub jobs: usize,
    /// The batch they were in.
    pub batch_id: Uuid,
    /// How many jobs that has.
    pub size: usize,
    /// From leaving to failing.
    pub took: Duration,
}

/// What batches are measured against.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// `batch.max_size`.
    pub max_size: usize,
    /// `batch.max_bytes`.
    pub max_bytes: usize,
}

impl Bounds {
    /// How full a batch is, from 0 to 1: by jobs or by bytes, whichever is more.
    pub fn fill(self, jobs: usize, bytes: usize) -> f64 {
        let by_jobs = jobs as f64 / self.max_size as f64;
        let by_bytes = bytes as f64 / self.max_bytes as f64;
        by_jobs.max(by_bytes).min(1.0)
    }
}

/// Bounds that may be others after a reload.
#[derive(Debug)]
pub(super) struct BoundsInForce {
    max_size: AtomicUsize,
    max_bytes: AtomicUsize,
}

impl BoundsInForce {
    pub fn new(bounds: Bounds) -> Self {
        Self {
            max_size: AtomicUsize::new(bounds.max_size),
            max_bytes: AtomicUsize::new(bounds.max_bytes),
        }
    }

    /// A batch that leaves meanwhile may be measured by one of both.
    pub fn set(&self, bounds: Bounds) {
        self.max_size.store(bounds.max_size, Ordering::Relaxed);
        self.max_bytes.store(bounds.max_bytes, Ordering::Relaxed);
    }

    /// As [`Bounds::fill`].
    pub fn fill(&self, jobs: usize, bytes: usize) -> f64 {
        let bounds = Bounds {
            max_size: self.max_size.load(Ordering::Relaxed),
            max_bytes: self.max_bytes.load(Ordering::Relaxed),
        };
        bounds.fill(jobs, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_as_full_as_its_fuller_measure() {
        let bounds = Bounds {
            max_size: 100,
            max_bytes: 1_000,
        };
        for (jobs, bytes, fill) in [
            (1, 10, 0.01),
            (50, 10, 0.5),
            (1, 900, 0.9),
            (100, 1_000, 1.0),
        ] {
            assert_eq!(bounds.fill(jobs, bytes), fill);
        }
    }
}
