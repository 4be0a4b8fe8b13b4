//! Whoever makes something happen tells it here, once: it is counted in the metrics
//! and noted in the last five minutes.

pub mod advice;
mod failures;
pub mod live;
pub mod metrics;

use std::time::Duration;

use crate::batcher::{FlushReason, Snapshot};
use crate::code::Code;
use crate::observe::live::{Live, Now};
use crate::observe::metrics::{Bounds, Metrics, SplitCause};
use crate::telemetry;

pub use failures::{FailedBatch, FailureLog};

/// What has happened in this process.
#[derive(Debug)]
pub struct Observer {
    /// From the start on.
    pub metrics: Metrics,
    /// Lately.
    pub live: Live,
    /// The lines of failed batches.
    pub failures: FailureLog,
}

/// A batch that leaves for the first time.
#[derive(Clone, Copy, Debug)]
pub struct Left {
    /// How many jobs are in it.
    pub jobs: usize,
    /// The bytes of its array.
    pub bytes: usize,
    /// Why it leaves.
    pub reason: FlushReason,
}

/// A batch whose members are answered.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// How many jobs were in it.
    pub jobs: usize,
    /// Why it left.
    pub reason: FlushReason,
    /// What it came to.
    pub outcome: Code,
    /// How long the upstream had it.
    pub upstream: Duration,
}

/// How often a moment is looked for in which no answer is counted. There are some
/// microseconds between two answers of the busiest proxy; each look takes one or two.
const MOMENTS: usize = 1_000;

impl Observer {
    /// Nothing has happened yet.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            metrics: Metrics::new(bounds),
            live: Live::new(),
            failures: FailureLog::default(),
        }
    }

    /// What is counted at this moment, here and in the batcher.
    pub fn now(&self, batcher: Snapshot) -> Now {
        Now {
            batcher,
            totals: self.metrics.totals(),
            log_lines_dropped: telemetry::lines_dropped(),
        }
    }

    /// The same, all of it of one moment: the accepted jobs are those that were
    /// answered, those whose callers left, and those that are in the house.
    ///
    /// Answers are counted by their callers' tasks, outside of the batcher's lock. Where
    /// as many were counted before the batcher was asked as after, all of it held when
    /// it was asked, since no count ever falls.
    pub fn one_moment(&self, batcher: impl Fn() -> Snapshot) -> Now {
        let mut totals = self.metrics.totals();
        let mut now = self.now(Snapshot::default());
        for _ in 0..MOMENTS {
            let batcher = batcher().with_most_of(now.batcher);
            now = Now {
                batcher,
                totals,
                ..now
            };
            totals = self.metrics.totals();
            if totals.answered == now.totals.answered {
                break;
            }
        }
        now
    }

    /// A request was answered that never entered the queue.
    pub fn refused(&self, code: Code, batcher: Snapshot) {
        self.metrics.refused(code);
        self.live.note(&self.now(batcher));
    }

    /// A batch leaves for the first time; its members have waited so long.
    pub fn batch_left(
        &self,
        left: Left,
        waited: impl Iterator<Item = Duration> + Clone,
        batcher: Snapshot,
    ) {
        let Left {
            jobs,
            bytes,
            reason,
        } = left;
        let left = metrics::Left { jobs, bytes };
        self.metrics.batch_left(left, waited.clone());
        let left = live::Left {
            size: jobs,
            fill: self.metrics.fill(left),
            reason,
        };
        self.live.batch_left(left, waited, &self.now(batcher));
    }

    /// A batch's members are answered.
    pub fn batch_ended(&self, ended: Ended, batcher: Snapshot) {
        self.metrics.batch_ended(ended.reason, ended.outcome);
        let now = self.now(batcher);
        self.live.batch_ended(ended.jobs, ended.upstream, &now);
    }

    /// An accepted job was answered, so long after it came.
    pub fn answered(&self, outcome: Code, after: Duration) {
        self.metrics.answered(outcome, after);
        self.live.answered(after);
    }

    /// A batch has failed.
    pub fn batch_failed(&self, failed: &FailedBatch) {
        self.live.failed(live::Failed {
            outcome: failed.outcome,
            cause: failed.cause.clone(),
            answer: failed.answer.clone(),
            jobs: failed.jobs,
            batch_id: failed.id,
            size: failed.jobs,
            took: failed.took,
        });
        self.failures.tell(failed);
    }

    /// Jobs of a batch have failed for themselves.
    pub fn jobs_failed(&self, failed: live::Failed) {
        self.live.failed(failed);
    }

    /// Every caller of a batch has left.
    pub fn batch_abandoned(&self, reason: FlushReason) {
        self.metrics.batch_abandoned(reason);
    }

    /// A batch is sent again in halves.
    pub fn split(&self, status: Option<u16>) {
        self.metrics.split(match status {
            Some(413) => SplitCause::TooLarge,
            _ => SplitCause::Status,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        max_size: 100,
        max_bytes: 1_000,
    };

    /// Two jobs in the house; the last of some is answered, and another accepted,
    /// between the look at the answers and that at the batcher.
    #[test]
    fn what_is_told_is_of_one_moment_whatever_happens_meanwhile() {
        for busy in [0, 1, 5, u64::MAX] {
            let observer = Observer::new(BOUNDS);
            let looks = Cell::new(0);
            let now = observer.one_moment(|| {
                looks.set(looks.get() + 1);
                if looks.get() <= busy {
                    observer.metrics.answered(Code::Ok, Duration::ZERO);
                }
                Snapshot {
                    accepted: 2 + looks.get().min(busy),
                    most_queued: if looks.get() == 1 { 7 } else { 0 },
                    ..Snapshot::default()
                }
            });
            let answered: u64 = now.totals.answered.iter().sum();
            let in_house = now.batcher.accepted - answered;
            // Where it never comes to rest, a job that was answered counts as in the
            // house, and none as answered that was not accepted.
            let expected = if busy == u64::MAX { 3 } else { 2 };
            assert_eq!(in_house, expected, "{busy}");
            assert_eq!(now.batcher.most_queued, 7, "{busy}");
        }
    }
}
