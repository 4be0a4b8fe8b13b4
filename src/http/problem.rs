//! Every error is one problem for one caller (RFC 9457). The only place that
//! turns an outcome into a status.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use uuid::Uuid;

use super::authority::HostError;
use crate::batcher;
use crate::code::Code;
use crate::engine::outcome::{self, Dispatched, Failure};
use crate::job::{JobError, JobId};

/// `Retry-After` of a proxy that is shutting down: whoever takes its place is
/// there soon, and another replica is there now.
const SHUTTING_DOWN_RETRY_AFTER: u64 = 1;

/// `Retry-After` of a proxy that holds as much in memory as it may: what callers
/// send and take keeps it moving.
const OVERLOADED_RETRY_AFTER: u64 = 1;

/// What went wrong for one caller, and what it may do about it.
#[derive(Clone, Debug)]
pub struct Problem {
    code: Code,
    status: StatusCode,
    detail: Cow<'static, str>,
    dispatched: Dispatched,
    retryable: bool,
    id: Option<JobId>,
    batch_id: Option<Uuid>,
    upstream_status: Option<u16>,
    pointer: Option<&'static str>,
    retry_after: Option<u64>,
    allow: Option<&'static str>,
    accept_encoding: Option<&'static str>,
}

/// The members of the problem document, in the order they are written.
#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a JobId>,
    dispatched: &'static str,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<&'static str>,
}

impl Problem {
    /// A problem with its code's usual status, of a job the upstream never saw.
    fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let status = status_of(code);
        Self {
            code,
            status,
            detail: detail.into(),
            dispatched: Dispatched::No,
            retryable: matches!(status.as_u16(), 502..=504),
            id: None,
            batch_id: None,
            upstream_status: None,
            pointer: None,
            retry_after: None,
            allow: None,
            accept_encoding: None,
        }
    }

    /// For a request that HTTP itself does not allow.
    pub fn invalid_request(detail: &'static str) -> Self {
        Self::new(Code::InvalidRequest, detail)
    }

    /// For a host that is none of this listener's.
    pub fn misdirected() -> Self {
        Self::new(
            Code::Misdirected,
            "the Host of the request is not one of this proxy; on loopback use localhost or an IP \
             address, or name it in server.hosts or admin.hosts",
        )
    }

    /// For what a web page of another origin posts.
    pub fn foreign_origin() -> Self {
        Self::new(
            Code::ForeignOrigin,
            "the Origin of the request is not its Host; pages of other origins may not post here",
        )
    }

    /// For a path that does not exist.
    pub fn not_found(detail: &'static str) -> Self {
        Self::new(Code::NotFound, detail)
    }

    /// For a method that a path does not have; `allow` lists those it has.
    pub fn method_not_allowed(allow: &'static str) -> Self {
        Self {
            allow: Some(allow),
            ..Self::new(
                Code::MethodNotAllowed,
                format!("this path takes {allow} only"),
            )
        }
    }

    /// For a Content-Type that is not taken.
    pub fn unsupported_media_type(detail: &'static str) -> Self {
        Self::new(Code::UnsupportedMediaType, detail)
    }

    /// For a `Content-Encoding`, which is none that is taken.
    pub fn unsupported_encoding(encoding: &str) -> Self {
        Self {
            accept_encoding: Some("identity"),
            ..Self::new(
                Code::UnsupportedMediaType,
                format!("Content-Encoding {encoding} is not taken; send the job uncompressed"),
            )
        }
    }

    /// For a body that was left unread because too much is in memory.
    pub fn overloaded() -> Self {
        Self::new(
            Code::Overloaded,
            "too much is being received and sent (server.max_buffered); nothing was sent to the \
             upstream, try again after the time in Retry-After",
        )
        .retry_after(OVERLOADED_RETRY_AFTER)
    }

    /// For a body over the limit.
    pub fn job_too_large(limit: usize) -> Self {
        let detail =
            format!("the body is larger than the limit of {limit} bytes (server.max_body)");
        Self::new(Code::JobTooLarge, detail)
    }

    /// For a body that did not arrive in time.
    pub fn read_timeout() -> Self {
        Self::new(
            Code::ReadTimeout,
            "the body did not arrive in time (server.read_timeout); send it faster",
        )
    }

    /// For a body that broke off or is framed wrong.
    pub fn unreadable_body() -> Self {
        Self::new(
            Code::MalformedJson,
            "the body broke off or its framing is wrong",
        )
    }

    /// For a job that is not sent because the upstream has failed so often, for as
    /// many seconds.
    pub fn circuit_open(retry_after: u64) -> Self {
        Self::new(
            Code::CircuitOpen,
            "the upstream has failed several times in a row and is left alone for a while; \
             nothing was sent, try again after the time in Retry-After",
        )
        .retry_after(retry_after)
    }

    /// For what the proxy got wrong itself.
    pub fn internal() -> Self {
        Self {
            dispatched: Dispatched::Unknown,
            ..Self::new(
                Code::Internal,
                "the proxy made a mistake; its log says more",
            )
        }
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The problem's code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The same problem, of this job.
    #[must_use]
    pub fn of(mut self, id: &JobId) -> Self {
        self.id = Some(id.clone());
        self
    }

    /// The same problem, in this batch.
    #[must_use]
    pub fn in_batch(mut self, id: Uuid) -> Self {
        self.batch_id = Some(id);
        self
    }

    /// The same problem, of a job that the upstream saw so much of before. What was
    /// not sent this time may have been done an earlier time.
    #[must_use]
    pub fn after(self, earlier: Dispatched) -> Self {
        if earlier == Dispatched::No || self.dispatched != Dispatched::No {
            return self;
        }
        let detail = match self.code {
            Code::CircuitOpen => "the upstream has failed several times in a row since",
            Code::UpstreamConnectTimeout => "connecting to it again took too long",
            _ => "it could not be reached again",
        };
        Self {
            detail: format!("the upstream had the job once, and may have done it; {detail}").into(),
            ..self.dispatched(earlier)
        }
    }

    /// The same problem, where doing a job twice does no harm.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.retryable |= matches!(self.status.as_u16(), 502..=504);
        self
    }

    fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    fn dispatched(mut self, dispatched: Dispatched) -> Self {
        self.dispatched = dispatched;
        // What may have been done once must not be asked for twice, unless the
        // upstream itself said that it was not done.
        self.retryable &= dispatched == Dispatched::No || self.code == Code::UpstreamOverloaded;
        self
    }

    fn upstream_status(mut self, status: u16) -> Self {
        self.upstream_status = Some(status);
        self
    }
}

