//! `POST /jobs`: from a request to a job, and the wait for what becomes of it.

use std::borrow::Borrow;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::http::{Request, Response};
use bytes::Bytes;
use tokio::time::{Instant, timeout_at};
use tracing::trace;

use super::answer_body::AnswerBody;
use super::body::{BodyError, Reading};
use super::context::Jobs;
use super::headers::Headers;
use super::later::ForLater;
use super::problem::Problem;
use super::reply::Rendered;
use crate::aside::{LARGE, aside};
use crate::batcher::{self, Reply, Source, Stage};
use crate::code::Code;
use crate::engine::outcome::JobResult;
use crate::engine::{self, Phase};
use crate::job::Job;
use crate::job_id::JobId;
use crate::trace_context::TraceContext;

/// Who sends jobs over one connection.
pub(super) struct Sender {
    pub jobs: Jobs,
    pub source: Source<Job, JobResult>,
}

impl Sender {
    /// Has the job queued.
    fn submit(
        &self,
        job: Job,
        deadline: Instant,
    ) -> Result<(Reply<Job, JobResult>, Option<JobId>), Problem> {
        let (jobs, id) = (&self.jobs, job.id().cloned());
        // Who shuts down says so, whatever the upstream is like.
        if !jobs.route.circuit.is_closed()
            && let Err(open) = jobs.route.circuit.admit(Instant::now())
            && !jobs.route.batcher.is_closed()
        {
            return Err(Problem::circuit_open(open.retry_after).of(id.as_ref()));
        }
        let options = engine::options(&job, deadline);
        match self.source.submit_with(job, options) {
            Ok(reply) => Ok((reply, id)),
            Err(refused) => Err(Problem::from(refused).of(id.as_ref())),
        }
    }
}

/// A request to do a job, without what its head says to no purpose here: while the
/// job waits nothing keeps the buffer that its connection read into.
pub(super) struct Posted<B> {
    arrived: Instant,
    stay: Duration,
    trace: Option<Box<TraceContext>>,
    for_later: Option<Box<ForLater>>,
    body: Reading<B>,
}

impl<B: http_body::Body<Data = Bytes> + Unpin> Posted<B> {
    /// Reads the head, in the order of the contract: Content-Type, size.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(jobs: &Jobs, request: Request<B>) -> Result<Self, Problem> {
        let arrived = Instant::now();
        let headers = Headers::of(request.headers());
        headers
            .content_type
            .map_err(Problem::unsupported_media_type)?;
        if let Some(encoding) = headers.encoding {
            return Err(Problem::unsupported_encoding(&encoding));
        }
        let limit = jobs.max_body;
        if headers.length.is_some_and(|length| length > limit as u64) {
            return Err(Problem::job_too_large(limit));
        }
        let preferences = headers.preferences;
        let (for_later, stay) = match &jobs.later {
            Some(later) if preferences.respond_async => {
                let for_later = ForLater::of(&request, later.clone(), preferences.wait)?;
                // That it is not waited for leaves its body the usual time.
                (Some(Box::new(for_later)), None)
            }
            _ => (None, preferences.wait),
        };
        let charge = jobs.buffered.charge(0);
        Ok(Self {
            arrived,
            stay: stay.unwrap_or(Duration::MAX).min(jobs.request_timeout),
            trace: headers.trace,
            for_later,
            body: Reading::new(request.into_body(), limit, charge),
        })
    }

    /// What is said of its answer where that is fetched later.
    pub fn for_later(&mut self) -> Option<Box<ForLater>> {
        self.for_later.take()
    }

    /// Hands the job in.
    pub async fn hand_in(
        mut self,
        sender: Arc<Sender>,
        for_later: Box<ForLater>,
    ) -> Response<AnswerBody> {
        let (jobs, source) = (&sender.jobs, &sender.source);
        let uncounted = Uncounted::new(jobs);
        let parsed = match self.read(jobs).await {
            Ok(body) if body.len() < LARGE => parse(body, jobs.max_depth),
            Ok(body) => parse_aside(body, jobs.max_depth).await,
            Err(problem) => Err(problem),
        };
        let job = match parsed {
            Ok(job) => job.with_trace(self.trace.take()),
            Err(problem) => return jobs.refuse(problem),
        };
        // From here on the store counts it.
        drop(self.body);
        let answer = for_later.hand_in(jobs, source, job, self.arrived).await;
        drop(uncounted);
        answer
    }

    /// Answers the job.
    #[expect(
        clippy::manual_async_fn,
        reason = "that would hold what it is given twice, and each job's future is moved"
    )]
    pub fn answer(mut self, sender: Arc<Sender>) -> impl Future<Output = Response<AnswerBody>> {
        async move {
            let jobs = &sender.jobs;
            let mut uncounted = Uncounted::new(jobs);
            let parsed = match self.read(jobs).await {
                Ok(body) if body.len() < LARGE => parse(body, jobs.max_depth),
                Ok(body) => Box::pin(parse_aside(body, jobs.max_depth)).await,
                Err(problem) => Err(problem),
            };
            let submitted = parsed.and_then(|job| {
                let job = job.with_trace(self.trace.take());
                sender.submit(job, self.arrived + self.stay)
            });
            let (reply, id) = match submitted {
                Ok(submitted) => submitted,
                Err(problem) => return jobs.refuse(problem),
            };
            let mut waiting = Waiting::new(reply, id.as_ref(), jobs);
            // From here on the queue counts it.
            drop(self.body);
            uncounted.stage = CountedBy::Batcher;
            let answer = poll_fn(|context| waiting.poll(context)).await;
            uncounted.stage = CountedBy::Outcome(self.arrived);
            render(jobs, id.as_ref(), self.arrived, answer)
        }
    }

    async fn read(&mut self, jobs: &Jobs) -> Result<Bytes, Problem> {
        match poll_fn(|context| Poll::Ready(self.body.poll(context))).await {
            Poll::Ready(body) => body.map_err(|error| unreadable(error, jobs)),
            // What few need is to cost the others no more than a pointer.
            Poll::Pending => Box::pin(self.rest(jobs)).await,
        }
    }

    /// Reads a body on that has not come with its head.
    async fn rest(&mut self, jobs: &Jobs) -> Result<Bytes, Problem> {
        let deadline = self.arrived + jobs.read_timeout.min(self.stay);
        let reading = timeout_at(deadline, async {
            tokio::select! {
                biased;
                body = poll_fn(|context| self.body.poll(context)) => Some(body),
                // The job would be refused when it is there.
                () = draining(jobs) => None,
            }
        });
        match reading.await {
            Ok(Some(body)) => body.map_err(|error| unreadable(error, jobs)),
            Ok(None) => Err(Problem::from(batcher::Error::Closed)),
            Err(_) if self.body.is_held_up() => Err(Problem::overloaded()),
            Err(_) => Err(Problem::read_timeout()),
        }
    }
}

