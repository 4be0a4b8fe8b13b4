//! One call, and what kind of an answer it has.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, SET_COOKIE, TRAILER};
use http::{HeaderMap, HeaderValue};

use super::meaning::code_of_status;
use super::outcome::{Failure, Passthrough, Refusal};
use crate::code::Code;
use crate::observe::FailedAnswer;
use crate::shape::{NoResults, Shape};
use crate::upstream::{Call, CallError, Outgoing, Response, strip_hop_by_hop};

/// The longest body of a refusal that is handed on to a caller whose job went in a batch's
/// form: under 64 KiB.
const MAX_PASSTHROUGH: usize = 64 * 1024 - 1;

/// A call without success.
pub(super) struct Failed {
    pub failure: Failure,
    /// For the log.
    pub cause: String,
    /// What is to be seen of the answer, if there was one.
    pub answer: Option<FailedAnswer>,
    /// What of the answer is still to be read.
    pub response: Option<Response>,
    /// Whether the answer refuses the batch as a whole, as results do that say so.
    pub refuses_all: bool,
}

/// What a call is about, by which its answer is understood.
#[derive(Clone, Copy)]
pub(super) struct Sent<'a> {
    pub shape: &'a Arc<Shape>,
    /// How many members the batch had.
    pub members: usize,
    /// Whether it went as it came, so that all of the answer is its caller's.
    pub as_is: bool,
}

/// What is to be made of an answer that is no failure so far.
pub(super) enum Body {
    /// It is read for results.
    Results(Bytes),
    /// It is the only caller's as it is.
    AsItCame(Bytes),
    /// Nobody wants it.
    Unwanted,
}

/// Sends a batch, and reads as much of the answer as its meaning takes.
pub(super) async fn call(
    upstream: &impl Call,
    batch: Outgoing<'_>,
    sent: Sent<'_>,
) -> Result<(Response, Body), Failed> {
    let mut response = upstream.post(batch).await?;
    let status = response.status();
    let is_success = (200..=299).contains(&status);
    let reads = !sent.as_is && !sent.shape.has_no_results();
    if reads && sent.shape.holds_results(status) {
        return match response.body().await {
            Ok(body) => Ok((response, Body::Results(body))),
            Err(error) if is_success => Err(Failed::within(&response, error)),
            // What can't be read says nothing against the status.
            Err(_) => Err(refusal(response, sent, Read::Broken).await),
        };
    }
    if sent.as_is && !is_success && sent.shape.holds_results(status) {
        return match response.body().await {
            // Its own answer, as it would be one of several.
            Ok(body) if matches!(body.trim_ascii_start().first(), Some(b'{' | b'[')) => {
                Ok((response, Body::AsItCame(body)))
            }
            Ok(body) => Err(refusal(response, sent, Read::Whole(body)).await),
            Err(_) => Err(refusal(response, sent, Read::Broken).await),
        };
    }
    match is_success {
        false => Err(refusal(response, sent, Read::NotYet).await),
        true if sent.as_is => match response.body().await {
            Ok(body) => Ok((response, Body::AsItCame(body))),
            Err(error) => Err(Failed::within(&response, error)),
        },
        true if reads => Err(Failed::unexpected(response)),
        true => {
            response.is_its_own()?;
            Ok((response, Body::Unwanted))
        }
    }
}

/// How much of a refusal's body was read before it was known for one.
enum Read {
    NotYet,
    Whole(Bytes),
    /// It can't be read.
    Broken,
}

/// Reads what is left of an answer, so that its connection serves again.
pub(super) async fn discard(response: Option<Response>) {
    if let Some(response) = response {
        response.discard().await;
    }
}

impl From<CallError> for Failed {
    fn from(error: CallError) -> Self {
        let failure = match &error {
            CallError::Unreachable(_) | CallError::Refused(_) => Failure::Unreachable,
            CallError::ConnectTimeout => Failure::ConnectTimeout,
            CallError::Disconnected(_) => Failure::Disconnected,
            CallError::Timeout => Failure::Timeout,
            CallError::Foreign(status) => Failure::Malformed(*status),
            CallError::TooLarge(status) => Failure::ResponseTooLarge(*status),
        };
        Self::new(failure, error.to_string())
    }
}

impl Failed {
    fn new(failure: Failure, cause: String) -> Self {
        Self {
            failure,
            cause,
            answer: None,
            response: None,
            refuses_all: false,
        }
    }

    /// A success whose body is not there.
    fn within(response: &Response, error: CallError) -> Self {
        Self {
            answer: Some(seen(response)),
            ..Self::from(error)
        }
    }

    /// A success of a status whose answers hold no results.
    fn unexpected(response: Response) -> Self {
        let status = response.status();
        let cause = format!("status {status}, with which the shape expects no results");
        Self {
            answer: Some(seen(&response)),
            response: Some(response),
            ..Self::new(Failure::Malformed(status), cause)
        }
    }

