//! A request's body in one piece, within its limit, and read only where there is
//! room for it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::Body;

use super::buffered::Charge;

/// The most that is read of a body at a time, in bytes, as connections do.
const PIECE: usize = 16 * 1024;

/// A body from this size on, in bytes, is left in the buffer it was read into, if
/// that has all of it; the buffer may be up to twice as large.
const OWN_BUFFER: usize = 8 * 1024;

/// How many times what has come is set aside for the rest of what is announced, so
/// that a large body is copied a few times only. What is set aside is not charged, and
/// may be memory that was in use before: a mere announcement takes none.
const AHEAD: usize = 4;

/// Why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// It is larger than its limit.
    TooLarge,
    /// It broke off, or its framing is wrong.
    Broken,
}

/// A body that is being read.
///
/// Its frames are not kept until the end: a body in chunks of one byte would take
/// many times its size, and a small one would hold on to the whole buffer that its
/// connection read it into, which would need another for its next read.
#[derive(Debug)]
pub(super) struct Reading<B> {
    body: B,
    /// What may still come.
    left: usize,
    /// What it announces; 0 if it does not say.
    announced: usize,
    charge: Charge,
    /// There is room for the next piece, which is awaited.
    has_room: bool,
    come: BytesMut,
    whole: Option<Bytes>,
}

impl<B: Body<Data = Bytes> + Unpin> Reading<B> {
    /// A body of at most `limit` bytes, of which nothing is read.
    pub fn new(body: B, limit: usize, charge: Charge) -> Self {
        let announced = body.size_hint().exact();
        let announced = announced.and_then(|it| usize::try_from(it).ok());
        Self {
            body,
            left: limit,
            announced: announced.unwrap_or_default(),
            charge,
            has_room: false,
            come: BytesMut::new(),
            whole: None,
        }
    }

    /// Whether what is to come next was left unread for want of room.
    pub fn is_held_up(&self) -> bool {
        self.charge.is_held_up()
    }

    /// Reads on; what came is charged until this is dropped.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, BodyError>> {
        while !self.body.is_end_stream() {
            if !self.has_room {
                let most = self.body.size_hint().upper();
                let most = most.and_then(|it| usize::try_from(it).ok());
                let next = most.unwrap_or(PIECE).min(self.left).min(PIECE);
                ready!(self.charge.poll_room(context, next));
                self.has_room = true;
            }
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)) else {
                break;
            };
            // Trailers are nobody's business.
            if let Ok(data) = frame.or(Err(BodyError::Broken))?.into_data() {
                self.has_room = false;
                self.take(data)?;
            }
        }
        let whole = self.whole.take();
        Poll::Ready(Ok(
            whole.unwrap_or_else(|| std::mem::take(&mut self.come).freeze())
        ))
    }

    /// What was read, with what is too much of it; what is still to come; and the charge
    /// for the first. Of those that wait for room it is none any more.
    pub fn into_parts(mut self) -> (Bytes, B, Charge) {
        self.charge.settle();
        let begun = self.whole.unwrap_or_else(|| self.come.freeze());
        (begun, self.body, self.charge)
    }

    fn take(&mut self, data: Bytes) -> Result<(), BodyError> {
        self.charge.received(data.len());
        let Some(left) = self.left.checked_sub(data.len()) else {
            self.come.extend_from_slice(&data);
            return Err(BodyError::TooLarge);
        };
        self.left = left;
        if data.len() == self.announced && !data.is_empty() {
            self.whole = Some(match data.len() {
                ..OWN_BUFFER => Bytes::copy_from_slice(&data),
                _ => data,
            });
            return Ok(());
        }
        let needed = self.come.len() + data.len();
        if self.come.capacity() < needed {
            let ahead = needed.saturating_mul(AHEAD);
            let room = self.announced.min(ahead).max(needed);
            self.come.reserve(room - self.come.len());
        }
        self.come.extend_from_slice(&data);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::task::Waker;

    use http_body::{Frame, SizeHint};

    use super::super::buffered::Buffered;
    use super::*;

    /// A body whose pieces are all there.
    struct Pieces {
        left: VecDeque<Bytes>,
        announced: Option<u64>,
    }

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.left.pop_front().map(|piece| Ok(Frame::data(piece))))
        }

        fn is_end_stream(&self) -> bool {
            self.announced.is_some() && self.left.is_empty()
        }

        fn size_hint(&self) -> SizeHint {
            self.announced.map(SizeHint::with_exact).unwrap_or_default()
        }
    }

    fn read(sizes: &[usize], announces: bool, limit: usize) -> Result<(Bytes, Bytes), BodyError> {
        let all: Bytes = (0..sizes.iter().sum()).map(|at: usize| at as u8).collect();
        let mut rest = all.clone();
        let body = Pieces {
            left: sizes.iter().map(|size| rest.split_to(*size)).collect(),
            announced: announces.then_some(all.len() as u64),
        };
        let account = Buffered::new(usize::MAX, limit);
        let mut reading = Reading::new(body, limit, account.charge(0));
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(read) = reading.poll(&mut context) else {
            panic!("it is all there");
        };
        let charged = account.bytes();
        drop(reading);
        assert_eq!(account.bytes(), 0);
        let read = read?;
        assert!(charged >= read.len(), "{charged} for {}", read.len());
        Ok((read, all))
    }

    #[test]
    fn a_body_is_whole_however_it_comes() {
        for (sizes, in_its_own_buffer) in [
            (&[][..], false),
            (&[5], false),
            (&[1, 1, 3], false),
            (&[0, 5], false),
            (&[OWN_BUFFER - 1], false),
            (&[OWN_BUFFER], true),
            (&[OWN_BUFFER, 1], false),
        ] {
            for announces in [true, false] {
                let (read, all) = read(sizes, announces, 2 * OWN_BUFFER).unwrap();
                assert_eq!(read, all, "{sizes:?}");
                let kept = !read.is_empty() && read.as_ptr() == all.as_ptr();
                assert_eq!(kept, in_its_own_buffer && announces, "{sizes:?}");
            }
        }
    }

    #[test]
    fn a_body_may_be_as_large_as_its_limit_and_no_larger() {
        for (sizes, fits) in [
            (&[7][..], true),
            (&[3, 4], true),
            (&[8], false),
            (&[7, 1], false),
        ] {
            for announces in [true, false] {
                let error = read(sizes, announces, 7).err();
                let expected = (!fits).then_some(BodyError::TooLarge);
                assert_eq!(error, expected, "{sizes:?}");
            }
        }
    }
}
