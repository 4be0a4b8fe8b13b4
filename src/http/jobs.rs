//! `POST /jobs`: from a request to a job, and from its outcome to the answer.

use std::time::Duration;

use axum::BoxError;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::Instant;
use tracing::trace;

use super::buffered::Charge;
use super::headers::Headers;
use super::problem::Problem;
use super::{AnswerBody, Jobs};
use crate::aside::{LARGE, aside};
use crate::batcher::{self, Reply, Source, Stage};
use crate::code::Code;
use crate::engine::outcome::{Failure, JobOutcome, JobResult};
use crate::engine::{self, Phase};
use crate::job::{Job, JobId};
use crate::observe::Event;
use crate::patience::in_time;

const BATCH_ID: HeaderName = HeaderName::from_static("x-batch-id");
const BATCH_SIZE: HeaderName = HeaderName::from_static("x-batch-size");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A request to do a job, without what its head says to no purpose here: while the
/// job waits nothing keeps the buffer that its connection read into.
pub(super) struct Posted<B> {
    headers: Headers,
    body: B,
    arrived: Instant,
}

impl<B> Posted<B>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    /// Reads the head.
    pub fn new(request: Request<B>) -> Self {
        Self {
            arrived: Instant::now(),
            headers: Headers::of(request.headers()),
            body: request.into_body(),
        }
    }

    /// Answers the job.
    pub async fn answer(
        self,
        uncounted: &mut Uncounted<'_>,
        source: &Source<Job, JobResult>,
    ) -> Response<AnswerBody> {
        let jobs = uncounted.jobs;
        let arrived = self.arrived;
        let stay = self.headers.wait.unwrap_or(Duration::MAX);
        let stay = stay.min(jobs.request_timeout);
        let mut charge = jobs.buffered.charge(0);
        let job = match self.read(jobs, stay, &mut charge).await {
            Ok(job) => job,
            Err(problem) => return jobs.refuse(problem),
        };
        let id = job.id().clone();
        // Who shuts down says so, whatever the upstream is like.
        if !jobs.circuit.is_closed()
            && let Err(open) = jobs.circuit.admit(Instant::now())
            && !jobs.batcher.is_closed()
        {
            return jobs.refuse(Problem::circuit_open(open.retry_after).of(&id));
        }
        let options = engine::options(&job, arrived + stay);
        let mut waiting = match source.submit_with(job, options) {
            Ok(reply) => Waiting::new(reply, &id, jobs),
            Err(refused) => return jobs.refuse(Problem::from(refused).of(&id)),
        };
        // From here on the queue counts it.
        drop(charge);
        uncounted.stage = CountedBy::Batcher;
        let answer = waiting.answer().await;
        uncounted.stage = CountedBy::Outcome(arrived);
        match answer {
            Ok(result) => jobs.respond(&id, arrived, result),
            Err(error) => {
                let had_entered = error.had_entered();
                let problem = Problem::from(error).of(&id);
                if !had_entered {
                    return jobs.refuse(problem);
                }
                jobs.answered(problem.code(), arrived);
                told(problem)
            }
        }
    }

    /// Reads the job, in the order of the contract: Content-Type, size, JSON, job.
    async fn read(self, jobs: &Jobs, stay: Duration, charge: &mut Charge) -> Result<Job, Problem> {
        self.headers
            .content_type
            .map_err(Problem::unsupported_media_type)?;
        if let Some(encoding) = self.headers.encoding {
            return Err(Problem::unsupported_encoding(&encoding));
        }
        let limit = jobs.max_body;
        if self
            .headers
            .length
            .is_some_and(|length| length > limit as u64)
        {
            return Err(Problem::job_too_large(limit));
        }
        let deadline = self.arrived + jobs.read_timeout.min(stay);
        let gathering = async {
            tokio::select! {
                biased;
                gathered = gather(Limited::new(self.body, limit), charge) => Some(gathered),
                // The job would be refused when it is there.
                () = jobs.draining() => None,
            }
        };
        let body = match in_time(deadline, gathering).await.transpose() {
            None => return Err(Problem::from(batcher::Error::Closed)),
            Some(Ok(Ok(body))) => body,
            Some(Ok(Err(error))) if error.is::<LengthLimitError>() => {
                return Err(Problem::job_too_large(limit));
            }
            Some(Ok(Err(_))) => return Err(Problem::unreadable_body()),
            Some(Err(_)) if charge.is_waiting() => return Err(Problem::overloaded()),
            Some(Err(_)) => return Err(Problem::read_timeout()),
        };
        let max_depth = jobs.max_depth;
        let job = match body.len() < LARGE {
            true => Job::parse(&body, max_depth),
            false => aside(move || Job::parse(&body, max_depth)).await,
        };
        Ok(job?.with_trace(self.headers.trace))
    }
}

