//! A connection over TLS that remembers what TLS has ended it with.
//!
//! HTTP libraries have a task that reads a connection: a call learns of its end without the reason,
//! or by the text of it alone, as over HTTP/2. [`connect`](super::connect) makes one, and the
//! [`Track`] of the connection has the reason before the library can tell a call of the end.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ProtocolVersion;

use super::socket::{Socket, Track};
use crate::tls::words;

/// See the module.
pub(super) struct Secured {
    stream: TlsStream<Socket>,
    track: Arc<Track>,
}

impl Secured {
    /// One whose handshake is through on this side.
    pub fn new(stream: TlsStream<Socket>, track: Arc<Track>) -> Self {
        Self { stream, track }
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        // Up to TLS 1.2 the handshake tells it, and nothing else follows from it later.
        let tells = || {
            let version = self.stream.get_ref().1.protocol_version();
            version == Some(ProtocolVersion::TLSv1_3)
        };
        if let Err(error) = &read
            && let Some(cause) = words::cause(error)
            && tells()
        {
            self.track.end_by(cause);
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Secured {
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
        slices: &[IoSlice<'_>],
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
