//! Between the HTTP library and the socket of a connection.
//!
//! It notes what happens there for the guard, and does what the library does not:
//!
//! - While an HTTP/1 request is served, it reads ahead where the library does not
//!   read: so it sees that the caller has left. What it reads is bounded (16 KiB), and given to the
//!   library later: a caller that has sent more behind its job is not seen to leave.
//! - It follows the frames of HTTP/2, and ends a connection that sends more SETTINGS
//!   than are good for others.
//! - When the library closes the socket, it gives the socket back, to be closed in
//!   stages, see [`super::linger`].

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::frames::{Frames, PREFACE, SettingsRate, calm_down};
use super::linger::Returned;
use super::progress::Progress;

/// The most that is read ahead, in bytes.
const AHEAD: usize = 16 * 1024;

/// How much is read ahead at a time.
const AHEAD_STEP: usize = 2 * 1024;

/// Up to so many bytes, in pieces, are joined before they are written: the copy
/// costs less than the pieces cost the system.
const SHORT: usize = 1_024;

/// A stream that is watched.
pub(super) struct Watched<S> {
    /// None once it was given back.
    stream: Option<S>,
    give_back: Option<oneshot::Sender<Returned<S>>>,
    progress: Arc<Progress>,
    protocol: Protocol,
    ahead: BytesMut,
    /// The caller has closed its sending side.
    ended: bool,
    /// The library waits for bytes since it was last polled.
    awaited: bool,
}

/// What a connection speaks, as far as its bytes say.
enum Protocol {
    /// So many bytes of HTTP/2's preface have come.
    Unknown(usize),
    Http1,
    Http2(Box<Http2>),
}

#[derive(Default)]
struct Http2 {
    incoming: Frames,
    outgoing: Frames,
    rate: SettingsRate,
    last_stream: u32,
}

fn gone() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

impl<S: AsyncRead + AsyncWrite + Unpin> Watched<S> {
    pub fn new(
        stream: S,
        progress: Arc<Progress>,
        give_back: oneshot::Sender<Returned<S>>,
    ) -> Self {
        Self {
            stream: Some(stream),
            give_back: Some(give_back),
            progress,
            protocol: Protocol::Unknown(0),
            ahead: BytesMut::new(),
            ended: false,
            awaited: false,
        }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut S>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(gone)
    }

    fn give_back(&mut self, last_words: Option<[u8; 17]>) {
        if let (Some(stream), Some(give_back)) = (self.stream.take(), self.give_back.take()) {
            // If nobody wants it any more, it is closed.
            let _ = give_back.send(Returned { stream, last_words });
        }
    }

    /// Looks at bytes on their way to the library.
    fn received(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.progress.received();
        if let Protocol::Unknown(matched) = &mut self.protocol {
            let expected = &PREFACE[*matched..];
            let length = expected.len().min(bytes.len());
            if bytes[..length] != expected[..length] {
                self.protocol = Protocol::Http1;
                return Ok(());
            }
            *matched += length;
            if *matched < PREFACE.len() {
                return Ok(());
            }
            bytes = &bytes[length..];
            self.progress.multiplexed.set(true);
            self.protocol = Protocol::Http2(Box::default());
        }
        let Protocol::Http2(http2) = &mut self.protocol else {
            return Ok(());
        };
        let found = http2.incoming.feed(bytes);
        http2.last_stream = http2.last_stream.max(found.stream);
        if found.settings == 0 || http2.rate.allows(found.settings, Instant::now()) {
            return Ok(());
        }
        // Within another frame it could not be told from that.
        let between = http2.outgoing.is_between();
        let last_words = between.then(|| calm_down(http2.last_stream));
        self.give_back(last_words);
        Err(gone())
    }

