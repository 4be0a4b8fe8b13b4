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
    let bytes = job.raw().len();
    let options = batcher::Options::default().keys(job.call().keys());
    let options = options.weight(job.call().count()).bytes(bytes);
    let options = options.bytes_in_batch(bytes + encode::BYTES_PER_JOB);
    options.deadline(deadline)
}

/// The jobs of a batch.
pub(super) fn jobs(batch: &Batch) -> impl ExactSizeIterator<Item = &Job> + Clone {
    batch.members().iter().map(Member::item)
}

/// How large a batch is, as the batcher counts it. One call alone counts as one, whatever it
/// weighs: it can't be divided, so that it always may leave, and its refusal says nothing
/// about batches.
pub(super) fn size(batch: &Batch) -> Size {
    Size {
        jobs: match batch.len() {
            1 => 1,
            _ => batch.weight(),
        },
        bytes: batch.bytes(),
    }
}