    /// An answer whose body holds no results, though its status says that it does.
    pub async fn without_results(
        response: Response,
        body: Bytes,
        sent: Sent<'_>,
        why: &NoResults,
    ) -> Self {
        let status = response.status();
        let answer = seen(&response);
        let cause = match &answer.content_encoding {
            Some(encoding) => format!("compressed ({encoding}), though none was accepted"),
            None => why.to_string(),
        };
        let failure = match why {
            NoResults::Count(_) => Failure::ResultCount(status),
            NoResults::Refused => Failure::from(Refusal {
                status,
                code: Code::UpstreamRejectedBatch,
                retry_after: None,
                body: None,
            }),
            _ if (200..=299).contains(&status) => Failure::Malformed(status),
            _ => return refusal(response, sent, Read::Whole(body)).await,
        };
        Self {
            answer: Some(answer.with_body(&body)),
            refuses_all: *why == NoResults::Refused,
            ..Self::new(failure, cause)
        }
    }

    /// Whether a smaller batch may fare better than this one of so many members.
    pub fn calls_for_a_split(&self, members: usize, split_on: &[u16]) -> bool {
        members > 1 && self.refuses_all || self.failure.calls_for_a_split(members, split_on)
    }

    /// What the log tells of it: why, and what is to be seen of the answer, with the
    /// beginning of its body where that may be shown. Reads that, which may take the
    /// upstream a moment.
    pub async fn told(self, excerpts: bool) -> (String, Option<FailedAnswer>) {
        let beginning = match self.response {
            Some(response) => response.beginning(FailedAnswer::BYTES).await,
            None => Bytes::new(),
        };
        let answer = self.answer.map(|answer| match excerpts {
            true => answer.with_body(&beginning),
            false => answer.without_body(),
        });
        (self.cause, answer)
    }
}

fn seen(response: &Response) -> FailedAnswer {
    FailedAnswer::new(response.status(), response.headers())
}

/// What an answer that is no success means; reads its body where the one caller may see
/// it, unless it was `read` already.
async fn refusal(mut response: Response, sent: Sent<'_>, read: Read) -> Failed {
    let status = response.status();
    let code = code_of_status(status, sent.members);
    let mut answer = seen(&response);
    let headers = handed_on(&response, sent, code);
    let most = match sent.as_is {
        true => usize::MAX,
        false => MAX_PASSTHROUGH,
    };
    let is_read = !matches!(read, Read::NotYet);
    let body = match read {
        Read::Whole(body) => Some(body).filter(|it| it.len() <= most),
        // Without a readable body the caller gets a problem with the status.
        Read::NotYet if headers.is_some() => response.body_up_to(most).await.ok(),
        Read::NotYet | Read::Broken => None,
    };
    if let Some(body) = &body {
        answer = answer.with_body(body);
    }
    let body = headers.zip(body);
    let refusal = Refusal {
        status,
        code,
        retry_after: response.retry_after(),
        body: body.map(|(headers, bytes)| Passthrough { headers, bytes }),
    };
    Failed {
        answer: Some(answer),
        response: (!is_read).then_some(response),
        ..Failed::new(
            Failure::from(refusal),
            format!("status {status}{}", meaning(status)),
        )
    }
}

/// The headers that a caller gets with the body of a refusal, if it gets that.
fn handed_on(response: &Response, sent: Sent<'_>, code: Code) -> Option<HeaderMap> {
    if sent.as_is {
        // Another protocol is no answer that a caller could have.
        let is_final = response.status() >= 200;
        return is_final.then(|| end_to_end(response.headers().clone()));
    }
    let content_type = response.content_type().filter(|it| is_readable(it));
    let is_told = code == Code::UpstreamRejectedJob && response.is_plain();
    let content_type = content_type.filter(|_| is_told)?.clone();
    Some(HeaderMap::from_iter([(CONTENT_TYPE, content_type)]))
}

/// The headers that the caller of what went as it came gets with its answer: what it is
/// framed by is the proxy's, and trailers are not handed on.
pub(super) fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    strip_hop_by_hop(&mut headers);
    for name in [CONTENT_LENGTH, TRAILER, SET_COOKIE] {
        headers.remove(name);
    }
    headers
}

/// What a status says about a batch, for the operator.
fn meaning(status: u16) -> &'static str {
    match status {
        300..=399 => ": redirects are not followed",
        401 | 403 | 407 => ": it wants other credentials",
        404 | 405 | 410 => ": nothing takes batches at this path",
        413 => ": too large for it",
        429 | 503 => ": it has too much to do",
        _ => "",
    }
}

/// Whether a body of this type may be handed on: JSON or text.
fn is_readable(content_type: &HeaderValue) -> bool {
    let Ok(text) = content_type.to_str() else {
        return false;
    };
    let essence = text.split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json") || essence.starts_with("text/")
}
