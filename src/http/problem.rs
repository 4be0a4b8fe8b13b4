//! Every error is one problem for one caller (RFC 9457).
//!
//! This room alone decides a status: `status` has the table of codes, `causes`
//! says which problem each error comes to. Handlers make a [`Problem`] and answer
//! with it.

mod causes;
pub(super) mod status;

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use uuid::Uuid;

use super::nosniff::nosniff;
use crate::code::Code;
use crate::engine::outcome::Dispatched;
use crate::job_id::JobId;
use crate::shape::{self, Shape};
use crate::upstream::NoSuchPath;

/// `Retry-After` of a proxy that holds as much in memory as it may: what callers
/// send and take keeps it moving.
const OVERLOADED_RETRY_AFTER: u64 = 1;

/// `Retry-After` of a store that is away, which mostly is so for a moment.
const STORE_RETRY_AFTER: u64 = 1;

/// What went wrong for one caller, and what it may do about it.
#[derive(Clone, Debug)]
pub struct Problem(Box<Known>);

/// What is known of it; boxed, since the errors of what mostly succeeds are to cost
/// little where they do not happen.
#[derive(Clone, Debug)]
struct Known {
    code: Code,
    status: StatusCode,
    detail: Cow<'static, str>,
    /// `None` where it is no job that is asked about.
    dispatched: Option<Dispatched>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    dispatched: Option<&'static str>,
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
        let status = status::of(code);
        Self(Box::new(Known {
            code,
            status,
            detail: detail.into(),
            dispatched: Some(Dispatched::No),
            retryable: matches!(status.as_u16(), 502..=504),
            id: None,
            batch_id: None,
            upstream_status: None,
            pointer: None,
            retry_after: None,
            allow: None,
            accept_encoding: None,
        }))
    }

    /// For a request that HTTP itself does not allow.
    pub fn invalid_request(detail: &'static str) -> Self {
        Self::new(Code::InvalidRequest, detail)
    }

    /// For a header that is there twice, though it travels with the batch.
    pub fn header_twice(name: &HeaderName) -> Self {
        let detail =
            format!("the request has more than one {name}, which travels with it; send one");
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
            "the Origin of the request is not its Host; pages of other origins may not ask for this",
        )
    }

    /// For a request that bears no token that lets it in.
    pub fn unauthorized(detail: &'static str) -> Self {
        Self::new(Code::Unauthorized, detail)
    }

    /// For a path that does not exist.
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::NotFound, detail)
    }

    /// For a path that no upstream is asked for.
    pub fn no_such_path(why: NoSuchPath) -> Self {
        match why {
            NoSuchPath::DotSegment => Self::not_found("the path has a segment that is . or .."),
            NoSuchPath::TooLong => Self::invalid_request(
                "the path and the query are longer than any upstream is asked for",
            ),
            NoSuchPath::Malformed => {
                Self::invalid_request("the path or the query has what can't stand in one")
            }
        }
    }

    /// For a method that a path does not have; `allow` lists those it has.
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let detail = format!("this path takes {allow} only");
        let mut problem = Self::new(Code::MethodNotAllowed, detail);
        problem.0.allow = Some(allow);
        problem
    }

    /// For a Content-Type that is not taken.
    pub fn unsupported_media_type(detail: &'static str) -> Self {
        Self::new(Code::UnsupportedMediaType, detail)
    }

    /// For a `Content-Encoding`, which is none that is taken.
    pub fn unsupported_encoding(encoding: &str) -> Self {
        let detail = format!("Content-Encoding {encoding} is not taken; send the job uncompressed");
        let mut problem = Self::new(Code::UnsupportedMediaType, detail);
        problem.0.accept_encoding = Some("identity");
        problem
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

    /// For a parameter of a job for later that breaks its rule.
    pub fn invalid_parameter(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidParameter, detail)
    }

    /// For a key that came with another job before.
    pub fn idempotency_key_reused() -> Self {
        Self::new(
            Code::IdempotencyKeyReused,
            "the Idempotency-Key came with another body or stream before; give each job a key of \
             its own",
        )
    }

    /// For a handle of no record.
    pub fn job_unknown() -> Self {
        let detail = "there is no job of this handle: it never was, has expired, or was deleted";
        let mut problem = Self::new(Code::JobUnknown, detail);
        problem.0.dispatched = None;
        problem
    }

    /// For a job for which there is no room in the store until then, in seconds.
    pub fn store_full(retry_after: u64) -> Self {
        Self::new(
            Code::StoreFull,
            "as many jobs for later are kept as may be (later.max_jobs, later.max_bytes); nothing \
             was sent: delete answers that were fetched, or try again after the time in Retry-After",
        )
        .retry_after(retry_after)
    }

    /// For what is asked of a store that is away, about a job or not.
    pub fn store_unavailable() -> Self {
        let detail = "the store of jobs for later is not available; try again after the time in \
                      Retry-After";
        let mut problem = Self::new(Code::StoreUnavailable, detail);
        problem.0.dispatched = None;
        problem.retry_after(STORE_RETRY_AFTER)
    }

    /// For a job that a process had sent which ended before its answer was kept, and that
    /// must not be sent twice.
    pub fn interrupted() -> Self {
        Self::new(
            Code::Interrupted,
            "the proxy ended while the upstream had the job, and it is not sent again since that \
             may do harm: it may have been done, look there before handing it in again (where \
             jobs may be done twice, set upstream.idempotent)",
        )
        .dispatched(Dispatched::Unknown)
    }

    /// For a job that several processes had sent which ended before its answer was kept.
    pub fn attempts_exhausted() -> Self {
        Self::new(
            Code::AttemptsExhausted,
            "the proxy ended while the upstream had the job, as often as it is sent again \
             (later.max_attempts): it may have been done, and it may be what ends the proxy",
        )
        .dispatched(Dispatched::Unknown)
    }

    /// For a kept job that is none by the settings that its route has since.
    pub fn no_job_any_more(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidJob, detail)
    }

    /// For a kept job that can't be read.
    pub fn unreadable_kept(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Internal, detail)
    }

    /// For what the proxy got wrong itself.
    pub fn internal() -> Self {
        let detail = "the proxy made a mistake; its log says more";
        let mut problem = Self::new(Code::Internal, detail);
        problem.0.dispatched = Some(Dispatched::Unknown);
        problem
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The problem's code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The same problem, of the job with this id, if it has one.
    #[must_use]
    pub fn of<'a>(mut self, id: impl Into<Option<&'a JobId>>) -> Self {
        self.0.id = id.into().cloned();
        self
    }

    /// The same problem, in this batch.
    #[must_use]
    pub fn in_batch(mut self, id: Uuid) -> Self {
        self.0.batch_id = Some(id);
        self
    }

    /// The same problem, of a job that the upstream saw so much of before. What was
    /// not sent this time may have been done an earlier time.
    #[must_use]
    pub fn after(mut self, earlier: Dispatched) -> Self {
        if earlier == Dispatched::No || self.0.dispatched != Some(Dispatched::No) {
            return self;
        }
        let detail = match self.0.code {
            Code::CircuitOpen => "the upstream has failed several times in a row since",
            Code::UpstreamConnectTimeout => "connecting to it again took too long",
            _ => "it could not be reached again",
        };
        self.0.detail =
            format!("the upstream had the job once, and may have done it; {detail}").into();
        self.dispatched(earlier)
    }

    /// The same problem, where doing a job twice does no harm.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.0.retryable |= matches!(self.0.status.as_u16(), 502..=504);
        self
    }

    fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    fn dispatched(mut self, dispatched: Dispatched) -> Self {
        self.0.dispatched = Some(dispatched);
        // What may have been done once must not be asked for twice, unless the
        // upstream itself said that it was not done.
        self.0.retryable &= dispatched == Dispatched::No || self.0.code == Code::UpstreamOverloaded;
        self
    }

    fn upstream_status(mut self, status: u16) -> Self {
        self.0.upstream_status = Some(status);
        self
    }
}

