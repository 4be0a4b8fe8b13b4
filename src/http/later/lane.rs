//! Where jobs for later wait: the batcher, in a lane of its own. What becomes of one is
//! rendered as for a caller that waits, and kept.

use tokio::time::Instant;
use tracing::trace;

use super::super::reply::{Answers, Rendered};
use crate::batcher::{self, Batcher, Detached};
use crate::engine;
use crate::engine::outcome::JobResult;
use crate::job::{Handle, Job, JobId};
use crate::later::{self, Later, Withdraw};

/// See the module.
#[derive(Clone, Debug)]
pub struct Lane {
    batcher: Batcher<Job, JobResult>,
    later: Later,
    answers: Answers,
}

impl Lane {
    /// A lane of this batcher, whose answers are kept there.
    pub fn new(batcher: Batcher<Job, JobResult>, later: Later, answers: Answers) -> Self {
        Self {
            batcher,
            later,
            answers,
        }
    }
}

impl later::Lane for Lane {
    fn submit(&self, job: Job, deadline: Instant) -> Box<dyn Withdraw> {
        let Some(handle) = job.handle() else {
            // Nobody could come for its answer.
            return Box::new(NotQueued);
        };
        let answered = Answered {
            later: self.later.clone(),
            answers: self.answers,
            handle,
        };
        let (options, id) = (engine::options(&job, deadline), job.id().clone());
        let queued = answered.clone();
        let on_answer = Box::new(move |answer| queued.by(&id, answer));
        match self.batcher.submit_detached(job, options, on_answer) {
            Ok(detached) => Box::new(detached),
            Err((job, error)) => {
                answered.by(job.id(), Err(error));
                Box::new(NotQueued)
            }
        }
    }
}

/// Whose answer it is, and where it is kept.
#[derive(Clone)]
struct Answered {
    later: Later,
    answers: Answers,
    handle: Handle,
}

impl Answered {
    fn by(&self, id: &JobId, answer: Result<JobResult, batcher::Error>) {
        let rendered = Rendered::of(self.answers, id, answer);
        let (handle, code) = (self.handle, rendered.code);
        trace!(%id, ?handle, outcome = %code, "job for later answered");
        self.later.answered(handle, rendered.into_kept());
    }
}

impl Withdraw for Detached<Job, JobResult> {
    fn withdraw(&self) {
        Self::withdraw(self);
    }
}

/// A job that was answered at once.
struct NotQueued;

impl Withdraw for NotQueued {
    fn withdraw(&self) {}
}
