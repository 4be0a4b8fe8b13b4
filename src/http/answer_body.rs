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
    Result(Charged<Bytes>),
    /// The same of one in several parts; boxed, since few are.
    Spliced(Box<Charged<Parts>>),
    /// Anything else.
    Other(Body),
}

/// A text that is handed over piece by piece.
#[derive(Debug)]
struct Charged<T> {
    left: T,
    /// The size of the piece that was handed over last.
    handed: usize,
    charge: Charge,
}

/// What is left of a text in parts that follow each other.
#[derive(Debug)]
struct Parts {
    first: Bytes,
    others: std::vec::IntoIter<Bytes>,
    /// How long they are together.
    length: usize,
}

/// A text from whose beginning something is taken.
trait Text {
    fn len(&self) -> usize;

    /// As much of it as stands together, and no more than a piece; it has any.
    fn split(&mut self) -> Bytes;
}

impl Text for Bytes {
    fn len(&self) -> usize {
        self.len()
    }

    fn split(&mut self) -> Bytes {
        self.split_to(self.len().min(PIECE))
    }
}

impl Text for Parts {
    fn len(&self) -> usize {
        self.length
    }

    fn split(&mut self) -> Bytes {
        while self.first.is_empty() {
            match self.others.next() {
                Some(next) => self.first = next,
                None => break,
            }
        }
        let piece = self.first.split();
        self.length -= piece.len();
        piece
    }
}

impl<T: Text> Charged<T> {
    fn new(left: T, charge: Charge) -> Self {
        let handed = 0;
        Self {
            left,
            handed,
            charge,
        }
    }

    fn next(&mut self) -> Option<Bytes> {
        if self.left.len() == 0 {
            return None;
        }
        // A connection that asks for another has got rid of that one.
        self.charge.release(self.handed);
        let piece = self.left.split();
        self.handed = piece.len();
        Some(piece)
    }
}

impl AnswerBody {
    /// A result, charged to an account.
    pub(super) fn result(bytes: Bytes, charge: Charge) -> Self {
        Self(Repr::Result(Charged::new(bytes, charge)))
    }

    /// The same of one in parts that follow each other.
    pub(super) fn spliced(parts: Vec<Bytes>, charge: Charge) -> Self {
        let parts = Parts {
            length: parts.iter().map(Bytes::len).sum(),
            first: Bytes::new(),
            others: parts.into_iter(),
        };
        Self(Repr::Spliced(Box::new(Charged::new(parts, charge))))
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
            Repr::Result(result) => Poll::Ready(result.next().map(|it| Ok(Frame::data(it)))),
            Repr::Spliced(result) => Poll::Ready(result.next().map(|it| Ok(Frame::data(it)))),
            Repr::Other(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Repr::Result(result) => result.left.is_empty(),
            Repr::Spliced(result) => result.left.len() == 0,
            Repr::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Repr::Result(result) => SizeHint::with_exact(result.left.len() as u64),
            Repr::Spliced(result) => SizeHint::with_exact(result.left.len() as u64),
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
    #[tokio::test]
    async fn parts_follow_each_other_and_count_until_they_are_taken() {
        let account = Buffered::new(usize::MAX, 1);
        let large = Bytes::from(vec![b'y'; PIECE + 1]);
        let parts = vec!["ab".into(), Bytes::new(), large, "c".into(), Bytes::new()];
        let length = PIECE + 4;
        let mut body = AnswerBody::spliced(parts, account.charge(length));
        assert_eq!(
            http_body::Body::size_hint(&body).exact(),
            Some(length as u64)
        );
        let mut left = length;
        for (first, piece) in [(b'a', 2), (b'y', PIECE), (b'y', 1), (b'c', 1)] {
            let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!((frame[0], frame.len()), (first, piece));
            assert_eq!(account.bytes(), left);
            left -= piece;
        }
        assert!(http_body::Body::is_end_stream(&body) && body.frame().await.is_none());
        drop(body);
        assert_eq!(account.bytes(), 0);
        let nothing = AnswerBody::spliced(vec![Bytes::new()], account.charge(0));
        assert!(http_body::Body::is_end_stream(&nothing));
    }
}
