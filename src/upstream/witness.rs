//! A request body that knows whether anybody has asked for it.
//!
//! Each call has one. It promises: while [`Sent::get`] is false, no byte of the
//! body has left this process, whatever the error, and also where there is none,
//! as when our own time is up. That is a proof by construction, without a look
//! into any library. The reverse does not hold: a body that was asked for may
//! still not have been sent.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// Whether a call's body may have been sent. Clones speak of the same call.
#[derive(Clone, Debug, Default)]
pub struct Sent(Arc<AtomicBool>);

impl Sent {
    /// Says that the body may be sent from here on.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// True from when the HTTP library first asks for the body, which it does
    /// once it has a connection.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// One chunk, announced by its exact length.
pub(super) struct Witness {
    bytes: Option<Bytes>,
    sent: Sent,
}

impl Witness {
    pub(super) fn body(bytes: Bytes, sent: Sent) -> reqwest::Body {
        let bytes = Some(bytes);
        reqwest::Body::wrap(Self { bytes, sent })
    }
}

impl Body for Witness {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.sent.set();
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
