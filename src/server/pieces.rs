//! The body of an answer, on its way to the HTTP library.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::progress::Progress;

/// The most of an answer that HTTP/2 is given at a time: of what it was given the
/// stream can't be reset any more.
const PIECE: usize = 16 * 1024;

/// What is left of an answer up to this size, in bytes, is given to HTTP/2 as it is.
const SHORT: usize = 1_024;

/// How a body goes out.
pub(super) enum Way {
    /// On HTTP/1, and its length is known: all of it is there.
    Whole,
    /// On HTTP/1, and what is still to come may take any time.
    Open { _until_dropped: Open },
    /// On a stream of HTTP/2.
    Multiplexed(Arc<Progress>),
}

/// That more is to come of an answer; over when dropped.
pub(super) struct Open(Arc<Progress>);

impl Open {
    pub fn new(progress: &Arc<Progress>) -> Self {
        progress.answer_opened();
        Self(Arc::clone(progress))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.answer_closed();
    }
}

pin_project! {
    /// The body of an answer; on HTTP/2 in pieces.
    ///
    /// The library takes a piece as soon as the caller has room for its first byte,
    /// and the stream can't be reset once it has the last. So of a long answer the
    /// last byte is a piece of its own: once that is taken there is room for all.
    pub(super) struct AnswerBody<B> {
        #[pin]
        body: B,
        // What is left of what the body gave.
        rest: Bytes,
        way: Way,
    }
}

impl<B> AnswerBody<B> {
    pub fn new(body: B, way: Way) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            way,
        }
    }
}

/// The next piece of what is to be sent.
fn piece(rest: &mut Bytes) -> Bytes {
    let length = match rest.len() {
        length @ 0..=SHORT => length,
        length => PIECE.min(length - 1),
    };
    rest.split_to(length)
}

impl<B: Body<Data = Bytes>> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let Way::Multiplexed(progress) = this.way else {
            return this.body.poll_frame(context);
        };
        if this.rest.is_empty() {
            match this.body.poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => *this.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                Poll::Ready(end) => return Poll::Ready(end),
                Poll::Pending => {
                    progress.awaits_answer.set(true);
                    return Poll::Pending;
                }
            }
        }
        progress.moves.bump();
        Poll::Ready(Some(Ok(Frame::data(piece(this.rest)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.size_hint();
        let Some(exact) = hint.exact() else {
            return hint;
        };
        SizeHint::with_exact(exact.saturating_add(self.rest.len() as u64))
    }
}