fn told(problem: Problem) -> Response<AnswerBody> {
    problem.into_response().map(AnswerBody::from)
}

/// `/jobs` by another method.
pub(super) async fn only_post(State(jobs): State<Jobs>) -> Response<Body> {
    jobs.note(Problem::method_not_allowed(super::POST))
        .into_response()
}

/// `/healthz` by another method.
pub(super) async fn only_get(State(jobs): State<Jobs>) -> Response<Body> {
    jobs.note(Problem::method_not_allowed(super::GET))
        .into_response()
}

/// Any other path.
pub(super) async fn no_such_path(State(jobs): State<Jobs>) -> Response<Body> {
    let problem = Problem::not_found("no such path; jobs go to POST /jobs");
    jobs.note(problem).into_response()
}

/// The whole body in one piece, charged with what comes.
///
/// Its frames are not kept until the end: a body in chunks of one byte would take
/// many times its size, and a small one would hold on to the whole buffer that its
/// connection read it into, which would need another for its next read.
async fn gather<B>(mut body: Limited<B>, charge: &mut Charge) -> Result<Bytes, BoxError>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let announced = http_body::Body::size_hint(&body).exact();
    let announced = announced.and_then(|it| usize::try_from(it).ok());
    let announced = announced.unwrap_or_default();
    let mut all = BytesMut::new();
    let mut whole = None;
    while !http_body::Body::is_end_stream(&body) {
        let left = http_body::Body::size_hint(&body).upper();
        let left = left.and_then(|it| usize::try_from(it).ok());
        charge.room(left.unwrap_or(PIECE).min(PIECE)).await;
        let Some(frame) = body.frame().await.transpose()? else {
            break;
        };
        // Trailers are nobody's business.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        charge.received(data.len());
        if all.is_empty() && data.len() >= OWN_BUFFER && data.len() == announced {
            whole = Some(data);
            continue;
        }
        let needed = all.len() + data.len();
        if all.capacity() < needed {
            let room = announced.min(needed.saturating_mul(AHEAD)).max(needed);
            all.reserve(room - all.len());
        }
        all.extend_from_slice(&data);
    }
    Ok(whole.unwrap_or_else(|| all.freeze()))
}

/// The most that is read of a body at a time, in bytes, as connections do.
const PIECE: usize = 16 * 1024;

/// A body from this size on, in bytes, is left in the buffer it was read into, if
/// that has all of it; the buffer may be up to twice as large.
const OWN_BUFFER: usize = 8 * 1024;

/// How many times what has come is set aside for the rest of what is announced: a
/// body that grows by doubling takes twice its size, and a mere announcement none.
const AHEAD: usize = 16;

/// A job whose answer is awaited. Tells the log when its caller leaves first.
struct Waiting<'a> {
    /// Until it has answered.
    reply: Option<Reply<Job, JobResult>>,
    id: &'a JobId,
}

impl<'a> Waiting<'a> {
    fn new(reply: Reply<Job, JobResult>, id: &'a JobId, jobs: &Jobs) -> Self {
        if tracing::enabled!(tracing::Level::TRACE) {
            let now = jobs.batcher.snapshot();
            if reply.found_no_room() {
                trace!(%id, jobs = now.waiting_for_room, "job waits for room");
            } else {
                trace!(%id, jobs = now.queued, "job queued");
            }
        }
        let reply = Some(reply);
        Self { reply, id }
    }

