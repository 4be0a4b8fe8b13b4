//! A stream as the body of an answer, in server-sent events or in lines.
//!
//! It is pulled: nothing is read from the stream before the connection has taken what
//! was read before, so a listener holds one event at most.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, HeaderName};
use bytes::Bytes;
use http_body::Frame;
use tokio::time::{sleep, timeout};

use super::super::answer_body::AnswerBody;
use super::super::buffered::Buffered;
use super::line::line;
use crate::aside::{LARGE, aside};
use crate::batcher::Occupied;
use crate::later::record::{Record, StreamName};
use crate::later::store::Position;
use crate::later::{Heard, Later, Listener};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// How often something is said where nothing happens, so that whoever is between keeps
/// the connection open.
const COMMENT_EVERY: Duration = Duration::from_secs(15);

/// When a store that was away is asked again.
const ASK_STORE_AGAIN: Duration = Duration::from_secs(1);

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Server-sent events (HTML Living Standard, section 9.2).
    ServerSentEvents,
    /// A line of JSON each.
    NdJson,
}

impl Format {
    /// Lines where they are asked for by name, and else events.
    pub fn accepted_by(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(ACCEPT).iter();
        let accepted = accepted.filter_map(|value| value.to_str().ok());
        let mut ranges = accepted.flat_map(|value| value.split(','));
        let lines = ranges.any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let named = parts.next().unwrap_or_default();
            let refused = |part: &str| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000");
            named.eq_ignore_ascii_case("application/x-ndjson") && !parts.any(refused)
        });
        match lines {
            true => Self::NdJson,
            false => Self::ServerSentEvents,
        }
    }

    /// `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::ServerSentEvents => "text/event-stream",
            Self::NdJson => "application/x-ndjson",
        }
    }

    /// That answers have expired which were to be told.
    fn gap(self) -> &'static str {
        match self {
            // Without data it would be no event.
            Self::ServerSentEvents => "event: gap\ndata:\n\n",
            Self::NdJson => "{\"gap\":true}\n",
        }
    }

    /// What says nothing.
    fn comment(self) -> &'static str {
        match self {
            Self::ServerSentEvents => ":\n\n",
            Self::NdJson => "\n",
        }
    }

    /// A finished record; `None` for one that is not.
    fn finished(self, position: Position, record: &Record) -> Option<Bytes> {
        let line = line(record)?;
        let (head, end) = match self {
            Self::ServerSentEvents => {
                let state = record.state.as_str();
                (format!("id: {position}\nevent: {state}\ndata: "), "\n\n")
            }
            Self::NdJson => (String::new(), "\n"),
        };
        Some([head.as_bytes(), &line, end.as_bytes()].concat().into())
    }
}

/// Where a listener was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastEventId {
    /// It has heard nothing.
    None,
    /// It has heard up to this.
    After(Position),
    /// It says so in words that are none of ours.
    Unreadable,
}

impl LastEventId {
    /// What the request says.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut ids = headers.get_all(LAST_EVENT_ID).iter();
        let Some(id) = ids.next() else {
            return Self::None;
        };
        let digits = id.to_str().ok();
        let digits = digits.filter(|it| it.bytes().all(|byte| byte.is_ascii_digit()));
        match digits.and_then(|it| it.parse().ok()) {
            Some(position) if ids.next().is_none() => Self::After(position),
            _ => Self::Unreadable,
        }
    }
}

/// The events of a stream from some point on, as text.
pub(super) struct Events {
    listener: Listener,
    format: Format,
    /// A gap is to be told before all else.
    gap: bool,
}

impl Events {
    pub fn new(later: &Later, stream: StreamName, format: Format, last: LastEventId) -> Self {
        let after = match last {
            LastEventId::After(position) => Some(position),
            LastEventId::None | LastEventId::Unreadable => None,
        };
        Self {
            listener: later.listen(stream, after),
            format,
            gap: last == LastEventId::Unreadable,
        }
    }

    /// The next, or after a while without one a comment; `None` at the end.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        let text = self.text().await?;
        Some((text, self))
    }

    async fn text(&mut self) -> Option<Bytes> {
        let format = self.format;
        if std::mem::take(&mut self.gap) {
            return Some(Bytes::from_static(format.gap().as_bytes()));
        }
        loop {
            let Ok(heard) = timeout(COMMENT_EVERY, self.listener.next()).await else {
                return Some(Bytes::from_static(format.comment().as_bytes()));
            };
            match heard {
                Ok(None) => return None,
                Ok(Some(Heard::Gap)) => {
                    return Some(Bytes::from_static(format.gap().as_bytes()));
                }
                Ok(Some(Heard::Finished(position, record))) => {
                    let size = record.answer.as_ref().map_or(0, |it| it.body().len());
                    let write = move || format.finished(position, &record);
                    let text = match size {
                        ..LARGE => write(),
                        _ => aside(write).await,
                    };
                    if text.is_some() {
                        return text;
                    }
                }
                Err(_) => sleep(ASK_STORE_AGAIN).await,
            }
        }
    }
}

type Next = Pin<Box<dyn Future<Output = Option<(Bytes, Events)>> + Send>>;

/// Events as a body. What the connection has not taken is charged to the account.
pub(super) struct EventsBody {
    account: Arc<Buffered>,
    /// What is left of the last event.
    current: Option<AnswerBody>,
    /// Until the end.
    next: Option<Next>,
    /// Nobody waits for a job of whoever listens.
    _occupied: Occupied,
}

impl EventsBody {
    pub fn new(events: Events, account: &Arc<Buffered>, occupied: Occupied) -> Self {
        Self {
            account: Arc::clone(account),
            current: None,
            next: Some(Box::pin(events.next())),
            _occupied: occupied,
        }
    }
}

impl http_body::Body for EventsBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        loop {
            if let Some(current) = &mut this.current
                && let Some(piece) = ready!(Pin::new(current).poll_frame(context))
            {
                return Poll::Ready(Some(piece));
            }
            // The connection has taken all of it.
            this.current = None;
            let Some(next) = &mut this.next else {
                return Poll::Ready(None);
            };
            this.next = match ready!(next.as_mut().poll(context)) {
                Some((text, events)) => {
                    let charge = this.account.charge(text.len());
                    this.current = Some(AnswerBody::result(text, charge));
                    Some(Box::pin(events.next()))
                }
                None => None,
            };
        }
    }
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
