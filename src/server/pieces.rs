//! The body of an answer, on its way to the HTTP library.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::progress::Progress;

/// The most of an answer that HTTP/2 is given at a time: of what it was given the
/// stream can't be reset any more.
const PIECE: usize = 16 * 1024;

/// What is left of an answer up to this size, in bytes, is given to HTTP/2 as it is.
const SHORT: usize = 1_024;

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
        multiplexed: Option<Arc<Progress>>,
    }
}

impl<B> AnswerBody<B> {
    /// `multiplexed` where it goes out on a stream of HTTP/2.
    pub fn new(body: B, multiplexed: Option<Arc<Progress>>) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            multiplexed,
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
        let Some(progress) = this.multiplexed else {
            return this.body.poll_frame(context);
        };
        if this.rest.is_empty() {
            match ready!(this.body.poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => *this.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                end => return Poll::Ready(end),
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
