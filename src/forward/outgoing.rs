//! The body of a request on its way to the upstream.
//!
//! It is read when the upstream's connection has room for the next piece, and notes whose
//! turn that makes it. Where the caller would rather be asked first (`Expect:
//! 100-continue`), it is not read until the upstream asks: so the caller is asked when the
//! upstream does, and an upstream that refuses is not sent a body.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::EXPECT;
use http::{HeaderMap, Request, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::timeout;

use super::turns::Turns;

/// How long the upstream is waited for to ask: there are those that never do (RFC 9110,
/// section 10.1.1).
const ASKS_WITHIN: Duration = Duration::from_secs(1);

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What is known of a body, wherever it is.
#[derive(Debug)]
pub(super) struct Notes {
    pub turns: Turns,
    broke: AtomicBool,
    asked: watch::Sender<Asked>,
}

/// Whether the upstream has asked for the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    NotYet,
    Yes,
    /// It has answered instead.
    Never,
}

/// The upstream has answered without asking for the body.
#[derive(Debug, Error)]
#[error("the body was not asked for")]
struct NotAsked;

/// See the module.
pub(super) struct Outgoing {
    body: UnsyncBoxBody<Bytes, BoxError>,
    notes: Arc<Notes>,
    /// Resolves with whether it may go on.
    asking: Option<Pin<Box<dyn Future<Output = bool> + Send>>>,
}

impl Notes {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            turns: Turns::new(),
            broke: AtomicBool::new(false),
            asked: watch::Sender::new(Asked::NotYet),
        })
    }

    /// Whether the body broke off at its caller's.
    pub fn broke(&self) -> bool {
        self.broke.load(Ordering::Relaxed)
    }

    /// The head of an answer is there: what was not asked for is not any more.
    pub fn answered(&self) {
        self.asked.send_if_modified(|asked| {
            let waits = *asked == Asked::NotYet;
            if waits {
                *asked = Asked::Never;
            }
            waits
        });
    }
}

impl Outgoing {
    /// The body of a request with these headers.
    pub fn new<B>(headers: &HeaderMap, body: B, notes: &Arc<Notes>) -> Self
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let waits = expects(headers) && !body.is_end_stream();
        Self {
            body: body.map_err(Into::into).boxed_unsync(),
            notes: Arc::clone(notes),
            asking: waits.then(|| {
                let asked = notes.asked.subscribe();
                Box::pin(may_go_on(asked)) as Pin<Box<dyn Future<Output = bool> + Send>>
            }),
        }
    }

    /// Has the request tell when the upstream asks for its body.
    pub fn heed(request: &mut Request<Self>) {
        if request.body().asking.is_none() {
            return;
        }
        let notes = Arc::clone(&request.body().notes);
        hyper::ext::on_informational(request, move |interim| {
            if interim.status() == StatusCode::CONTINUE {
                notes.asked.send_replace(Asked::Yes);
            }
        });
    }
}

/// Of a piece, or of what is none.
fn length(given: Option<&Result<Frame<Bytes>, BoxError>>) -> usize {
    let piece = given.and_then(|it| it.as_ref().ok()?.data_ref());
    piece.map_or(0, Bytes::len)
}

fn expects(headers: &HeaderMap) -> bool {
    let expected = headers.get(EXPECT).map(|it| it.as_bytes());
    expected.is_some_and(|it| it.eq_ignore_ascii_case(b"100-continue"))
}

async fn may_go_on(mut asked: watch::Receiver<Asked>) -> bool {
    let asked = timeout(ASKS_WITHIN, asked.wait_for(|it| *it != Asked::NotYet));
    !matches!(asked.await, Ok(Ok(asked)) if *asked == Asked::Never)
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Some(asking) = &mut this.asking {
            let may_go_on = ready!(asking.as_mut().poll(context));
            this.asking = None;
            if !may_go_on {
                return Poll::Ready(Some(Err(NotAsked.into())));
            }
        }
        let polled = Pin::new(&mut this.body).poll_frame(context);
        match &polled {
            Poll::Pending => this.notes.turns.awaits_caller(),
            Poll::Ready(Some(Err(_))) => this.notes.broke.store(true, Ordering::Relaxed),
            Poll::Ready(given) => this.notes.turns.gave(length(given.as_ref())),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
