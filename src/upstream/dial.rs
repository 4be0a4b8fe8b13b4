//! Connections to an upstream for those who speak HTTP over them by themselves: made as
//! the upstream's own are, and not kept here.
//!
//! It is a connector of the HTTP library's client. Whatever host a request names, it
//! connects to the one it was made for.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::{Connected as About, Connection};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tower_service::Service;
use url::Position;

use super::connect::{ConnectError, Connected, Connector, SetupError, Stream, Version};
use super::endpoint::Endpoint;

/// Makes connections to one host.
#[derive(Clone)]
pub struct Dialer {
    connector: Connector,
    timeout: Duration,
}

/// Why there is no connection; nothing was sent.
#[derive(Debug, Error)]
pub enum DialError {
    /// It took too long.
    #[error("connecting took too long")]
    Timeout,
    /// Refused, unreachable, unknown to DNS, TLS failed.
    #[error("no connection: {0}")]
    Failed(String),
}

/// A new connection.
pub struct Dialed {
    stream: Stream,
    is_http2: bool,
}

impl Dialer {
    /// Connects to whoever is to be called, within `timeout`; gives up a connection of which
    /// nothing that was sent is acknowledged for as long as `silence`.
    ///
    /// # Errors
    /// [`SetupError`], as [`Upstream::new`](super::Upstream::new).
    pub fn new(to: &Endpoint, timeout: Duration, silence: Duration) -> Result<Self, SetupError> {
        let url = to.url();
        let authority = &url[Position::BeforeHost..Position::AfterPort];
        let target = format!("{}://{authority}/", url.scheme());
        let target = Uri::try_from(target).map_err(|it| SetupError::Url(it.to_string()))?;
        let connector = Connector::new(to, target, silence, &|_| {})?;
        Ok(Self { connector, timeout })
    }

    /// The same, for what HTTP/2 has not.
    #[must_use]
    pub fn only_http1(self) -> Self {
        Self {
            connector: self.connector.only_http1(),
            timeout: self.timeout,
        }
    }
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<Dialed>;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, DialError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self {
            connector,
            timeout: time,
        } = self.clone();
        Box::pin(async move {
            let connected = timeout(time, connector.connect()).await;
            let Connected {
                stream, version, ..
            } = match connected {
                Ok(Ok(connected)) => connected,
                Ok(Err(ConnectError::Failed(text))) => return Err(DialError::Failed(text)),
                Ok(Err(ConnectError::Timeout)) | Err(_) => return Err(DialError::Timeout),
            };
            let is_http2 = version == Version::Http2;
            Ok(TokioIo::new(Dialed { stream, is_http2 }))
        })
    }
}

impl Connection for Dialed {
    fn connected(&self) -> About {
        match self.is_http2 {
            true => About::new().negotiated_h2(),
            false => About::new(),
        }
    }
}

impl AsyncRead for Dialed {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(io) => Pin::new(io).poll_read(context, buffer),
            Stream::Tls(io) => Pin::new(io).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Dialed {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(io) => Pin::new(io).poll_write(context, bytes),
            Stream::Tls(io) => Pin::new(io).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(io) => Pin::new(io).poll_write_vectored(context, slices),
            Stream::Tls(io) => Pin::new(io).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(io) => io.is_write_vectored(),
            Stream::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(io) => Pin::new(io).poll_flush(context),
            Stream::Tls(io) => Pin::new(io).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(io) => Pin::new(io).poll_shutdown(context),
            Stream::Tls(io) => Pin::new(io).poll_shutdown(context),
        }
    }
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer").finish_non_exhaustive()
    }
}
