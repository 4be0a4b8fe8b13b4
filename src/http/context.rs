//! What answering jobs takes, and how those are counted that are refused.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Response;
use axum::response::IntoResponse;
use tokio::sync::watch;
use tokio::time::Instant;

use super::answer_body::AnswerBody;
use super::authority::HostNames;
use super::buffered::Buffered;
use super::problem::Problem;
use super::reply::Answers;
use crate::code::Code;
use crate::engine::Phase;
use crate::later::Later;
use crate::observe::Event;
use crate::route::Route;

/// What answering jobs takes.
#[derive(Clone, Debug)]
pub struct Jobs(Arc<JobsInner>);

/// The fields of [`Jobs`].
#[derive(Debug)]
pub struct JobsInner {
    /// Where jobs go.
    pub route: Arc<Route>,
    /// The names it answers to on loopback.
    pub hosts: HostNames,
    /// What is in memory before a job is queued and after it is answered.
    pub buffered: Arc<Buffered>,
    /// The largest body, in bytes.
    pub max_body: usize,
    /// How deep a job may nest, in levels.
    pub max_depth: usize,
    /// The longest a job may stay.
    pub request_timeout: Duration,
    /// The longest a body, or the head before it, may take to arrive.
    pub read_timeout: Duration,
    /// How answers look.
    pub answers: Answers,
    /// How far the process's life has come.
    pub phase: watch::Receiver<Phase>,
    /// The jobs whose answers are fetched later, unless there are none.
    pub later: Option<Later>,
}

impl From<JobsInner> for Jobs {
    fn from(inner: JobsInner) -> Self {
        Self(Arc::new(inner))
    }
}

impl std::ops::Deref for Jobs {
    type Target = JobsInner;

    fn deref(&self) -> &JobsInner {
        &self.0
    }
}

impl Jobs {
    /// Answers a request whose job never entered the queue.
    pub(super) fn refuse(&self, problem: Problem) -> Response<AnswerBody> {
        self.note(problem).into_response().map(AnswerBody::from)
    }

    /// Counts what is answered to a request that was refused.
    pub(super) fn note(&self, problem: Problem) -> Problem {
        self.refused(problem.code());
        problem
    }

    /// Tells that a request was refused.
    pub(super) fn refused(&self, code: Code) {
        let batcher = self.route.batcher.observe();
        self.route.observer.tell(Event::Refused { code, batcher });
    }

    /// Tells what a job that arrived then came to.
    pub(super) fn answered(&self, outcome: Code, arrived: Instant) {
        let after = arrived.elapsed();
        self.route.observer.tell(Event::Answered { outcome, after });
    }
}