    async fn answer(&mut self) -> Result<JobResult, batcher::Error> {
        let answer = match &mut self.reply {
            Some(reply) => reply.await,
            None => Err(batcher::Error::Dropped),
        };
        self.reply = None;
        answer
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
        trace!(id = %self.id, when, "caller left");
    }
}

impl Jobs {
    /// Resolves when jobs are no more taken.
    async fn draining(&self) {
        let mut phase = self.phase.clone();
        let draining = phase.wait_for(|&phase| phase >= Phase::Draining);
        let nobody_says_so = draining.await.is_err();
        if nobody_says_so {
            std::future::pending().await
        }
    }

    /// For a job that never entered the queue.
    pub(super) fn refuse(&self, problem: Problem) -> Response<AnswerBody> {
        told(self.note(problem))
    }

    /// Counts what is answered to a request that was refused.
    fn note(&self, problem: Problem) -> Problem {
        self.refused(problem.code());
        problem
    }

    fn refused(&self, code: Code) {
        let batcher = self.batcher.observe();
        self.observer.tell(Event::Refused { code, batcher });
    }

    fn answered(&self, outcome: Code, arrived: Instant) {
        let after = arrived.elapsed();
        self.observer.tell(Event::Answered { outcome, after });
    }

    fn respond(&self, id: &JobId, arrived: Instant, result: JobResult) -> Response<AnswerBody> {
        let JobResult {
            outcome,
            earlier,
            batch,
            queued,
            upstream,
        } = result;
        let (code, mut response) = match outcome {
            JobOutcome::Element { raw, error: None } => (Code::Ok, self.json(StatusCode::OK, raw)),
            JobOutcome::Element {
                raw,
                error: Some(error),
            } => {
                let own = error.status.and_then(|it| StatusCode::from_u16(it).ok());
                (
                    Code::JobError,
                    self.json(own.unwrap_or(self.job_error_status), raw),
                )
            }
            JobOutcome::Taken => {
                let response = StatusCode::NO_CONTENT.into_response();
                (Code::Ok, response.map(AnswerBody::from))
            }
            JobOutcome::Failed(failure) => {
                let problem = || {
                    let problem = Problem::from(&failure).after(earlier);
                    let problem = problem.of(id).in_batch(batch.id);
                    told(match self.idempotent {
                        true => problem.idempotent(),
                        false => problem,
                    })
                };
                (
                    failure.code(),
                    self.passed_through(&failure).unwrap_or_else(problem),
                )
            }
        };
        self.answered(code, arrived);
        let headers = response.headers_mut();
        headers.insert(BATCH_ID, batch.id_header.clone());
        headers.insert(BATCH_SIZE, batch.size_header.clone());
        if self.timing
            && let Some(timing) = server_timing(queued, upstream)
        {
            headers.insert(SERVER_TIMING, timing);
        }
        response
    }

    fn json(&self, status: StatusCode, body: Bytes) -> Response<AnswerBody> {
        let charge = self.buffered.charge(body.len());
        let mut response = Response::new(AnswerBody::result(body, charge));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        response
    }

    /// The upstream's own words for the only job of a batch that it refused.
    fn passed_through(&self, failure: &Failure) -> Option<Response<AnswerBody>> {
        let Failure::Status(refusal) = failure else {
            return None;
        };
        let body = refusal.body.as_ref()?;
        let status = StatusCode::from_u16(refusal.status).ok()?;
        let mut response = self.json(status, body.bytes.clone());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, body.content_type.clone());
        Some(response)
    }
}

/// A request until its answer is counted: one whose handler panics is counted too.
pub(super) struct Uncounted<'a> {
    jobs: &'a Jobs,
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

impl<'a> Uncounted<'a> {
    pub fn new(jobs: &'a Jobs) -> Self {
        let stage = CountedBy::Refusal;
        Self { jobs, stage }
    }
}

impl Drop for Uncounted<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let (jobs, code) = (self.jobs, Code::Internal);
        match self.stage {
            CountedBy::Refusal => jobs.refused(code),
            CountedBy::Batcher => {}
            CountedBy::Outcome(arrived) => jobs.answered(code, arrived),
        }
    }
}

