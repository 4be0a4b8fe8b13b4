//! What follows a change of protocols: bytes, both ways, until the upstream closes. A caller
//! that closes has the upstream know, and what that still has to say.
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
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, copy, split};
use tokio::time::{Instant, sleep_until};

use super::places::Place;

/// Has a task of its own pass bytes on, once both ends have changed.
pub(super) fn open(caller: OnUpgrade, upstream: OnUpgrade, silence: Duration, place: Place) {
    tokio::spawn(async move {
        let cut = place.cut();
        tokio::select! {
            // However it went, it is over.
            _ = both(caller, upstream, silence) => {}
            () = cut => {}
        }
        drop(place);
    });
}

async fn both(caller: OnUpgrade, upstream: OnUpgrade, silence: Duration) -> Option<()> {
    let (caller, upstream) = tokio::try_join!(caller, upstream).ok()?;
    pass_on(TokioIo::new(caller), TokioIo::new(upstream), silence).await;
    Some(())
}

async fn pass_on<C, U>(caller: C, upstream: U, silence: Duration)
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let moved = Moved(Mutex::new(Instant::now()));
    let (mut from_caller, mut to_caller) = split(Noted::new(caller, &moved));
    let (mut from_upstream, mut to_upstream) = split(Noted::new(upstream, &moved));
    let up = async {
        if copy(&mut from_caller, &mut to_upstream).await.is_ok()
            && to_upstream.shutdown().await.is_ok()
        {
            std::future::pending().await
        }
    };
    let down = async {
        let said = copy(&mut from_upstream, &mut to_caller).await;
        if said.is_ok() {
            // Whether the caller takes it is its own business.
            let _ = to_caller.shutdown().await;
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
        () = moved.is_long_ago(silence) => {}
    }
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_lasts_while_an_end_says_something_within_the_time_of_silence() {
        const SILENCE: Duration = Duration::from_secs(4);
        let almost = SILENCE - Duration::from_millis(10);
        let start = Instant::now();
        let (mut caller, callers) = duplex(10);
        let (mut upstream, upstreams) = duplex(10);
        let speaking = async {
            for n in 0..6 {
                sleep(almost).await;
                let (from, to) = match n % 2 {
                    0 => (&mut caller, &mut upstream),
                    _ => (&mut upstream, &mut caller),
                };
                from.write_u8(n).await.unwrap();
                assert_eq!(to.read_u8().await.unwrap(), n);
            }
        };
        tokio::join!(pass_on(callers, upstreams, SILENCE), speaking);
        assert_eq!(start.elapsed(), 6 * almost + SILENCE);
    }
}