impl From<HostError> for Problem {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Invalid(detail) => Self::invalid_request(detail),
            HostError::Misdirected => Self::misdirected(),
            HostError::ForeignOrigin => Self::foreign_origin(),
        }
    }
}

impl From<JobError> for Problem {
    fn from(error: JobError) -> Self {
        let code = match error {
            JobError::Malformed(_) => Code::MalformedJson,
            _ => Code::InvalidJob,
        };
        Self {
            pointer: error.pointer(),
            ..Self::new(code, error.to_string())
        }
    }
}

impl From<batcher::Error> for Problem {
    fn from(error: batcher::Error) -> Self {
        use batcher::Error;
        match error {
            Error::Full { room_in } => Self::new(
                Code::QueueFull,
                "too many jobs are waiting; nothing was sent, try again after the time in \
                 Retry-After",
            )
            .retry_after(room_in.as_secs()),
            Error::KeyFull { room_in } => Self::new(
                Code::QueueFull,
                "too many jobs wait for others of the same id, since two jobs of one id never \
                 share a batch; nothing was sent: give each job an id of its own, or try again \
                 after the time in Retry-After",
            )
            .retry_after(room_in.as_secs()),
            Error::TooLarge => Self::new(
                Code::JobTooLarge,
                "the job is larger than a batch or the queue may be",
            ),
            Error::Expired { room_in } => Self::new(
                Code::QueueTimeout,
                "the deadline passed while the job was queued; nothing was sent, try again later",
            )
            .retry_after(room_in.as_secs()),
            Error::Closed | Error::Abandoned => shutting_down(),
            // The engine answers every member, or has panicked.
            Error::Dropped
            | Error::Failed(_)
            | Error::WrongCount { .. }
            | Error::Missing { .. }
            | Error::Duplicate => Self::internal(),
        }
    }
}

