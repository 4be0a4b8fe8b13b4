//! An answer that a job for later has to be given: rendered as for a caller that waits, and
//! kept.

use std::sync::Arc;

use tracing::trace;

use super::super::problem::Problem;
use super::super::reply::Rendered;
use crate::batcher::{self, OnAnswer};
use crate::engine::outcome::{Dispatched, Failure, JobOutcome, JobResult};
use crate::job::Handle;
use crate::job_id::JobId;
use crate::later::Later;
use crate::route::Route;

/// An answer that somebody has to be given. Dropped, it is `internal`: whatever panics
/// between a result and its being kept, its record is answered.
pub(super) struct Owed {
    pub later: Later,
    pub route: Arc<Route>,
    pub timing: bool,
    pub handle: Handle,
    pub id: Option<JobId>,
    pub from: From,
    pub is_given: bool,
}

/// Where the job comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// It was submitted when it was accepted, and is nowhere else.
    Caller,
    /// It was claimed from a store that lasts, where it can wait again.
    Store {
        /// Whether a process had sent it that is gone.
        once_sent: bool,
    },
}

impl Owed {
    /// The same, to be given in one of two ways.
    pub fn again(&self) -> Self {
        Self {
            later: self.later.clone(),
            route: Arc::clone(&self.route),
            id: self.id.clone(),
            ..*self
        }
    }

    /// What the batcher calls. It is owed from that call on: one that is never made is
    /// that of a job whose record is gone, or which was taken back.
    pub fn when_asked(mut self) -> OnAnswer<JobResult> {
        self.is_given = true;
        Box::new(move |answer| {
            self.is_given = false;
            self.answer(answer);
        })
    }

    /// It is given by another, or the job waits again.
    pub fn given_elsewhere(mut self) {
        self.is_given = true;
    }

    pub fn answer(self, answer: Result<JobResult, batcher::Error>) {
        let From::Store { once_sent } = self.from else {
            return self.answer_for_good(answer);
        };
        if self.waits_again(&answer) {
            self.later.release(vec![self.handle]);
            return self.given_elsewhere();
        }
        match answer {
            Err(batcher::Error::Expired { .. }) if once_sent => {
                let exceeded = Problem::from(&Failure::DeadlineExceeded { sent: true });
                self.problem(exceeded.idempotent());
            }
            Ok(mut result) if once_sent => {
                result.earlier = result.earlier.max(Dispatched::Unknown);
                self.answer_for_good(Ok(result));
            }
            answer => self.answer_for_good(answer),
        }
    }

    /// Whether the job was held up by the end of the process, and may still be sent.
    fn waits_again(&self, answer: &Result<JobResult, batcher::Error>) -> bool {
        match answer {
            Err(batcher::Error::Closed | batcher::Error::Abandoned) => true,
            Ok(JobResult {
                outcome: JobOutcome::Failed(Failure::GivenUp { sent }),
                earlier,
                ..
            }) => self.route.idempotent || (!sent && *earlier == Dispatched::No),
            _ => false,
        }
    }

    fn answer_for_good(self, answer: Result<JobResult, batcher::Error>) {
        let (route, timing, id) = (Arc::clone(&self.route), self.timing, self.id.clone());
        self.rendered(|| Rendered::of(&route, timing, id.as_ref(), answer));
    }

    /// Answers what the proxy says itself.
    pub fn problem(self, problem: Problem) {
        let (route, id) = (Arc::clone(&self.route), self.id.clone());
        self.rendered(|| Rendered::problem(&route, problem.of(id.as_ref())));
    }

    pub fn rendered(mut self, render: impl FnOnce() -> Rendered) {
        self.keep(render());
        self.is_given = true;
    }

    fn keep(&self, rendered: Rendered) {
        let (handle, code) = (self.handle, rendered.code);
        let id = self.id.as_ref().map(tracing::field::display);
        trace!(id, ?handle, outcome = %code, "job for later answered");
        self.later.answered(handle, rendered.into_kept());
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        if !self.is_given {
            let internal = Err(batcher::Error::Dropped);
            let (route, id) = (&self.route, self.id.as_ref());
            self.keep(Rendered::of(route, self.timing, id, internal));
        }
    }
}