impl Problem {
    /// Status, headers and body of its answer.
    pub fn into_parts(self) -> (StatusCode, HeaderMap, Bytes) {
        let json = HeaderValue::from_static("application/problem+json");
        (self.0.status, self.headers(json), self.document().into())
    }

    /// The same, in the form that the callers of a shape understand.
    pub fn into_form(self, shape: &Shape) -> (StatusCode, HeaderMap, Bytes) {
        let document = self.document();
        let id = self.0.id.as_ref().map(JobId::written);
        let body = shape.problem(shape::Problem {
            detail: &self.0.detail,
            code: self.0.code.as_str(),
            status: self.0.status.as_u16(),
            id: id.as_deref().map(str::as_bytes),
            document: &document,
        });
        let status = shape.problem_status();
        let status = status.and_then(|it| StatusCode::from_u16(it).ok());
        let status = status.unwrap_or(self.0.status);
        let (content_type, body) = match body {
            Some(body) => ("application/json", body),
            None => ("application/problem+json", document.into()),
        };
        let content_type = HeaderValue::from_static(content_type);
        (status, self.headers(content_type), body)
    }

    fn document(&self) -> Vec<u8> {
        let document = Document {
            r#type: format!("urn:microbatch:problem:{}", self.0.code),
            title: status::title(self.0.code),
            status: self.0.status.as_u16(),
            detail: &self.0.detail,
            code: self.0.code.as_str(),
            id: self.0.id.as_ref(),
            dispatched: self.0.dispatched.map(|dispatched| match dispatched {
                Dispatched::No => "no",
                Dispatched::Unknown => "unknown",
                Dispatched::Yes => "yes",
            }),
            retryable: self.0.retryable,
            batch_id: self.0.batch_id,
            upstream_status: self.0.upstream_status,
            pointer: self.0.pointer,
        };
        // A struct of strings and numbers always serializes.
        serde_json::to_vec(&document).unwrap_or_default()
    }

    fn headers(&self, content_type: HeaderValue) -> HeaderMap {
        let mut headers = HeaderMap::new();
        nosniff(&mut headers);
        headers.insert(CONTENT_TYPE, content_type);
        if let Some(seconds) = self.0.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = self.0.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(encodings) = self.0.accept_encoding {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(encodings));
        }
        if self.0.code == Code::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.0.code == Code::ShuttingDown {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        headers
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, headers, body) = self.into_parts();
        (status, headers, Body::from(body)).into_response()
    }
}

#[cfg(test)]
mod tests;
