//! A request body that knows whether anybody has asked for it.
//!
//! Each call has one. It promises: while [`Sent::get`] is false, no byte of the
//! body has left this process, whatever the error, and once [`Sent::withdraw`] has
//! succeeded none will, even where the request is still on its way to a
//! connection's task. That is a proof by construction, without a look into any
//! library. The reverse does not hold: a body that was asked for may still not
//! have been sent.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use thiserror::Error;

const UNASKED: u8 = 0;
const ASKED: u8 = 1;
const WITHDRAWN: u8 = 2;

/// Whether a call's body may have been sent. Clones speak of the same call.
#[derive(Clone, Debug, Default)]
pub struct Sent(Arc<AtomicU8>);

impl Sent {
    /// True from when the HTTP library first asks for the body, which it does
    /// once it has a connection, unless the connection proves that nothing was
    /// written.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Acquire) == ASKED
    }

    /// Asks for the body, which may be sent from here on; false if it was
    /// withdrawn.
    pub fn ask(&self) -> bool {
        self.settle(ASKED) == ASKED
    }

    /// Makes sure that the body is not sent from here on; false if it may have
    /// been.
    pub fn withdraw(&self) -> bool {
        self.settle(WITHDRAWN) == WITHDRAWN
    }

    /// What was asked for has provably not left this process, nor will: it counts
    /// as if nobody had asked.
    pub(super) fn take_back(&self) {
        // A call has one attempt at a time to ask for it; this is its last word.
        let _ = self
            .0
            .compare_exchange(ASKED, UNASKED, Ordering::AcqRel, Ordering::Acquire);
    }

    /// The first to settle it decides; returns what it was or is settled to.
    fn settle(&self, to: u8) -> u8 {
        self.0
            .compare_exchange(UNASKED, to, Ordering::AcqRel, Ordering::Acquire)
            .map_or_else(|settled| settled, |_| to)
    }
}

/// The body was asked for when its call had already failed.
#[derive(Debug, Error)]
#[error("the call is over")]
pub(super) struct Withdrawn;

/// Some pieces, announced by their exact length.
pub(super) struct Witness {
    pieces: std::vec::IntoIter<Bytes>,
    /// The bytes of those that are left.
    left: usize,
    sent: Sent,
}

impl Witness {
    pub(super) fn new(pieces: Vec<Bytes>, sent: Sent) -> Self {
        Self {
            left: pieces.iter().map(Bytes::len).sum(),
            pieces: pieces.into_iter(),
            sent,
        }
    }
}

impl Body for Witness {
    type Data = Bytes;
    type Error = Withdrawn;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Withdrawn>>> {
        if !self.sent.ask() {
            return Poll::Ready(Some(Err(Withdrawn)));
        }
        let piece = self.pieces.next();
        self.left -= piece.as_ref().map_or(0, Bytes::len);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn asked_for(sent: &Sent) -> bool {
        let pieces = vec![Bytes::from_static(b"[]")];
        let mut witness = Witness::new(pieces, sent.clone());
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(Some(frame)) = Pin::new(&mut witness).poll_frame(&mut context) else {
            panic!("a body of one piece");
        };
        frame.is_ok()
    }

    #[test]
    fn a_body_that_was_withdrawn_is_never_handed_out() {
        let sent = Sent::default();
        assert!(sent.withdraw());
        assert!(!asked_for(&sent));
        assert!(!sent.get());
        assert!(sent.withdraw(), "still");
    }

    #[test]
    fn a_body_that_was_asked_for_is_not_withdrawn() {
        let sent = Sent::default();
        assert!(!sent.get());
        assert!(asked_for(&sent));
        assert!(sent.get());
        assert!(!sent.withdraw());
        assert!(sent.get());
    }
}
