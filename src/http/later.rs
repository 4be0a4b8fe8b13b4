//! Answers fetched later, as a resource: `/jobs/<handle>` and `/streams/<name>`.
//!
//! | file | what it is |
//! |---|---|
//! | `for_later` | a job that is posted with `Prefer: respond-async` |
//! | `record` | a record as an answer |
//! | `events` | a stream as the body of an answer |
//! | `format`, `line` | one event as text |
//! | `last_event_id` | where a listener was |
//! | `found`, `lane`, `claiming` | where those jobs wait: as they are submitted to the route that a request has found, to that which there is, and as they are claimed |
//! | `reading` | a job that is read again |
//! | `owed`, `queued` | an answer that such a job is to be given; how it is withdrawn |
//! | `owner` | whose it is, where tokens let in |
//! | `frame_key` | what tells which of them may share a batch |

mod claiming;
mod events;
mod for_later;
mod format;
mod found;
mod frame_key;
mod lane;
mod last_event_id;
mod line;
mod owed;
mod owner;
mod queued;
mod reading;
mod record;

pub(super) use for_later::{ForLater, IDEMPOTENCY_KEY, without_stream};
pub use lane::Lane;
pub(super) use owner::Owner;

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body as _;
use percent_encoding::percent_decode_str;
use tokio::time::Instant;
use tracing::trace;

use self::events::{Events, EventsBody};
use self::format::Format;
use self::last_event_id::LastEventId;
use super::answer_body::AnswerBody;
use super::context::Jobs;
use super::nosniff::nosniff;
use super::noted::{Way, note};
use super::prefer::Preferences;
use super::problem::Problem;
use super::refusal::refuse_elsewhere;
use super::sender::Senders;
use crate::job::Handle;
use crate::later::record::{Record, StreamName};
use crate::later::{FetchError, Later, Look};

/// Where records are.
const RECORDS: &str = "/jobs/";

/// `Allow` of a record and of a stream.
const RECORD: &str = "GET, HEAD, DELETE";
const STREAM: &str = "GET, HEAD";

/// What a request is for that is no job, without the request.
pub(super) struct Resource {
    later: Later,
    method: Method,
    owner: Owner,
    at: At,
}

enum At {
    /// `None` where the path has no handle.
    Record {
        handle: Option<Handle>,
        wait: Option<Duration>,
    },
    Stream {
        name: Result<StreamName, Problem>,
        format: Format,
        after: LastEventId,
    },
}

impl Resource {
    /// What the request is for, if it is one of those here and there are any.
    pub fn of<B>(jobs: &Jobs, request: &Request<B>, owner: Owner) -> Option<Self> {
        let later = jobs.later.clone()?;
        let (path, headers) = (request.uri().path(), request.headers());
        let at = if let Some(handle) = segment(path, RECORDS) {
            let handle = percent_decode_str(handle).decode_utf8().ok();
            At::Record {
                handle: handle
                    .and_then(|handle| handle.parse().ok())
                    .map(|handle| owner.handle(handle)),
                wait: Preferences::of(headers).wait,
            }
        } else {
            let name = segment(path, "/streams/")?;
            At::Stream {
                name: StreamName::new(&percent_decode_str(name).decode_utf8_lossy())
                    .and_then(|name| owner.stream(name))
                    .map_err(Problem::from),
                format: Format::accepted_by(headers),
                after: LastEventId::of(headers),
            }
        };
        let method = request.method().clone();
        Some(Self {
            later,
            method,
            owner,
            at,
        })
    }

    /// Answers the request, which came over the connection of these.
    pub async fn answer(self, senders: &Senders) -> Response<AnswerBody> {
        note(|it| it.way = Some(Way::Later));
        let jobs = senders.jobs();
        let Self {
            later,
            method,
            owner,
            at,
        } = self;
        let is_head = method == Method::HEAD;
        let reads = is_head || method == Method::GET;
        let answer = match at {
            At::Record { handle, wait } => {
                let handle = handle.ok_or(FetchError::Unknown);
                let look = match is_head {
                    true => Look::ForState,
                    false => Look::ForAnswer,
                };
                match handle {
                    Ok(handle) if reads => match wait.filter(|wait| !wait.is_zero()) {
                        Some(wait) => {
                            let _occupied = senders.occupied();
                            let until = Instant::now() + wait.min(jobs.request_timeout);
                            let record = later.fetch_finished(handle, look, until).await;
                            fetched(jobs, owner, record)
                        }
                        None => fetched(jobs, owner, later.fetch(handle, look).await),
                    },
                    Ok(handle) if method == Method::DELETE => delete(&later, handle).await,
                    Err(unknown) if reads || method == Method::DELETE => {
                        Err(Problem::from(unknown))
                    }
                    _ => Err(Problem::method_not_allowed(RECORD)),
                }
            }
            At::Stream { .. } if !reads => Err(Problem::method_not_allowed(STREAM)),
            At::Stream {
                name,
                format,
                after,
            } => match name {
                Ok(_) if is_head => Ok(stream(format, Body::empty())),
                Ok(name) => {
                    let events = Events::begin(&later, owner, name, format, after).await;
                    let occupied = || senders.occupied();
                    let body = |it| Body::new(EventsBody::new(it, &jobs.buffered, occupied()));
                    events.map(|it| stream(format, body(it)))
                }
                Err(problem) => Err(problem),
            },
        };
        let answer = answer.unwrap_or_else(|problem| refuse_elsewhere(&jobs.routes, problem));
        match is_head {
            true => without_body(answer),
            false => answer,
        }
    }
}

/// Whether it may be the path of a job for later, or one that was meant to be.
pub(super) fn names_record(path: &str) -> bool {
    path.strip_prefix(RECORDS).is_some_and(|it| !it.is_empty())
}

/// The one segment that follows in the path.
fn segment<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let segment = path.strip_prefix(prefix)?;
    (!segment.is_empty() && !segment.contains('/')).then_some(segment)
}

fn fetched(
    jobs: &Jobs,
    owner: Owner,
    record: Result<Record, FetchError>,
) -> Result<Response<AnswerBody>, Problem> {
    Ok(record::fetched(&owner.shown(record?), jobs))
}

async fn delete(later: &Later, handle: Handle) -> Result<Response<AnswerBody>, Problem> {
    let state = later.delete(handle).await?;
    trace!(?handle, state = state.as_str(), "job for later deleted");
    let mut headers = HeaderMap::new();
    nosniff(&mut headers);
    Ok(answer(StatusCode::NO_CONTENT, headers, Body::empty()))
}

/// A stream's head, with this body.
fn stream(format: Format, body: Body) -> Response<AnswerBody> {
    let mut headers = HeaderMap::new();
    let content_type = HeaderValue::from_static(format.content_type());
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    nosniff(&mut headers);
    answer(StatusCode::OK, headers, body)
}

fn answer(status: StatusCode, headers: HeaderMap, body: Body) -> Response<AnswerBody> {
    let mut answer = Response::new(AnswerBody::from(body));
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}

/// The same answer to `HEAD`, which tells how long the body is (RFC 9110, 9.3.2).
fn without_body(mut answer: Response<AnswerBody>) -> Response<AnswerBody> {
    let length = answer.body().size_hint().exact();
    let length = length.filter(|_| answer.status() != StatusCode::NO_CONTENT);
    // A stream's is not known, and its body is empty here.
    if let Some(length) = length.filter(|&length| length > 0) {
        let headers = answer.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    *answer.body_mut() = AnswerBody::from(Body::empty());
    answer
}
