//! The batcher's types, for batches of jobs.

use tokio::time::Instant;

use super::encode;
use super::outcome::JobResult;
use crate::batcher;
use crate::job::Job;
use crate::resilience::size::Size;

/// A batch of jobs.
pub type Batch = batcher::Batch<Job, JobResult>;

pub(super) type Batcher = batcher::Batcher<Job, JobResult>;
pub(super) type Member = batcher::Member<Job, JobResult>;
pub(super) type Slot = batcher::Slot<Job, JobResult>;

/// What the batcher is told of a job that stays until `deadline`.
pub fn options(job: &Job, deadline: Instant) -> batcher::Options {
    let mut options = batcher::Options::default();
    options.key = job.call().keys().next();
    options.bytes(job.raw().len()).deadline(deadline)
}

/// The jobs of a batch.
pub(super) fn jobs(batch: &Batch) -> impl ExactSizeIterator<Item = &Job> + Clone {
    batch.members().iter().map(Member::item)
}

/// How large a batch is, as the batcher counts it.
pub(super) fn size(batch: &Batch) -> Size {
    let bytes = jobs(batch).map(|job| job.raw().len() + encode::BYTES_PER_JOB);
    Size {
        jobs: batch.len(),
        bytes: bytes.sum(),
    }
}