fn shutting_down() -> Problem {
    Problem::new(
        Code::ShuttingDown,
        "the proxy is shutting down; nothing was sent, try again on another connection",
    )
    .retry_after(SHUTTING_DOWN_RETRY_AFTER)
}

impl From<&Failure> for Problem {
    fn from(failure: &Failure) -> Self {
        let new = |detail: &'static str| {
            Self::new(failure.code(), detail).dispatched(failure.dispatched())
        };
        match failure {
            Failure::DeadlineExceeded { sent: true } => {
                new("the deadline passed while the upstream had the job; it may have been done")
            }
            Failure::DeadlineExceeded { sent: false } => {
                new("the deadline passed before the job could be sent; nothing was sent")
            }
            Failure::GivenUp { sent: true } => {
                new("the proxy shut down while the upstream had the job; it may have been done")
            }
            Failure::GivenUp { sent: false } => shutting_down(),
            Failure::CircuitOpen(retry_after) => Self::circuit_open(*retry_after),
            Failure::Unreachable => {
                new("the upstream can't be reached, or took nothing; try again later")
            }
            Failure::ConnectTimeout => {
                new("connecting to the upstream took too long; nothing was sent, try again later")
            }
            Failure::Disconnected => new(
                "the connection to the upstream was lost after sending; the job may have been done",
            ),
            Failure::Timeout => {
                new("the upstream did not answer in time; the job may have been done")
            }
            Failure::Status(refusal) => Self::from(refusal).dispatched(failure.dispatched()),
            Failure::Malformed(status) => {
                new("the upstream's answer is not a JSON array of results for this batch")
                    .upstream_status(*status)
            }
            Failure::ResponseTooLarge(status) => {
                new("the upstream's answer is over the limit (upstream.max_response)")
                    .upstream_status(*status)
            }
            Failure::ResultMissing { status, other_type } => new(match other_type {
                false => "the upstream's answer has no result with this job's id",
                true => {
                    "the upstream's answer has this job's id as another JSON type, a string for \
                     an integer or an integer for a string; the upstream must return it as it came"
                }
            })
            .upstream_status(*status),
            Failure::ResultAmbiguous(status) => {
                new("the upstream's answer has different results with this job's id")
                    .upstream_status(*status)
            }
            Failure::ResultMalformed(status) => {
                new("the upstream's result for this job is not valid JSON, or is nested too deep")
                    .upstream_status(*status)
            }
        }
    }
}

impl From<&outcome::Refusal> for Problem {
    fn from(refusal: &outcome::Refusal) -> Self {
        let status = refusal.status;
        let detail = match refusal.code {
            Code::UpstreamTooLarge => {
                "the job alone is too large for the upstream; make it smaller"
            }
            Code::UpstreamRejectedJob => {
                "the upstream refused the job; change it before trying again"
            }
            Code::UpstreamRejectedBatch => "the upstream refused the batch that the job was in",
            Code::UpstreamAuth => {
                "the upstream wants other credentials than the proxy is configured with"
            }
            Code::UpstreamOverloaded => {
                "the upstream is overloaded; try again after the time in Retry-After"
            }
            Code::UpstreamGatewayTimeout => {
                "the upstream waited in vain for one of its own; the job may have been done"
            }
            _ => "the upstream failed, or answered with a status that no upstream should",
        };
        let mut problem = Self::new(refusal.code, detail).upstream_status(status);
        if refusal.code == Code::UpstreamOverloaded {
            problem = problem.retry_after(refusal.retry_after.unwrap_or(1));
        }
        if refusal.code == Code::UpstreamRejectedJob {
            problem.status = StatusCode::from_u16(status).unwrap_or(problem.status);
        }
        problem
    }
}

