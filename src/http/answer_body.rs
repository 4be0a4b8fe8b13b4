//! The body of an answer, charged to the account of what is in memory until its
//! caller takes it.
//!
//! It is handed to the connection in pieces: what the connection has taken it holds
//! until the caller takes that, and a whole answer at a time would be out of the
//! account at once. A job's result costs no box.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::buffered::Charge;

/// The most that the connection is handed at a time, in bytes.
const PIECE: usize = 16 * 1024;

/// A body of an answer.
#[derive(Debug)]
pub struct AnswerBody(Repr);

#[derive(Debug)]
enum Repr {
    /// What is left of a result.
    Result {
        left: Bytes,
        /// The size of the piece that was handed over last.
        handed: usize,
        charge: Charge,
    },
    /// Anything else.
    Other(Body),
}

impl AnswerBody {
    /// A result, charged to an account.
    pub(super) fn result(bytes: Bytes, charge: Charge) -> Self {
        Self(Repr::Result {
            left: bytes,
            handed: 0,
            charge,
        })
    }
}

impl From<Body> for AnswerBody {
    fn from(body: Body) -> Self {
        Self(Repr::Other(body))
    }
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut self.0 {
            Repr::Result { left, .. } if left.is_empty() => Poll::Ready(None),
            Repr::Result {
                left,
                handed,
                charge,
            } => {
                // A connection that asks for another has got rid of that one.
                charge.release(*handed);
                let piece = left.split_to(left.len().min(PIECE));
                *handed = piece.len();
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Repr::Other(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Repr::Result { left, .. } => left.is_empty(),
            Repr::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Repr::Result { left, .. } => SizeHint::with_exact(left.len() as u64),
            Repr::Other(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::super::buffered::Buffered;
    use super::*;

    #[tokio::test]
    async fn an_answer_counts_until_it_is_taken_piece_by_piece() {
        let account = Buffered::new(usize::MAX, 1);
        let bytes = Bytes::from(vec![b'x'; PIECE + 1]);
        let mut body = AnswerBody::result(bytes.clone(), account.charge(bytes.len()));
        assert_eq!(
            http_body::Body::size_hint(&body).exact(),
            Some(PIECE as u64 + 1)
        );
        for (piece, left) in [(PIECE, PIECE + 1), (1, 1)] {
            let frame = body.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap().len(), piece);
            assert_eq!(account.bytes(), left);
        }
        assert!(http_body::Body::is_end_stream(&body) && body.frame().await.is_none());
        drop(body);
        assert_eq!(account.bytes(), 0);
        drop(AnswerBody::result(
            bytes.clone(),
            account.charge(bytes.len()),
        ));
        assert_eq!(account.bytes(), 0);
    }
}
