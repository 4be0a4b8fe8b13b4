//! Where jobs for later wait: the batcher, in a lane of its own. What becomes of one is
//! rendered as for a caller that waits, and kept.

use tokio::time::Instant;
use tracing::trace;

use super::super::reply::{Answers, Rendered};
use crate::batcher::{Batcher, Detached};
use crate::engine;
use crate::engine::outcome::JobResult;
use crate::job::Job;
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
        let (id, later, answers) = (job.id().clone(), self.later.clone(), self.answers);
        let answered = move |answer| {
            let rendered = Rendered::of(answers, &id, answer);
            trace!(%id, ?handle, outcome = %rendered.code, "job for later answered");
            later.answered(handle, rendered.into_kept());
        };
        let options = engine::options(&job, deadline);
        let on_answer = Box::new(answered.clone());
        match self.batcher.submit_detached(job, options, on_answer) {
            Ok(detached) => Box::new(detached),
            Err((_, error)) => {
                answered(Err(error));
                Box::new(NotQueued)
            }
        }
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
