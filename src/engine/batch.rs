//! The batcher's types, for batches of jobs.

use tokio::time::Instant;

use super::frame;
use super::outcome::JobResult;
use crate::batcher::{self, Keys};
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
    let (call, frame) = (job.call(), frame::of(shape, job));
    let bytes = frame.as_ref().map_or(0, |frame| frame.as_bytes().len());
    let options = batcher::Options {
        keys: match (shape.keeps_apart(), call.id()) {
            (false, _) => Keys::NONE,
            // Most calls have one item.
            (true, Some(id)) => Keys::one(id.fingerprint()),
            (true, None) => call.keys().collect(),
        },
        bytes: job.raw().len() + bytes,
        bytes_in_batch: Some(shape.call_bytes(call)),
        frame,
        deadline: Some(deadline),
        ..batcher::Options::default()
    };
    options.weight(call.count())
}

/// The jobs of a batch.
pub(super) fn jobs(batch: &Batch) -> impl ExactSizeIterator<Item = &Job> + Clone {
    batch.members().iter().map(Member::item)
}

/// What they are of the shape.
pub(super) fn calls(batch: &Batch) -> impl ExactSizeIterator<Item = &Call> + Clone {
    jobs(batch).map(Job::call)
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
