//! From what became of a job to the answer that its caller gets, now or later.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Response, StatusCode};
use bytes::Bytes;

use super::answer_body::AnswerBody;
use super::buffered::Buffered;
use super::nosniff::nosniff;
use super::problem::{Problem, status};
use crate::batcher;
use crate::code::Code;
use crate::engine::context::BatchContext;
use crate::engine::outcome::{Failure, JobOutcome, JobResult};
use crate::job_id::JobId;
use crate::later::answer::Answer;
use crate::route::Route;
use crate::shape::Spliced;

const BATCH_ID: HeaderName = HeaderName::from_static("x-batch-id");
const BATCH_SIZE: HeaderName = HeaderName::from_static("x-batch-size");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The whole answer to a job. A caller that waits gets it as a response, and one that
/// comes back as it was kept: there is no other way to make either.
#[derive(Debug)]
pub(super) struct Rendered {
    /// What the job came to.
    pub code: Code,
    status: StatusCode,
    headers: HeaderMap,
    body: Spliced,
}

impl Rendered {
    /// What the job of this id is answered, which came to this route.
    #[inline]
    pub fn of(
        route: &Route,
        timing: bool,
        id: Option<&JobId>,
        answer: Result<JobResult, batcher::Error>,
    ) -> Self {
        match answer {
            Ok(result) => Self::of_result(route, timing, id, result),
            Err(error) => Self::problem(route, Problem::from(error).of(id)),
        }
    }

    /// What the proxy says itself, in the form that the route's callers understand.
    pub fn problem(route: &Route, problem: Problem) -> Self {
        let code = problem.code();
        let (status, headers, body) = problem.into_form(&route.shape);
        Self {
            code,
            status,
            headers,
            body: Spliced::One(body),
        }
    }

    #[inline]
    fn of_result(route: &Route, timing: bool, id: Option<&JobId>, result: JobResult) -> Self {
        let JobResult {
            outcome,
            earlier,
            batch,
            queued,
            upstream,
        } = result;
        let mut headers = headers(timing, &batch);
        // Few headers are looked through in less than the hash of a name takes. Another of the
        // batch may have made a place or none: the setting has changed while they gathered.
        let place = headers.iter_mut().find(|(name, _)| **name == SERVER_TIMING);
        match (timing, place) {
            (true, Some((_, value))) => *value = server_timing(queued, upstream),
            (true, None) => drop(headers.insert(SERVER_TIMING, server_timing(queued, upstream))),
            (false, _) => drop(headers.remove(SERVER_TIMING)),
        }
        let (code, status, body) = match outcome {
            JobOutcome::Reply {
                reply,
                headers: own,
            } => {
                if let Some(own) = own {
                    headers.extend(HeaderMap::clone(&own));
                }
                if reply.body.is_empty() {
                    headers.remove(CONTENT_TYPE);
                }
                let code = match reply.is_error {
                    true => Code::JobError,
                    false => Code::Ok,
                };
                (code, status::of_reply(&reply), reply.body)
            }
            JobOutcome::AsItCame {
                status,
                passthrough,
            } => {
                let body = Spliced::One(passthrough.bytes);
                headers = over(passthrough.headers, headers);
                (Code::Ok, status::of_success(status), body)
            }
            JobOutcome::Taken => {
                headers.remove(CONTENT_TYPE);
                (Code::Ok, status::TAKEN, Spliced::One(Bytes::new()))
            }
            JobOutcome::Failed(failure) => match own_words(&failure) {
                Some((status, own, body)) => {
                    headers = over(own, headers);
                    (failure.code(), status, Spliced::One(body))
                }
                None => {
                    let problem = Problem::from(&failure).after(earlier);
                    let problem = problem.of(id).in_batch(batch.id);
                    let problem = match route.idempotent {
                        true => problem.idempotent(),
                        false => problem,
                    };
                    let told = Self::problem(route, problem);
                    headers.extend(told.headers);
                    (failure.code(), told.status, told.body)
                }
            },
        };
        Self {
            code,
            status,
            headers,
            body,
        }
    }

    /// For a caller that waits: charged to the account until it is taken.
    #[inline]
    pub fn into_response(self, account: &Arc<Buffered>) -> Response<AnswerBody> {
        let charge = account.charge(self.body.len());
        let body = match self.body {
            Spliced::One(body) => AnswerBody::result(body, charge),
            Spliced::Many(pieces) => AnswerBody::spliced(pieces, charge),
        };
        response(self.status, self.headers, body)
    }

    /// For a request that was refused, which is little.
    pub fn into_uncharged(self) -> Response<AnswerBody> {
        let body = AnswerBody::from(Body::from(self.body.into_bytes()));
        response(self.status, self.headers, body)
    }

