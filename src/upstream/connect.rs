//! New connections to the upstream: DNS and TCP, or a unix socket, and TLS where the URL
//! says so.
//!
//! The [`pool`](super::pool) asks for one when it has none. Names are resolved for
//! each, certificates verified as its [`Tls`] has it, and HTTP/2 is spoken
//! where the upstream chooses it in the handshake. Until a connection is there,
//! nothing of a batch is sent.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio_util::either::Either;
use tower_service::Service;

use super::endpoint::Endpoint;
use super::error::{OF_ROUTE, SetupError, told};
use super::secured::Secured;
use super::socket::{Socket, Track};
use super::tls::{Handshake, Tls};
use super::unix;
use crate::tls::words::Names;

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// The system gave up on it.
    Timeout,
    /// Refused, unreachable, unknown, TLS failed.
    Failed(String),
}

/// Which version of HTTP a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

/// A new connection.
pub(super) struct Connected {
    pub stream: Stream,
    pub track: Arc<Track>,
    pub version: Version,
}

pub(super) enum Stream {
    Plain(Socket),
    Tls(Box<Secured>),
}

/// How to connect.
#[derive(Clone)]
pub(super) struct Connector {
    way: Way,
    tls: Option<Handshake>,
    /// What is spoken without TLS, which has nothing to choose by.
    plain: Version,
    silence: Duration,
}

/// What is below.
#[derive(Clone)]
enum Way {
    Tcp(HttpConnector, Uri),
    Unix(Arc<Path>),
}

impl Connector {
    /// Connects to `target`, which is `to` without its secrets; gives up a connection of which
    /// nothing that was sent is acknowledged for as long as `silence`.
    pub fn new(
        to: &Endpoint,
        target: Uri,
        silence: Duration,
        tls: Tls,
        adapt: &dyn Fn(&mut Adapt),
    ) -> Result<Self, SetupError> {
        let url = to.url();
        let mut adapted = Adapt::default();
        adapt(&mut adapted);
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // The call is over when an upstream has answered, and its timeout with it.
        // One that answers early and then reads no more would keep its connection,
        // and what is left of the batch, for ever.
        #[cfg(target_os = "linux")]
        tcp.set_tcp_user_timeout(Some(silence));
        let tls = match url.scheme() {
            "https" => Some(tls.handshake(url)?),
            _ => None,
        };
        let way = match to.socket() {
            None => Way::Tcp(tcp, target),
            Some(socket) => Way::Unix(Arc::clone(socket)),
        };
        Ok(Self {
            way,
            tls,
            plain: adapted.plain,
            silence,
        })
    }

    /// The same, for what HTTP/2 has not: an upgrade.
    #[must_use]
    pub fn only_http1(mut self) -> Self {
        self.plain = Version::Http1;
        self.tls = self.tls.map(Handshake::only_http1);
        self
    }

    /// Whether HTTP/2 is spoken whatever the upstream says.
    pub fn speaks_http2(&self) -> bool {
        self.tls.is_none() && self.plain == Version::Http2
    }

    pub async fn connect(&self) -> Result<Connected, ConnectError> {
        let (socket, track) = match &self.way {
            Way::Tcp(tcp, target) => {
                // Always ready.
                let connecting = tcp.clone().call(target.clone());
                let tcp = connecting.await;
                let tcp = tcp.map_err(|error| failed(&error, &OF_ROUTE))?;
                Socket::new(Either::Left(tcp.into_inner()), None)
            }
            Way::Unix(path) => {
                let stream = unix::connect(path).await.map_err(ConnectError::Failed)?;
                Socket::new(Either::Right(stream), Some(self.silence))
            }
        };
        let Some(tls) = &self.tls else {
            return Ok(Connected {
                stream: Stream::Plain(socket),
                track,
                version: self.plain,
            });
        };
        let stream = tls.over(socket).await;
        let stream = stream.map_err(|error| failed(&error, tls.names))?;
        let version = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Version::Http2,
            _ => Version::Http1,
        };
        Ok(Connected {
            stream: Stream::Tls(Box::new(Secured::new(stream, Arc::clone(&track)))),
            track,
            version,
        })
    }
}

/// What tests have otherwise.
pub(super) struct Adapt {
    pub plain: Version,
}

impl Default for Adapt {
    fn default() -> Self {
        Self {
            plain: Version::Http1,
        }
    }
}

/// The system's own timeout for connecting may be shorter than ours.
fn failed(error: &(dyn Error + 'static), names: &Names) -> ConnectError {
    let timed_out = |error: &(dyn Error + 'static)| {
        let error = error.downcast_ref::<io::Error>();
        error.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
    };
    let causes = std::iter::successors(Some(error), |&error| error.source());
    match causes.into_iter().any(timed_out) {
        true => ConnectError::Timeout,
        false => ConnectError::Failed(told(error, names)),
    }
}

impl Stream {
    pub fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}
