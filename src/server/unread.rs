//! A request's body, and what becomes of one that was answered before it was read.
//!
//! On HTTP/1 its connection goes on if the rest of it is at hand ([`Refused`]); on
//! HTTP/2 it is read on in the background ([`discard`]), within bounds, since the
//! library would reset the stream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::linger;
use super::progress::Progress;
use super::task::quietly;

/// The most that is read of a refused request to go on with its connection.
const AT_HAND: usize = 64 * 1024;

/// The body of a request, which is missed if it is dropped before its end.
#[derive(Debug)]
pub struct RequestBody {
    /// Until its end.
    body: Option<Incoming>,
    progress: Arc<Progress>,
}

impl RequestBody {
    /// None where all of it came with the head: there is nothing to miss then.
    pub(super) fn new(body: Option<Incoming>, progress: Arc<Progress>) -> Self {
        Self { body, progress }
    }

    fn ended(&mut self) {
        self.body = None;
        self.progress.body_done();
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            self.progress.unread(body);
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        let mut poll = || Pin::new(&mut *body).poll_frame(context);
        // A stream of HTTP/2 has a task of its own, which does wake its connection's.
        let (polled, woken) = match this.progress.multiplexed.is_set() {
            true => (poll(), false),
            false => quietly(&this.progress.task, poll),
        };
        let ended = match &polled {
            Poll::Ready(Some(Ok(_))) => body.is_end_stream(),
            Poll::Ready(_) => true,
            Poll::Pending => false,
        };
        if let Poll::Ready(Some(Err(_))) = &polled {
            this.progress.broken.set(true);
        }
        if ended {
            this.ended();
        } else if woken {
            this.progress.task.wake();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

/// An answer to a request that was not read to its end.
pub(super) struct Refused<R> {
    response: Option<R>,
    body: Incoming,
    /// How much may still be read.
    rest: usize,
    /// There was nothing to read the last time.
    waited: bool,
}

impl<R> Refused<R> {
    pub fn new(response: R, body: Incoming) -> Self {
        Self {
            response: Some(response),
            body,
            rest: AT_HAND,
            waited: false,
        }
    }

    /// The answer, once what is there of the rest is read; with whether that was all.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<(R, bool)> {
        let whole = ready!(self.poll_rest(context));
        match self.response.take() {
            Some(response) => Poll::Ready((response, whole)),
            None => Poll::Pending,
        }
    }

    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        loop {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(None) => return Poll::Ready(true),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                Poll::Ready(Some(Ok(frame))) => {
                    self.waited = false;
                    let length = frame.data_ref().map_or(0, Bytes::len);
                    match self.rest.checked_sub(length) {
                        Some(rest) => self.rest = rest,
                        None => return Poll::Ready(false),
                    }
                }
                Poll::Pending if self.waited => return Poll::Ready(false),
                Poll::Pending => {
                    // The library reads when it is asked to, and that only now:
                    // what is there is here the next time.
                    self.waited = true;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
    }
}

/// Reads a body to its end, within the bounds of lingering.
pub(super) async fn discard(mut body: Incoming, max_body: usize) {
    let mut rest = linger::bytes(max_body);
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match rest.checked_sub(length) {
                Some(less) => rest = less,
                None => return,
            }
        }
    };
    let _ = timeout(linger::TIME, reading).await;
}