    /// For one that comes back: all but what is about the connection.
    pub fn into_kept(mut self) -> Answer {
        self.headers.remove(CONNECTION);
        let body = self.body.into_bytes();
        Answer::new(self.code, self.status, &self.headers, &body)
    }
}

impl From<Problem> for Rendered {
    fn from(problem: Problem) -> Self {
        let code = problem.code();
        let (status, headers, body) = problem.into_parts();
        Self {
            code,
            status,
            headers,
            body: Spliced::One(body),
        }
    }
}

/// An answer whose body is charged to the account until it is taken.
#[inline]
pub(super) fn respond(
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    account: &Arc<Buffered>,
) -> Response<AnswerBody> {
    let charge = account.charge(body.len());
    response(status, headers, AnswerBody::result(body, charge))
}

#[inline]
fn response(status: StatusCode, headers: HeaderMap, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// What all answers to the jobs of a batch say; they are put together once.
fn headers(timing: bool, batch: &BatchContext) -> HeaderMap {
    let headers = batch.answer_headers.get_or_init(|| {
        let mut headers = HeaderMap::with_capacity(5);
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(BATCH_ID, batch.id_header.clone());
        headers.insert(BATCH_SIZE, batch.size_header.clone());
        if timing {
            // The place for each job's own.
            headers.insert(SERVER_TIMING, HeaderValue::from_static(""));
        }
        nosniff(&mut headers);
        headers
    });
    headers.clone()
}

/// What the proxy says of an answer, over the upstream's own headers; what that is of, the
/// upstream alone says.
fn over(mut theirs: HeaderMap, mut ours: HeaderMap) -> HeaderMap {
    ours.remove(CONTENT_TYPE);
    theirs.extend(ours);
    theirs
}

/// What the upstream itself has said of the only job of a batch that it refused.
fn own_words(failure: &Failure) -> Option<(StatusCode, HeaderMap, Bytes)> {
    let Failure::Status(refusal) = failure else {
        return None;
    };
    let body = refusal.body.as_ref()?;
    let status = status::of_refusal(refusal);
    Some((status, body.headers.clone(), body.bytes.clone()))
}

/// Milliseconds, as Server Timing (W3C) has them.
fn server_timing(queued: Duration, upstream: Duration) -> HeaderValue {
    let mut text = Backwards::default();
    text.push_ms(upstream);
    text.push(*b", upstream;dur=");
    text.push_ms(queued);
    text.push(*b"queue;dur=");
    HeaderValue::from_bytes(text.written()).unwrap_or(HeaderValue::from_static(""))
}

/// The names, and two numbers of 20 digits with a point.
const LONGEST_TIMING: usize = 80;

/// A text that is written from its end: so the digits of a number come one after the other, and
/// nothing is formatted somewhere else first.
struct Backwards {
    text: [u8; LONGEST_TIMING],
    start: usize,
}

impl Default for Backwards {
    fn default() -> Self {
        Self {
            text: [0; LONGEST_TIMING],
            start: LONGEST_TIMING,
        }
    }
}

impl Backwards {
    fn push<const N: usize>(&mut self, part: [u8; N]) {
        let end = self.start;
        self.start -= N;
        self.text[self.start..end].copy_from_slice(&part);
    }

    fn push_digit(&mut self, digit: u64) {
        self.push([b'0' + (digit % 10) as u8]);
    }

    /// To the microsecond.
    fn push_ms(&mut self, duration: Duration) {
        let micros = duration.as_secs().saturating_mul(1_000_000);
        let mut left = micros.saturating_add(duration.subsec_micros().into());
        for _ in 0..3 {
            self.push_digit(left);
            left /= 10;
        }
        self.push([b'.']);
        loop {
            self.push_digit(left);
            left /= 10;
            if left == 0 {
                return;
            }
        }
    }

    fn written(&self) -> &[u8] {
        &self.text[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route;

    #[tokio::test]
    async fn what_is_kept_is_what_a_caller_gets_but_for_the_connection() {
        let routes = route::tests::jobs();
        let id = JobId::parse("7").unwrap();
        let account = Buffered::new(usize::MAX, 1);
        for error in [
            batcher::Error::Closed,
            batcher::Error::TooLarge,
            batcher::Error::Expired {
                room_in: Duration::from_secs(3),
            },
            batcher::Error::Dropped,
        ] {
            let rendered = || Rendered::of(routes.first(), true, Some(&id), Err(error.clone()));
            let kept = rendered().into_kept();
            let mut told = rendered().into_response(&account);
            let closes = told.headers_mut().remove(CONNECTION).is_some();
            assert_eq!(closes, error == batcher::Error::Closed);
            assert_eq!(kept.status(), told.status());
            assert_eq!(kept.headers(), *told.headers());
            assert_eq!(kept.code(), rendered().code);
            assert_eq!(account.bytes(), kept.body().len());
        }
    }

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
