//! The access log: a line of JSON for each call, once it is answered or its caller has
//! departed. It has nothing of a body, nor of a query, nor the address of a job for later.
//!
//! The listener makes an [`Entry`] of a request, and has the answer made within it. An
//! answer whose length is not known, a stream, is told at its end.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{Request, StatusCode, Version};
use bytes::Bytes;
use http_body::{Body as _, Frame};
use humantime::format_rfc3339_micros;
use serde::Serialize;
use tokio::time::Instant;

use super::answer::Answer;
use super::answer_body::AnswerBody;
use super::headers::trace_context;
use super::later::names_record;
use super::noted::{Noted, Shared, Way, WriteLine};
use super::paths::HEALTHZ;
use crate::code::Code;
use crate::job_id::JobId;

/// The most of a path that is told, in bytes.
const LONGEST_PATH: usize = 1_024;

/// What stands for the path of a job for later: whoever knows its handle may read its
/// answer.
const RECORD: &str = "/jobs/{handle}";

/// A request until it is told of.
pub(super) struct Entry(Box<Begun>);

struct Begun {
    write: WriteLine,
    arrived: Instant,
    method: Box<str>,
    path: Box<str>,
    version: &'static str,
    trace: Option<Box<str>>,
    length: Option<u64>,
    shared: Shared,
    /// Once there is an answer.
    status: Option<StatusCode>,
    bytes_out: Option<u64>,
    /// Whether the connection has taken all of the answer.
    complete: bool,
}

impl Entry {
    /// That of a request which is a caller's; whether the process lives is none.
    pub fn of<B>(write: WriteLine, request: &Request<B>) -> Option<Self> {
        let (headers, path) = (request.headers(), request.uri().path());
        if path == HEALTHZ {
            return None;
        }
        let length = headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok());
        let trace = trace_context(headers);
        Some(Self(Box::new(Begun {
            write,
            arrived: Instant::now(),
            method: request.method().as_str().into(),
            path: match names_record(path) {
                true => RECORD.into(),
                false => cut(path).into(),
            },
            version: match request.version() {
                Version::HTTP_2 => "2",
                Version::HTTP_10 => "1.0",
                _ => "1.1",
            },
            trace: trace.map(|it| it.to_string()[TRACE_ID].into()),
            length: length.and_then(|it| it.parse().ok()),
            shared: Shared::default(),
            status: None,
            bytes_out: None,
            complete: false,
        })))
    }

    /// The answer that `make` makes, told of when it is there.
    pub fn log(self, make: impl FnOnce() -> Answer) -> Answer {
        let shared = self.0.shared.clone();
        let answer = shared.during(make);
        let answer = shared.during_all(answer);
        Answer::making(async move {
            let mut entry = self;
            let answer = answer.await;
            entry.0.status = Some(answer.status());
            let length = answer.body().size_hint().exact();
            if let Some(length) = length {
                entry.0.bytes_out = Some(length);
                entry.0.complete = true;
                return answer;
            }
            let counted = |body| Counted {
                body,
                bytes: 0,
                entry,
            };
            answer.map(|body| AnswerBody::from(Body::new(counted(body))))
        })
    }
}

/// Where the id of a trace is in a `traceparent`.
const TRACE_ID: std::ops::Range<usize> = 3..35;

impl Drop for Entry {
    fn drop(&mut self) {
        let begun = &*self.0;
        let noted = begun.shared.noted();
        // A struct of strings and numbers always serializes.
        if let Ok(line) = serde_json::to_vec(&Line::of(begun, &noted)) {
            (begun.write)(&line);
        }
    }
}

/// A body of unknown length, counted until it ends or is given up.
struct Counted {
    body: AnswerBody,
    bytes: u64,
    entry: Entry,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                this.bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
                this.entry.0.complete = this.body.is_end_stream();
            }
            Poll::Ready(None) => this.entry.0.complete = true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        this.entry.0.bytes_out = Some(this.bytes);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// A line, in the order of its members.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    method: &'a str,
    path: &'a str,
    http: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Clone::clone")]
    complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    way: Option<Way>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a JobId>,
    duration_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_id: Option<uuid::Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_size: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_in: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_out: Option<u64>,
}

impl<'a> Line<'a> {
    fn of(begun: &'a Begun, noted: &'a Noted) -> Self {
        let batch = noted.batch;
        Self {
            time: format_rfc3339_micros(SystemTime::now()).to_string(),
            method: &begun.method,
            path: &begun.path,
            http: begun.version,
            status: begun.status.map(|it| it.as_u16()),
            code: noted.code.map(Code::as_str),
            complete: begun.complete,
            route: noted.route.as_ref().map(|it| it.as_str()),
            way: noted.way,
            id: noted.id.as_ref(),
            duration_ms: ms(begun.arrived.elapsed()),
            queue_ms: batch.map(|it| ms(it.queued)),
            upstream_ms: batch.map(|it| ms(it.upstream)),
            batch_id: batch.map(|it| it.id),
            batch_size: batch.map(|it| it.size),
            token: noted.token.as_ref().map(|it| it.as_str()),
            trace_id: begun.trace.as_deref(),
            bytes_in: noted.bytes.map(|it| it as u64).or(begun.length),
            bytes_out: begun.bytes_out,
        }
    }
}

/// Milliseconds to the microsecond; more digits are noise.
fn ms(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

/// As much of a path as a line has room for.
fn cut(path: &str) -> &str {
    let longest = path.len().min(LONGEST_PATH);
    let end = (0..=longest).rev().find(|&it| path.is_char_boundary(it));
    &path[..end.unwrap_or_default()]
}
