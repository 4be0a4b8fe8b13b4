//! The TLS handshake of a connection: in its own task, within the time for a head, and in a place
//! that it gives way from as a connection does that has asked nothing.
//!
//! It is driven as connections are, by a [`Guard`] and known to [`super::connections`], so that
//! any number of handshakes that get nowhere hold up nobody: not those who want a place, and not
//! the end of the process.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use super::connections::Permit;
use super::drive::Drive;
use super::guard::Guard;
use super::limits::Limits;
use super::linger::{Returned, linger};
use super::progress::Progress;
use crate::tls::Failure;

/// How much of an answer may be encrypted before the socket takes it, in bytes: a piece, so that
/// hardly more is in memory than is accounted for.
const BUFFER: usize = 16 * 1024;

/// An encrypted connection, over whatever it has come.
pub type Encrypted<S> = TlsStream<Begun<S>>;

/// A handshake that came to nothing.
#[derive(Debug)]
pub struct Failed {
    /// Why.
    pub why: Failure,
    /// Whether anything has come of the client. A connection that is closed without a word is of
    /// somebody who looks whether the port is open.
    pub has_begun: bool,
    /// The library's words, or the system's, where there are any.
    pub error: Option<io::Error>,
}

/// Shakes hands with a client that has just connected. One that speaks HTTP without TLS is
/// answered `to_plain_http`.
///
/// # Errors
/// Why that failed, after the client was told as far as TLS has words for it.
pub async fn handshake<S>(
    stream: S,
    config: Arc<ServerConfig>,
    to_plain_http: &[u8],
    limits: Limits,
    permit: &mut Permit,
) -> Result<Encrypted<S>, Failed>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let life = Arc::clone(permit.life());
    let progress = Arc::new(Progress::new(Arc::clone(&life)));
    let member = permit.enter(&progress);
    let stream = Begun {
        stream,
        beginning: Some(Vec::new()),
        progress: Arc::clone(&progress),
    };
    let accept = TlsAcceptor::from(config)
        .accept_with(stream, |it| it.set_buffer_limit(Some(BUFFER)))
        .into_fallible();
    let mut ended = None;
    let shaking = Shaking {
        accept: async { ended = Some(accept.await) },
        is_told_to_close: false,
    };
    let close = |shaking: Pin<&mut Shaking<_>>| *shaking.project().is_told_to_close = true;
    Drive::new(shaking, close, Guard::new(limits), Arc::clone(&progress)).await;
    let has_begun = progress.has_begun();
    match ended {
        Some(Ok(stream)) => {
            permit.keep(member);
            Ok(stream)
        }
        Some(Err((error, begun))) => {
            drop(member);
            let mut stream = begun.stream;
            let why = Failure::of(&error);
            if why == Failure::PlainHttp && stream.write_all(to_plain_http).await.is_ok() {
                let last_words = None;
                let returned = Returned { stream, last_words };
                linger(returned, limits.max_body, life.is_closing()).await;
            }
            Err(Failed {
                why,
                has_begun,
                error: Some(error),
            })
        }
        None => Err(Failed {
            why: Failure::Timeout,
            has_begun,
            error: None,
        }),
    }
}

pin_project! {
    /// A handshake, which is over where it is told to close: there is nothing to be said.
    struct Shaking<F> {
        #[pin]
        accept: F,
        is_told_to_close: bool,
    }
}

impl<F: Future<Output = ()>> Future for Shaking<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        match *this.is_told_to_close {
            true => Poll::Ready(()),
            false => this.accept.poll(context),
        }
    }
}

/// A socket whose first bytes are looked at before TLS gets them.
#[derive(Debug)]
pub struct Begun<S> {
    stream: S,
    /// What has come as long as it does not tell whether it is TLS; none from then on.
    beginning: Option<Vec<u8>>,
    progress: Arc<Progress>,
}

impl<S> Begun<S> {
    /// Looks at the bytes from `start` on, which are the next of the beginning; whether they are
    /// for TLS.
    fn look(&mut self, buffer: &mut ReadBuf<'_>, start: usize) -> io::Result<bool> {
        let Some(beginning) = &mut self.beginning else {
            return Ok(true);
        };
        let come = &buffer.filled()[start..];
        if come.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.progress.shakes_hands();
        let room = Failure::BEGINNING.saturating_sub(beginning.len());
        beginning.extend(come.iter().take(room));
        match Failure::of_beginning(beginning) {
            Some(failure) => Err(io::Error::other(failure)),
            None if Failure::is_tls(beginning) => {
                self.beginning = None;
                Ok(true)
            }
            None => {
                buffer.set_filled(start);
                Ok(false)
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Begun<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let start = buffer.filled().len();
        loop {
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
            if self.look(buffer, start)? {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Begun<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