    /// Looks at bytes that the socket took.
    fn wrote<'a>(&mut self, slices: impl Iterator<Item = &'a [u8]>, mut length: usize) {
        self.progress.wrote();
        let Protocol::Http2(http2) = &mut self.protocol else {
            return;
        };
        for slice in slices {
            let taken = slice.len().min(length);
            http2.outgoing.feed(&slice[..taken]);
            length -= taken;
        }
    }

    fn poll_slice(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write(context, bytes);
        match &written {
            Poll::Ready(Ok(length)) => self.wrote(std::iter::once(bytes), *length),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.progress.blocked.set(true),
        }
        written
    }

    /// Reads until it is known which protocol this is, for the library to have afterwards:
    /// whether it is HTTP/2.
    pub fn poll_beginning(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while matches!(self.protocol, Protocol::Unknown(_)) && !self.ended {
            let mut step = [MaybeUninit::uninit(); AHEAD_STEP];
            let mut buffer = ReadBuf::uninit(&mut step);
            ready!(self.stream()?.poll_read(context, &mut buffer))?;
            match buffer.filled() {
                [] => self.ended = true,
                come => {
                    self.received(come)?;
                    self.ahead.extend_from_slice(come);
                }
            }
        }
        Poll::Ready(Ok(matches!(self.protocol, Protocol::Http2(_))))
    }

    /// Reads what the library does not, until there is nothing or so much, give or take what is
    /// read at a time.
    fn read_ahead(&mut self, context: &mut Context<'_>, enough: usize) -> io::Result<()> {
        while !self.ended && self.ahead.len() < enough {
            let mut step = [MaybeUninit::uninit(); AHEAD_STEP];
            let room = (AHEAD - self.ahead.len()).min(AHEAD_STEP);
            let mut buffer = ReadBuf::uninit(&mut step[..room]);
            match self.stream()?.poll_read(context, &mut buffer) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.ahead.extend_from_slice(buffer.filled());
                }
                // Closed or broken, the caller has left.
                Poll::Ready(_) => {
                    self.ended = true;
                    self.progress.departed.set(true);
                }
            }
        }
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.ahead.is_empty() {
            let length = this.ahead.len().min(buffer.remaining());
            buffer.put_slice(&this.ahead[..length]);
            this.ahead.advance(length);
            if this.ahead.is_empty() {
                this.ahead = BytesMut::new();
            }
            this.progress.received();
            return Poll::Ready(Ok(()));
        }
        if this.ended {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = this.stream()?.poll_read(context, buffer);
        this.awaited = read.is_pending();
        ready!(read)?;
        let bytes = &buffer.filled()[before..];
        if bytes.is_empty() {
            this.ended = true;
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(this.received(bytes))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_slice(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        if length > SHORT {
            let this = &mut *self;
            let written = this.stream()?.poll_write_vectored(context, slices);
            match &written {
                Poll::Ready(Ok(length)) => this.wrote(slices.iter().map(|it| &**it), *length),
                Poll::Ready(Err(_)) => {}
                Poll::Pending => this.progress.blocked.set(true),
            }
            return written;
        }
        let mut joined = [0; SHORT];
        let mut end = 0;
        for slice in slices {
            joined[end..end + slice.len()].copy_from_slice(slice);
            end += slice.len();
        }
        self.poll_slice(context, &joined[..end])
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(S::is_write_vectored)
    }

    /// The library calls this whenever it was polled, after it has read what it
    /// wants to.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let awaited = std::mem::take(&mut this.awaited);
        if !awaited && this.progress.is_serving() {
            this.read_ahead(context, AHEAD)?;
        } else if !awaited && this.progress.is_receiving() {
            // The library may have all of a body that nobody has read yet. Of one that is not
            // to be read now, this is little.
            this.read_ahead(context, 1)?;
        }
        let flushed = this.stream()?.poll_flush(context);
        match &flushed {
            // An encrypted stream has taken more than its socket has.
            Poll::Pending => this.progress.blocked.set(true),
            Poll::Ready(_) if this.progress.blocked.is_set() => this.progress.wrote(),
            Poll::Ready(_) => {}
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ended || self.progress.closes_idle.is_set() {
            // Nothing is to come that could get in the way of what was said.
            return self.stream()?.poll_shutdown(context);
        }
        self.give_back(None);
        Poll::Ready(Ok(()))
    }
}
