//! A job whose answer is awaited, to the answer.

use std::task::Poll;

use axum::http::Response;
use tokio::time::Instant;
use tracing::trace;

use super::answer_body::AnswerBody;
use super::noted::{Batch, note};
use super::reply::Rendered;
use super::sender::Sender;
use super::traced::{Traced, joined};
use crate::batcher::{self, Reply, Stage};
use crate::engine::outcome::JobResult;
use crate::job::Job;
use crate::job_id::JobId;
use crate::observe::spans::JobEnd;
use crate::route::Route;

/// A job whose answer is awaited. Tells the log when its caller leaves first.
pub(super) struct Waiting<'a> {
    /// Until it has answered.
    reply: Option<Reply<Job, JobResult>>,
    id: Option<&'a JobId>,
}

impl<'a> Waiting<'a> {
    pub fn new(reply: Reply<Job, JobResult>, id: Option<&'a JobId>, route: &Route) -> Self {
        if tracing::enabled!(tracing::Level::TRACE) {
            let now = route.batcher.snapshot();
            let id = id.map(tracing::field::display);
            if reply.found_no_room() {
                trace!(id, jobs = now.waiting_for_room, "job waits for room");
            } else {
                trace!(id, jobs = now.queued, "job queued");
            }
        }
        let reply = Some(reply);
        Self { reply, id }
    }

    pub fn poll(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> Poll<Result<JobResult, batcher::Error>> {
        let Some(reply) = &mut self.reply else {
            return Poll::Ready(Err(batcher::Error::Dropped));
        };
        let answer = std::task::ready!(std::pin::Pin::new(reply).poll(context));
        self.reply = None;
        Poll::Ready(answer)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(reply) = self.reply.take() else {
            return;
        };
        let when = match reply.stage() {
            Some(Stage::Queued) => "queued",
            Some(Stage::InFlight) | None => "in-flight",
        };
        // First its place is given back, then that is told.
        drop(reply);
        let id = self.id.map(tracing::field::display);
        trace!(id, when, "caller left");
    }
}

/// Notes which batch a job was in.
fn note_answer(answer: &Result<JobResult, batcher::Error>) {
    if let Ok(result) = answer {
        let batch = Batch {
            id: result.batch.id,
            size: result.batch.size,
            queued: result.queued,
            upstream: result.upstream,
        };
        note(|it| it.batch = Some(batch));
    }
}

/// Answers a job that has arrived then, counts it, and ends its span, if it has one.
pub(super) fn render(
    sender: &Sender,
    id: Option<&JobId>,
    arrived: Instant,
    answer: Result<JobResult, batcher::Error>,
    traced: Option<Box<Traced>>,
) -> Response<AnswerBody> {
    let Sender { jobs, route, .. } = sender;
    let error = answer.as_ref().err();
    let had_entered = error.is_none_or(batcher::Error::had_entered);
    if jobs.access.is_some() {
        note_answer(&answer);
    }
    let joined = traced.as_ref().and_then(|_| joined(&answer));
    let rendered = Rendered::of(route, jobs.timing, id, answer);
    if jobs.access.is_some() {
        note(|it| it.code = Some(rendered.code));
    }
    match had_entered {
        true => route.answered(rendered.code, arrived),
        false => route.refused(rendered.code),
    }
    let code = rendered.code;
    let answer = rendered.into_response(&jobs.buffered);
    if let Some(traced) = traced {
        traced.ended(JobEnd::Answered(code), answer.status().as_u16(), joined);
    }
    answer
}
