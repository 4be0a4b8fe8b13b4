//! A request body that knows whether anybody has asked for it.
//!
//! Each call has one. It promises: while [`DispatchFlag::is_set`] is false, no byte
//! of the body has left this process, whatever the error, and once
//! [`DispatchFlag::withdraw`] has succeeded none will, even where the request is still
//! on its way to a connection's task. That is a proof by construction, without a look
//! into any library. The reverse does not hold: a body that was asked for may still
//! not have been sent.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use thiserror::Error;

const UNSET: u8 = 0;
const SET: u8 = 1;
const WITHDRAWN: u8 = 2;

/// Whether a call's body may have been sent. Clones speak of the same call.
#[derive(Clone, Debug, Default)]
pub struct DispatchFlag(Arc<AtomicU8>);

impl DispatchFlag {
    /// True from when the HTTP library first asks for the body, which it does
    /// once it has a connection, unless the connection proves that nothing was
    /// written.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire) == SET
    }

    /// The body is asked for, and may be sent from here on; false if it was
    /// withdrawn.
    pub fn set(&self) -> bool {
        self.settle(SET) == SET
    }

    /// Makes sure that the body is not sent from here on; false if it may have
    /// been.
    pub fn withdraw(&self) -> bool {
        self.settle(WITHDRAWN) == WITHDRAWN
    }

    /// What was asked for has provably not left this process, nor will: it counts
    /// as if nobody had asked.
    pub(super) fn reset(&self) {
        // A call has one attempt at a time to ask for it; this is its last word.
        let _ = self
            .0
            .compare_exchange(SET, UNSET, Ordering::AcqRel, Ordering::Acquire);
    }

    /// The first to settle it decides; returns what it was or is settled to.
    fn settle(&self, to: u8) -> u8 {
        self.0
            .compare_exchange(UNSET, to, Ordering::AcqRel, Ordering::Acquire)
            .map_or_else(|settled| settled, |_| to)
    }
}

/// The body was asked for when its call had already failed.
#[derive(Debug, Error)]
#[error("the call is over")]
pub(super) struct Withdrawn;

/// Some pieces, announced by their exact length.
pub(super) struct TrackedBody {
    pieces: std::vec::IntoIter<Bytes>,
    /// The bytes of those that are left.
    left: usize,
    dispatch: DispatchFlag,
}

impl TrackedBody {
    pub(super) fn new(pieces: Vec<Bytes>, dispatch: DispatchFlag) -> Self {
        Self {
            left: pieces.iter().map(Bytes::len).sum(),
            pieces: pieces.into_iter(),
            dispatch,
        }
    }

    /// Its bytes that are still to be handed out.
    pub(super) fn length(&self) -> usize {
        self.left
    }
}

impl Body for TrackedBody {
    type Data = Bytes;
    type Error = Withdrawn;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Withdrawn>>> {
        if !self.dispatch.set() {
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

    fn asked_for(flag: &DispatchFlag) -> bool {
        let pieces = vec![Bytes::from_static(b"[]")];
        let mut body = TrackedBody::new(pieces, flag.clone());
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(Some(frame)) = Pin::new(&mut body).poll_frame(&mut context) else {
            panic!("a body of one piece");
        };
        frame.is_ok()
    }

    #[test]
    fn a_body_that_was_withdrawn_is_never_handed_out() {
        let flag = DispatchFlag::default();
        assert!(flag.withdraw());
        assert!(!asked_for(&flag));
        assert!(!flag.is_set());
        assert!(flag.withdraw(), "still");
    }

    #[test]
    fn a_body_that_was_asked_for_is_not_withdrawn() {
        let flag = DispatchFlag::default();
        assert!(!flag.is_set());
        assert!(asked_for(&flag));
        assert!(flag.is_set());
        assert!(!flag.withdraw());
        assert!(flag.is_set());
    }
}
