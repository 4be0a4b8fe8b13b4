//! `POST /jobs`: from a request to a job, and from its outcome to the answer.

use std::time::Duration;

use axum::BoxError;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::{Instant, timeout};
use tracing::trace;

use super::Jobs;
use super::connection::Caller;
use super::problem::Problem;
use crate::batcher::{Reply, Stage, Unanswered};
use crate::code::Code;
use crate::job::{Job, JobId};
use crate::processor::outcome::{Failure, JobOutcome, JobResult};
use crate::trace_context::TraceContext;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const BATCH_ID: HeaderName = HeaderName::from_static("x-batch-id");
const BATCH_SIZE: HeaderName = HeaderName::from_static("x-batch-size");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Answers one job.
pub(super) async fn post(State(jobs): State<Jobs>, request: Request) -> Response {
    let arrived = Instant::now();
    let caller = request.extensions().get::<Caller>().cloned();
    let (head, body) = request.into_parts();
    let wait = prefer_wait(&head.headers).unwrap_or(Duration::MAX);
    let stay = wait.min(jobs.request_timeout);
    let job = match read(&jobs, &head.headers, body, stay).await {
        Ok(job) => job,
        Err(problem) => return jobs.refuse(problem),
    };
    let id = job.id().clone();
    // Who shuts down says so, whatever the upstream is like.
    if let Err(open) = jobs.circuit.admit(Instant::now())
        && !jobs.batcher.is_closed()
    {
        return jobs.refuse(Problem::circuit_open(open.retry_after).of(&id));
    }
    let submitted = match &caller {
        Some(caller) => caller.source.submit(job, arrived + stay),
        None => jobs.batcher.submit(job, arrived + stay),
    };
    let mut waiting = match submitted {
        Ok(reply) => Waiting::new(reply, &id, &jobs),
        Err(refused) => return jobs.refuse(Problem::from(refused.reason).of(&id)),
    };
    match waiting.answer().await {
        Ok(result) => jobs.respond(&id, arrived, result),
        Err(reason) => {
            let problem = Problem::from(reason).of(&id);
            if !reason.had_entered() {
                return jobs.refuse(problem);
            }
            jobs.observer
                .metrics
                .answered(problem.code(), arrived.elapsed());
            problem.into_response()
        }
    }
}

/// `/jobs` by another method.
pub(super) async fn only_post(State(jobs): State<Jobs>) -> Response {
    jobs.refuse(Problem::method_not_allowed(super::POST))
}

/// `/healthz` by another method.
pub(super) async fn only_get(State(jobs): State<Jobs>) -> Response {
    jobs.refuse(Problem::method_not_allowed(super::GET))
}

/// Any other path.
pub(super) async fn no_such_path(State(jobs): State<Jobs>) -> Response {
    jobs.refuse(Problem::not_found("no such path; jobs go to POST /jobs"))
}

/// Reads a request's job, in the order of the contract: Content-Type, size,
/// JSON, job.
async fn read(
    jobs: &Jobs,
    headers: &HeaderMap,
    body: Body,
    stay: Duration,
) -> Result<Job, Problem> {
    check_content_type(headers).map_err(Problem::unsupported_media_type)?;
    let limit = jobs.max_body;
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(Problem::job_too_large(limit));
    }
    // No timer is set for a body that is there already.
    let patience = jobs.read_timeout.min(stay);
    let body = match timeout(patience, gather(Limited::new(body, limit))).await {
        Ok(Ok(body)) => body,
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err(Problem::job_too_large(limit));
        }
        Ok(Err(_)) => return Err(Problem::unreadable_body()),
        Err(_) => return Err(Problem::read_timeout()),
    };
    Ok(Job::parse(&body)?.with_trace(trace_context(headers)))
}

/// The whole body in one piece. Its frames are not kept until the end: a body in
/// chunks of one byte would take many times its size.
async fn gather(mut body: Limited<Body>) -> Result<Bytes, BoxError> {
    let mut only = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await.transpose()? {
        // Trailers are nobody's business.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if only.is_empty() && all.is_empty() {
            only = data;
        } else {
            all.extend_from_slice(&std::mem::take(&mut only));
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { only } else { all.freeze() })
}

