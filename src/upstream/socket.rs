//! A connection that a failed write does not end before its answer is read,
//! and that knows what was written since its current call began.
//!
//! An upstream that refuses a batch unread answers and closes; the rest of the
//! batch meets a reset. HTTP libraries end a connection with the first write that
//! fails, and what the upstream said before is lost. Here a write that fails is
//! dropped, with all that follow, and reading goes on to the end.
//!
//! [`connect`](super::connect) makes one, below TLS; a
//! [`Connection`](super::connection::Connection) asks its [`Track`] about a call.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Sleep, sleep};
use tokio_rustls::rustls;
use tokio_util::either::Either;

/// The most interim answers (1xx) to one call.
pub(super) const MAX_INTERIM: u32 = 16;

/// How many bytes one connection reads before it makes way for others.
const TURN: usize = 128 * 1024;

/// A call's connection gave out before anything of the call was written: it had
/// ended, or held bytes of an answer that cannot be the call's.
#[derive(Debug, Error)]
#[error("the connection was no longer good")]
struct Stale;

/// The upstream sends interim answers without end.
#[derive(Debug, Error)]
#[error("more than {MAX_INTERIM} interim answers")]
struct Flooded;

/// What is known of a connection's bytes. Shared by its socket, within the HTTP
/// library, and those who call over it.
#[derive(Debug, Default)]
pub(super) struct Track {
    /// Bytes that the system took since the call began.
    written: AtomicU64,
    /// Interim answers to the call.
    interim: AtomicU32,
    /// Whether the next write is the call's first, before which the upstream has
    /// nothing to say.
    first: AtomicBool,
    /// Whether a write has failed.
    broken: AtomicBool,
    /// What TLS has ended it with.
    ended_by: OnceLock<rustls::Error>,
}

impl Track {
    /// A call begins that has the connection for itself; `silent` says that the
    /// upstream has nothing to say before.
    pub fn begin(&self, silent: bool) {
        self.written.store(0, Ordering::Relaxed);
        self.interim.store(0, Ordering::Relaxed);
        self.first.store(silent, Ordering::Relaxed);
    }

    /// Whether nothing of the call has left this process, nor will: its
    /// connection has failed before.
    pub fn is_unwritten(&self) -> bool {
        self.written.load(Ordering::Relaxed) == 0 && self.is_broken()
    }

    /// Whether a write has failed. Such a connection serves no other call.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Whether less than `length` bytes of the call are written.
    pub fn has_written_less_than(&self, length: usize) -> bool {
        self.written.load(Ordering::Relaxed) < length as u64
    }

    /// An interim answer has come.
    pub fn count_interim(&self) {
        self.interim.fetch_add(1, Ordering::Relaxed);
    }

    /// What TLS has ended the connection with, if it has.
    pub fn ended_by(&self) -> Option<&rustls::Error> {
        self.ended_by.get()
    }

    /// TLS ends it with that; what it says first counts.
    pub fn end_by(&self, error: &rustls::Error) {
        self.ended_by.get_or_init(|| error.clone());
    }

    fn wrote(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// What the system has.
pub(super) type Stream = Either<TcpStream, UnixStream>;

/// The connection itself.
#[derive(Debug)]
pub(super) struct Socket {
    stream: Stream,
    track: Arc<Track>,
    /// How long the other end may take nothing, where the system does not see to that.
    patience: Option<Duration>,
    /// Since when it takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// What may be read before others have their turn.
    turn: usize,
}

impl Socket {
    /// One that is given up when the other end takes nothing for as long as `patience`.
    pub fn new(stream: Stream, patience: Option<Duration>) -> (Self, Arc<Track>) {
        let track = Arc::new(Track::default());
        let socket = Self {
            stream,
            track: Arc::clone(&track),
            patience,
            stalled: None,
            turn: 0,
        };
        (socket, track)
    }

    /// Writes, if it still can.
    fn write(
        &mut self,
        context: &mut Context<'_>,
        length: usize,
        write: impl FnOnce(Pin<&mut Stream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let track = &self.track;
        if track.first.swap(false, Ordering::Relaxed) && !is_silent(&self.stream) {
            track.broken.store(true, Ordering::Relaxed);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::NotConnected, Stale)));
        }
        if track.is_broken() {
            return Poll::Ready(Ok(length));
        }
        let written = match write(Pin::new(&mut self.stream), context) {
            Poll::Ready(written) => written,
            Poll::Pending => Err(ready!(self.wait(context))),
        };
        let track = &self.track;
        self.stalled = None;
        match written {
            Ok(written) => {
                track.wrote(written);
                Poll::Ready(Ok(written))
            }
            Err(error) => {
                track.broken.store(true, Ordering::Relaxed);
                match track.is_unwritten() {
                    // What it may have said before is no answer to the call.
                    true => Poll::Ready(Err(error)),
                    false => Poll::Ready(Ok(length)),
                }
            }
        }
    }
}

impl Socket {
    /// Resolves when the other end has taken nothing for too long.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let Some(patience) = self.patience else {
            return Poll::Pending;
        };
        let stalled = &mut self.stalled;
        let stalled = stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        let timer = stalled.as_mut();
        timer.poll(context).map(|()| io::ErrorKind::TimedOut.into())
    }
}

/// Whether the other end has neither spoken nor closed. Asks the system, since the
/// event loop may not have come round to it.
fn is_silent(stream: &Stream) -> bool {
    let socket = match stream {
        Either::Left(tcp) => SockRef::from(tcp),
        Either::Right(unix) => SockRef::from(unix),
    };
    let peeked = socket.peek(&mut [std::mem::MaybeUninit::uninit()]);
    peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.track.interim.load(Ordering::Relaxed) > MAX_INTERIM {
            return Poll::Ready(Err(io::Error::other(Flooded)));
        }
        if self.turn > TURN {
            self.turn = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, buffer) else {
            self.turn = 0;
            return Poll::Pending;
        };
        let bytes = buffer.filled().len() - before;
        self.turn += bytes;
        Poll::Ready(read)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(context, bytes.len(), |stream, context| {
            stream.poll_write(context, bytes)
        })
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        self.write(context, length, |stream, context| {
            stream.poll_write_vectored(context, slices)
        })
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.track.is_broken() {
            true => Poll::Ready(Ok(())),
            false => Pin::new(&mut self.stream).poll_shutdown(context),
        }
    }
}
