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

/// How many times what has come is set aside for the rest of what is announced: a
/// body that grows by doubling takes twice its size, and a mere announcement none.
const AHEAD: usize = 16;

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

    /// Whether it is not read for want of room.
    pub fn waits_for_room(&self) -> bool {
        self.charge.is_waiting()
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

    fn take(&mut self, data: Bytes) -> Result<(), BodyError> {
        let left = self.left.checked_sub(data.len());
        self.left = left.ok_or(BodyError::TooLarge)?;
        self.charge.received(data.len());
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