/// `application/json`, any `+json`, none, or what a bare `curl -d` says; but
/// from a browser, which sends `Origin`, only a JSON type: all others it may
/// send to a stranger's server without asking first (Fetch, "CORS-safelisted
/// request-header").
fn check_content_type(headers: &HeaderMap) -> Result<(), &'static str> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let content_type = types.next();
    if types.next().is_some() {
        return Err("the request has more than one Content-Type; send application/json");
    }
    let essence = content_type.map(|it| {
        let it = it.as_bytes();
        let end = it.iter().position(|&byte| byte == b';').unwrap_or(it.len());
        it[..end].trim_ascii().to_ascii_lowercase()
    });
    let from_browser = headers.contains_key(ORIGIN);
    match essence.as_deref() {
        Some(b"application/json") => Ok(()),
        Some(other) if is_plus_json(other) => Ok(()),
        None | Some(b"application/x-www-form-urlencoded") if !from_browser => Ok(()),
        _ if from_browser => {
            Err("a request with an Origin header must say Content-Type: application/json")
        }
        _ => Err("this Content-Type is not taken; send application/json"),
    }
}

/// A type and a subtype that ends in `+json` (RFC 6839).
fn is_plus_json(essence: &[u8]) -> bool {
    essence.ends_with(b"+json") && essence.iter().filter(|&&byte| byte == b'/').count() == 1
}

/// The seconds of `Prefer: wait=…` (RFC 7240, section 4.3); the first counts.
fn prefer_wait(headers: &HeaderMap) -> Option<Duration> {
    headers
        .get_all(PREFER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|preference| {
            let (name, value) = preference.split(';').next()?.split_once('=')?;
            let value = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("wait").then_some(value)
        })
        .and_then(|seconds| seconds.parse().ok().map(Duration::from_secs))
}

fn trace_context(headers: &HeaderMap) -> Option<TraceContext> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let context = TraceContext::parse(parents.next()?.to_str().ok()?)?;
    if parents.next().is_some() {
        return None;
    }
    // Several tracestate headers are one list (W3C Trace Context, 3.3.1.1).
    let states: Vec<&str> = headers
        .get_all(TRACESTATE)
        .iter()
        .filter_map(|state| state.to_str().ok())
        .collect();
    Some(match states.is_empty() {
        true => context,
        false => context.with_state(&states.join(",")),
    })
}

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

    async fn answer(&mut self) -> Result<JobResult, Unanswered> {
        let answer = match &mut self.reply {
            Some(reply) => reply.await,
            None => Err(Unanswered::Dropped),
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
    /// For a job that never entered the queue.
    fn refuse(&self, problem: Problem) -> Response {
        self.observer
            .refused(problem.code(), self.batcher.snapshot());
        problem.into_response()
    }

    fn respond(&self, id: &JobId, arrived: Instant, result: JobResult) -> Response {
        let JobResult {
            outcome,
            earlier,
            batch,
            queued,
            upstream,
        } = result;
        let (code, mut response) = match outcome {
            JobOutcome::Element { raw, error: None } => (Code::Ok, json(StatusCode::OK, raw)),
            JobOutcome::Element {
                raw,
                error: Some(error),
            } => {
                let own = error.status.and_then(|it| StatusCode::from_u16(it).ok());
                (
                    Code::JobError,
                    json(own.unwrap_or(self.job_error_status), raw),
                )
            }
            JobOutcome::Taken => (Code::Ok, StatusCode::NO_CONTENT.into_response()),
            JobOutcome::Failed(failure) => {
                let problem = || {
                    let problem = Problem::from(&failure).after(earlier);
                    let problem = problem.of(id).in_batch(batch.id);
                    match self.idempotent {
                        true => problem.idempotent().into_response(),
                        false => problem.into_response(),
                    }
                };
                (
                    failure.code(),
                    passed_through(&failure).unwrap_or_else(problem),
                )
            }
        };
        self.observer.metrics.answered(code, arrived.elapsed());
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
}

fn json(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// The upstream's own words for the only job of a batch that it refused.
fn passed_through(failure: &Failure) -> Option<Response> {
    let Failure::Status(refusal) = failure else {
        return None;
    };
    let body = refusal.body.as_ref()?;
    let mut response = Response::new(Body::from(body.bytes.clone()));
    *response.status_mut() = StatusCode::from_u16(refusal.status).ok()?;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, body.content_type.clone());
    Some(response)
}

/// Milliseconds, as Server Timing (W3C) has them.
fn server_timing(queued: Duration, upstream: Duration) -> Option<HeaderValue> {
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    let timing = format!(
        "queue;dur={:.3}, upstream;dur={:.3}",
        ms(queued),
        ms(upstream)
    );
    HeaderValue::try_from(timing).ok()
}

#[cfg(test)]
#[path = "jobs_tests.rs"]
mod tests;
