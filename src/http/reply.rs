//! From what became of a job to the answer that its caller gets.

use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use bytes::Bytes;
use tokio::time::Instant;

use super::answer_body::AnswerBody;
use super::context::Jobs;
use super::nosniff::nosniff;
use super::problem::{Problem, status};
use crate::code::Code;
use crate::engine::context::BatchContext;
use crate::engine::outcome::{Failure, JobOutcome, JobResult};
use crate::job::JobId;

const BATCH_ID: HeaderName = HeaderName::from_static("x-batch-id");
const BATCH_SIZE: HeaderName = HeaderName::from_static("x-batch-size");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Answers a job that has arrived then, and counts it.
pub(super) fn reply(
    jobs: &Jobs,
    id: &JobId,
    arrived: Instant,
    result: JobResult,
) -> Response<AnswerBody> {
    let JobResult {
        outcome,
        earlier,
        batch,
        queued,
        upstream,
    } = result;
    let mut headers = headers(jobs, &batch);
    if jobs.timing {
        headers.insert(SERVER_TIMING, server_timing(queued, upstream));
    }
    let (code, response) = match outcome {
        JobOutcome::Element { raw, error } => {
            let (code, status) = match error {
                None => (Code::Ok, status::of(Code::Ok)),
                Some(error) => (
                    Code::JobError,
                    status::of_job_error(error.status, jobs.job_error_status),
                ),
            };
            (code, with_body(jobs, status, headers, raw))
        }
        JobOutcome::Taken => {
            headers.remove(CONTENT_TYPE);
            (
                Code::Ok,
                with_body(jobs, status::TAKEN, headers, Bytes::new()),
            )
        }
        JobOutcome::Failed(failure) => {
            let response = match own_words(&failure) {
                Some((status, content_type, body)) => {
                    headers.insert(CONTENT_TYPE, content_type);
                    with_body(jobs, status, headers, body)
                }
                None => {
                    let problem = Problem::from(&failure).after(earlier);
                    let problem = problem.of(id).in_batch(batch.id);
                    let problem = match jobs.idempotent {
                        true => problem.idempotent(),
                        false => problem,
                    };
                    let mut response = problem.into_response().map(AnswerBody::from);
                    headers.extend(std::mem::take(response.headers_mut()));
                    *response.headers_mut() = headers;
                    response
                }
            };
            (failure.code(), response)
        }
    };
    jobs.answered(code, arrived);
    response
}

/// What all answers to the jobs of a batch say; they are put together once.
fn headers(jobs: &Jobs, batch: &BatchContext) -> HeaderMap {
    let headers = batch.answer_headers.get_or_init(|| {
        let mut headers = HeaderMap::with_capacity(5);
        nosniff(&mut headers);
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(BATCH_ID, batch.id_header.clone());
        headers.insert(BATCH_SIZE, batch.size_header.clone());
        if jobs.timing {
            // The place for each job's own.
            headers.insert(SERVER_TIMING, HeaderValue::from_static(""));
        }
        headers
    });
    headers.clone()
}

fn with_body(
    jobs: &Jobs,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
) -> Response<AnswerBody> {
    let charge = jobs.buffered.charge(body.len());
    let mut response = Response::new(AnswerBody::result(body, charge));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// What the upstream itself has said of the only job of a batch that it refused.
fn own_words(failure: &Failure) -> Option<(StatusCode, HeaderValue, Bytes)> {
    let Failure::Status(refusal) = failure else {
        return None;
    };
    let body = refusal.body.as_ref()?;
    let status = status::of_refusal(refusal);
    Some((status, body.content_type.clone(), body.bytes.clone()))
}

/// Milliseconds, as Server Timing (W3C) has them.
fn server_timing(queued: Duration, upstream: Duration) -> HeaderValue {
    // The names, and two numbers of 20 digits with a point.
    let mut text = [0; 80];
    let mut end = 0;
    let mut push = |part: &[u8]| {
        text[end..end + part.len()].copy_from_slice(part);
        end += part.len();
    };
    push(b"queue;dur=");
    push_ms(&mut push, queued);
    push(b", upstream;dur=");
    push_ms(&mut push, upstream);
    HeaderValue::from_bytes(&text[..end]).unwrap_or(HeaderValue::from_static(""))
}

/// To the microsecond, without what formatting would cost for every job.
fn push_ms(push: &mut impl FnMut(&[u8]), duration: Duration) {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    push(itoa::Buffer::new().format(micros / 1_000).as_bytes());
    let rest = (micros % 1_000) as u16;
    let digit = |power| b'0' + (rest / power % 10) as u8;
    push(&[b'.', digit(100), digit(10), digit(1)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_to_the_microsecond() {
        for (queued, upstream, told) in [
            (
                Duration::ZERO,
                Duration::ZERO,
                "queue;dur=0.000, upstream;dur=0.000",
            ),
            (
                Duration::from_nanos(999),
                Duration::from_nanos(1_000),
                "queue;dur=0.000, upstream;dur=0.001",
            ),
            (
                Duration::from_nanos(12_034_567),
                Duration::from_nanos(1_000_900_000),
                "queue;dur=12.034, upstream;dur=1000.900",
            ),
            (
                Duration::MAX,
                Duration::MAX,
                "queue;dur=18446744073709551.615, upstream;dur=18446744073709551.615",
            ),
        ] {
            assert_eq!(server_timing(queued, upstream), told);
        }
    }
}
