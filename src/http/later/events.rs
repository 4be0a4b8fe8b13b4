//! A stream as the body of an answer, in server-sent events or in lines.
//!
//! It is pulled: an answer is read from the store when the connection has taken the event
//! before, so a listener holds one event at most.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use tokio::time::{sleep, timeout};

use super::super::answer_body::AnswerBody;
use super::super::buffered::Buffered;
use super::super::problem::Problem;
use super::super::sender::Occupied;
use super::format::Format;
use super::last_event_id::LastEventId;
use super::owner::Owner;
use crate::aside::{LARGE, aside};
use crate::later::record::StreamName;
use crate::later::{FetchError, Heard, Later, Listener};

/// How often something is said where nothing happens, so that whoever is between keeps
/// the connection open.
const COMMENT_EVERY: Duration = Duration::from_secs(15);

/// When a store that was away is asked again.
const ASK_STORE_AGAIN: Duration = Duration::from_secs(1);

/// The events of a stream from some point on, as text.
pub(super) struct Events {
    listener: Listener,
    /// Whose records they are of.
    owner: Owner,
    format: Format,
    /// A gap is to be told before all else.
    gap: bool,
}

impl Events {
    /// Begins to listen, once the store was seen to be there. That it goes away later ends
    /// nothing.
    ///
    /// # Errors
    /// Where it is away.
    pub async fn begin(
        later: &Later,
        owner: Owner,
        stream: StreamName,
        format: Format,
        last: LastEventId,
    ) -> Result<Self, Problem> {
        let after = match last {
            LastEventId::After(position) => Some(position),
            LastEventId::None | LastEventId::Unreadable => None,
        };
        let listener = later.listen(stream, after);
        listener.look().await.map_err(FetchError::from)?;
        Ok(Self {
            listener,
            owner,
            format,
            gap: last == LastEventId::Unreadable,
        })
    }

    /// The next, or after a while without one a comment; `None` at the end.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        let text = self.text().await?;
        Some((text, self))
    }

    async fn text(&mut self) -> Option<Bytes> {
        let (format, owner) = (self.format, self.owner);
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
                    let write = move || format.finished(position, &owner.shown(*record));
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