fn unreadable(error: BodyError, jobs: &Jobs) -> Problem {
    match error {
        BodyError::TooLarge => Problem::job_too_large(jobs.max_body),
        BodyError::Broken => Problem::unreadable_body(),
    }
}

fn parse(body: Bytes, max_depth: usize) -> Result<Job, Problem> {
    Job::parse(body, max_depth).map_err(Problem::from)
}

async fn parse_aside(body: Bytes, max_depth: usize) -> Result<Job, Problem> {
    aside(move || parse(body, max_depth)).await
}

/// Resolves when jobs are no more taken.
async fn draining(jobs: &Jobs) {
    let mut phase = jobs.phase.clone();
    let draining = phase.wait_for(|&phase| phase >= Phase::Draining);
    let nobody_says_so = draining.await.is_err();
    if nobody_says_so {
        std::future::pending().await
    }
}

/// Answers a job that has arrived then, and counts it.
fn render(
    jobs: &Jobs,
    id: Option<&JobId>,
    arrived: Instant,
    answer: Result<JobResult, batcher::Error>,
) -> Response<AnswerBody> {
    let error = answer.as_ref().err();
    let had_entered = error.is_none_or(batcher::Error::had_entered);
    let rendered = Rendered::of(jobs.answers, id, answer);
    match had_entered {
        true => jobs.answered(rendered.code, arrived),
        false => jobs.refused(rendered.code),
    }
    rendered.into_response(&jobs.buffered)
}

/// A job whose answer is awaited. Tells the log when its caller leaves first.
struct Waiting<'a> {
    /// Until it has answered.
    reply: Option<Reply<Job, JobResult>>,
    id: Option<&'a JobId>,
}

impl<'a> Waiting<'a> {
    fn new(reply: Reply<Job, JobResult>, id: Option<&'a JobId>, jobs: &Jobs) -> Self {
        if tracing::enabled!(tracing::Level::TRACE) {
            let now = jobs.route.batcher.snapshot();
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

    fn poll(
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

/// A request until its answer is counted: one whose handler panics is counted too.
pub(super) struct Uncounted<J: Borrow<Jobs>> {
    jobs: J,
    stage: CountedBy,
}

/// Who counts how a request ends.
enum CountedBy {
    /// It is refused unless its job is taken.
    Refusal,
    /// Its job is in: its reply, when dropped, tells that its caller has left.
    Batcher,
    /// Its job is done, and arrived then.
    Outcome(Instant),
}

impl<J: Borrow<Jobs>> Uncounted<J> {
    pub fn new(jobs: J) -> Self {
        let stage = CountedBy::Refusal;
        Self { jobs, stage }
    }
}

impl<J: Borrow<Jobs>> Drop for Uncounted<J> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let (jobs, code) = (self.jobs.borrow(), Code::Internal);
        match self.stage {
            CountedBy::Refusal => jobs.refused(code),
            CountedBy::Batcher => {}
            CountedBy::Outcome(arrived) => jobs.answered(code, arrived),
        }
    }
}

#[cfg(test)]
#[path = "jobs_tests.rs"]
mod tests;
