//! What follows a change of protocols: bytes, both ways, until an end closes.
//!
//! It has its call's place, and is given up where nothing moves for as long as the upstream
//! may be silent, or with the process.

use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::time::{Instant, sleep_until};

use super::places::Place;

/// Has a task of its own pass bytes on, once both ends have changed.
pub(super) fn open(caller: OnUpgrade, upstream: OnUpgrade, silence: Duration, place: Place) {
    tokio::spawn(async move {
        let cut = place.cut();
        tokio::select! {
            // However it went, it is over.
            _ = pass_on(caller, upstream, silence) => {}
            () = cut => {}
        }
        drop(place);
    });
}

async fn pass_on(caller: OnUpgrade, upstream: OnUpgrade, silence: Duration) -> Option<()> {
    let (caller, upstream) = tokio::try_join!(caller, upstream).ok()?;
    let moved = Moved(Mutex::new(Instant::now()));
    let mut caller = Noted::new(TokioIo::new(caller), &moved);
    let mut upstream = Noted::new(TokioIo::new(upstream), &moved);
    tokio::select! {
        _ = copy_bidirectional(&mut caller, &mut upstream) => {}
        () = moved.is_long_ago(silence) => {}
    }
    Some(())
}

/// When a byte last moved.
struct Moved(Mutex<Instant>);

impl Moved {
    fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Resolves when nothing has moved for so long.
    async fn is_long_ago(&self, silence: Duration) {
        loop {
            let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if last.elapsed() >= silence {
                return;
            }
            sleep_until(last + silence).await;
        }
    }
}

/// An end of which is noted when bytes move.
struct Noted<'a, S> {
    io: S,
    moved: &'a Moved,
}

impl<'a, S> Noted<'a, S> {
    fn new(io: S, moved: &'a Moved) -> Self {
        Self { io, moved }
    }

    fn note<T>(&self, polled: Poll<T>) -> Poll<T> {
        if polled.is_ready() {
            self.moved.note();
        }
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Noted<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        self.note(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Noted<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.note(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