/// The contract's table. `upstream-rejected-job` takes the upstream's status.
fn status_of(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidRequest | Code::MalformedJson => StatusCode::BAD_REQUEST,
        Code::Misdirected => StatusCode::MISDIRECTED_REQUEST,
        Code::ForeignOrigin => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::ReadTimeout => StatusCode::REQUEST_TIMEOUT,
        Code::JobTooLarge | Code::UpstreamTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::InvalidJob | Code::JobError => StatusCode::UNPROCESSABLE_ENTITY,
        Code::Overloaded
        | Code::QueueFull
        | Code::QueueTimeout
        | Code::UpstreamOverloaded
        | Code::CircuitOpen
        | Code::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded
        | Code::UpstreamConnectTimeout
        | Code::UpstreamTimeout
        | Code::UpstreamGatewayTimeout => StatusCode::GATEWAY_TIMEOUT,
        Code::UpstreamUnreachable
        | Code::UpstreamDisconnected
        | Code::UpstreamRejectedJob
        | Code::UpstreamRejectedBatch
        | Code::UpstreamAuth
        | Code::UpstreamError
        | Code::UpstreamMalformed
        | Code::UpstreamResponseTooLarge
        | Code::ResultMissing
        | Code::ResultAmbiguous
        | Code::ResultMalformed => StatusCode::BAD_GATEWAY,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A short name for people, the same for every problem of the code.
fn title_of(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::JobError => "Job failed",
        Code::InvalidRequest => "Invalid request",
        Code::Misdirected => "Misdirected request",
        Code::ForeignOrigin => "Foreign origin",
        Code::MalformedJson => "Malformed JSON",
        Code::NotFound => "Not found",
        Code::MethodNotAllowed => "Method not allowed",
        Code::InvalidJob => "Invalid job",
        Code::UnsupportedMediaType => "Unsupported media type",
        Code::JobTooLarge => "Job too large",
        Code::ReadTimeout => "Request too slow",
        Code::Overloaded => "Overloaded",
        Code::QueueFull => "Queue full",
        Code::QueueTimeout => "Timed out in the queue",
        Code::DeadlineExceeded => "Deadline exceeded",
        Code::UpstreamUnreachable => "Upstream unreachable",
        Code::UpstreamConnectTimeout => "Upstream connect timeout",
        Code::UpstreamDisconnected => "Upstream disconnected",
        Code::UpstreamTimeout => "Upstream timeout",
        Code::UpstreamTooLarge => "Job too large for the upstream",
        Code::UpstreamRejectedJob => "Job rejected by the upstream",
        Code::UpstreamRejectedBatch => "Batch rejected by the upstream",
        Code::UpstreamAuth => "Upstream refused the credentials",
        Code::UpstreamOverloaded => "Upstream overloaded",
        Code::UpstreamGatewayTimeout => "Upstream gateway timeout",
        Code::UpstreamError => "Upstream error",
        Code::UpstreamMalformed => "Upstream answer malformed",
        Code::UpstreamResponseTooLarge => "Upstream answer too large",
        Code::ResultMissing => "Result missing",
        Code::ResultAmbiguous => "Result ambiguous",
        Code::ResultMalformed => "Result malformed",
        Code::CircuitOpen => "Circuit open",
        Code::ShuttingDown => "Shutting down",
        Code::Internal => "Internal error",
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document {
            r#type: format!("urn:microbatch:problem:{}", self.code),
            title: title_of(self.code),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code.as_str(),
            id: self.id.as_ref(),
            dispatched: match self.dispatched {
                Dispatched::No => "no",
                Dispatched::Unknown => "unknown",
                Dispatched::Yes => "yes",
            },
            retryable: self.retryable,
            batch_id: self.batch_id,
            upstream_status: self.upstream_status,
            pointer: self.pointer,
        };
        // A struct of strings and numbers always serializes.
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut headers = HeaderMap::new();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(CONTENT_TYPE, json);
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(encodings) = self.accept_encoding {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(encodings));
        }
        if self.code == Code::ShuttingDown {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        (self.status, headers, Body::from(body)).into_response()
    }
}

#[cfg(test)]
#[path = "problem_tests.rs"]
mod tests;
