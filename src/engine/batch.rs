//! The batcher's types, for batches of jobs.

use tokio::time::Instant;

use super::frame;
use super::outcome::JobResult;
use crate::batcher;
use crate::job::Job;
use crate::resilience::size::Size;
use crate::shape::{Call, Shape};

/// A batch of jobs.
pub type Batch = batcher::Batch<Job, JobResult>;

pub(super) type Batcher = batcher::Batcher<Job, JobResult>;
pub(super) type Member = batcher::Member<Job, JobResult>;
pub(super) type Slot = batcher::Slot<Job, JobResult>;

/// What the batcher is told of a job in this shape that stays until `deadline`.
pub fn options(shape: &Shape, job: &Job, deadline: Instant) -> batcher::Options {
    let call = job.call();
    let key = call.keys().next().filter(|_| shape.keeps_apart());
    let options = batcher::Options {
        key,
        frame: frame::of(job),
        ..batcher::Options::default()
    };
    options.bytes(job.raw().len()).deadline(deadline)
}

/// The jobs of a batch.
pub(super) fn jobs(batch: &Batch) -> impl ExactSizeIterator<Item = &Job> + Clone {
    batch.members().iter().map(Member::item)
}

/// What they are of the shape.
pub(super) fn calls(batch: &Batch) -> impl ExactSizeIterator<Item = &Call> + Clone {
    jobs(batch).map(Job::call)
}

/// How many items they have together.
pub(super) fn items(batch: &Batch) -> usize {
    calls(batch).map(Call::count).sum()
}

/// How large a batch is, as the batcher counts it.
pub(super) fn size(shape: &Shape, batch: &Batch) -> Size {
    Size {
        jobs: items(batch),
        bytes: calls(batch).map(|it| shape.call_bytes(it)).sum(),
    }
}