/// Milliseconds, as Server Timing (W3C) has them.
fn server_timing(queued: Duration, upstream: Duration) -> Option<HeaderValue> {
    let mut timing = String::with_capacity(64);
    timing.push_str("queue;dur=");
    push_ms(&mut timing, queued);
    timing.push_str(", upstream;dur=");
    push_ms(&mut timing, upstream);
    HeaderValue::try_from(timing).ok()
}

/// To the microsecond, without what formatting would cost for every job.
fn push_ms(text: &mut String, duration: Duration) {
    let micros = duration.as_micros();
    text.push_str(itoa::Buffer::new().format(micros / 1_000));
    text.push('.');
    for power in [100, 10, 1] {
        let digit = (micros / power % 10) as u8;
        text.push(char::from(b'0' + digit));
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll};

    use super::super::{Buffered, Caller, HostNames, JobsInner, jobs_router};
    use super::*;
    use crate::batcher::{Batcher, Settings};
    use crate::observe::{Bounds, Observer};
    use crate::resilience::circuit::Circuit;

    fn jobs() -> Jobs {
        let bounds = Bounds {
            max_size: 1,
            max_bytes: 1,
        };
        Jobs::from(JobsInner {
            batcher: Batcher::with_batches(Settings::default(), async |_| ()),
            observer: Arc::new(Observer::new(bounds)),
            hosts: HostNames::default(),
            buffered: Buffered::new(1_000, 100),
            max_body: 100,
            max_depth: 1,
            request_timeout: Duration::from_secs(1),
            read_timeout: Duration::from_secs(1),
            timing: false,
            idempotent: false,
            phase: tokio::sync::watch::channel(Phase::Running).1,
            circuit: Arc::new(Circuit::new(0, Duration::ZERO)),
            job_error_status: StatusCode::UNPROCESSABLE_ENTITY,
        })
    }

    /// A body that the handler panics over.
    struct Panics;

    impl http_body::Body for Panics {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
            panic!("in the handler")
        }
    }

    #[tokio::test]
    async fn a_request_whose_handler_panics_is_counted_once() {
        let jobs = jobs();
        let caller = Caller::new(jobs.clone(), &jobs.batcher, jobs_router(jobs.clone()), None);
        let request = Request::post("/jobs").header("host", "localhost");
        let answer = Arc::new(caller).serve(request.body(Panics).unwrap());
        assert!(tokio::spawn(answer).await.unwrap_err().is_panic());
        let metrics = &jobs.observer.metrics;
        assert_eq!(metrics.refusals().to_string(), "internal=1");
        assert_eq!(metrics.outcomes().to_string(), "");
        assert_eq!(jobs.buffered.bytes(), 0);

        // One whose job was taken is the batcher's to count, until it is answered.
        for (stage, outcomes) in [
            (CountedBy::Batcher, ""),
            (CountedBy::Outcome(Instant::now()), "internal=1"),
        ] {
            let jobs = jobs.clone();
            let handler = async move {
                let _uncounted = Uncounted { jobs: &jobs, stage };
                panic!("in the handler")
            };
            let panicked: Result<(), _> = tokio::spawn(handler).await;
            assert!(panicked.unwrap_err().is_panic());
            assert_eq!(metrics.outcomes().to_string(), outcomes);
        }
        drop(Uncounted::new(&jobs));
        assert_eq!(metrics.refusals().to_string(), "internal=1");
    }

    #[test]
    fn times_are_told_to_the_microsecond() {
        for (nanos, upstream, told) in [
            (0, 0, "queue;dur=0.000, upstream;dur=0.000"),
            (999, 1_000, "queue;dur=0.000, upstream;dur=0.001"),
            (
                12_034_567,
                1_000_900_000,
                "queue;dur=12.034, upstream;dur=1000.900",
            ),
        ] {
            let timing = server_timing(Duration::from_nanos(nanos), Duration::from_nanos(upstream));
            assert_eq!(timing.unwrap(), told);
        }
    }
}
