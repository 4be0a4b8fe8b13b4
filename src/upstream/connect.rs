//! New connections to the upstream: DNS and TCP, or a unix socket, and TLS where the URL
//! says so.
//!
//! The [`pool`](super::pool) asks for one when it has none. Names are resolved for
//! each, certificates verified against the system's roots, and HTTP/2 is spoken
//! where the upstream chooses it in the handshake. Until a connection is there,
//! nothing of a batch is sent.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use rustls_platform_verifier::Verifier;
use thiserror::Error;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig};
use tokio_util::either::Either;
use tower_service::Service;
use url::Url;

use super::endpoint::Endpoint;
use super::error::chain;
use super::socket::{Socket, Track};
use super::unix;

/// Why calls to an upstream can't be prepared.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The TLS library, or the system's roots.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The URL's host or path.
    #[error("url: {0}")]
    Url(String),
}

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
    Tls(Box<TlsStream<Socket>>),
}

/// How to connect.
#[derive(Clone)]
pub(super) struct Connector {
    way: Way,
    tls: Option<(TlsConnector, ServerName<'static>)>,
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
            "https" => Some((tls(adapted.roots)?, server_name(url)?)),
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
        self.tls = self.tls.map(|(tls, name)| {
            let mut config = ClientConfig::clone(tls.config());
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            (TlsConnector::from(Arc::new(config)), name)
        });
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
                let tcp = connecting.await.map_err(|error| failed(&error))?;
                Socket::new(Either::Left(tcp.into_inner()), None)
            }
            Way::Unix(path) => {
                let stream = unix::connect(path).await.map_err(ConnectError::Failed)?;
                Socket::new(Either::Right(stream), Some(self.silence))
            }
        };
        let Some((tls, name)) = &self.tls else {
            return Ok(Connected {
                stream: Stream::Plain(socket),
                track,
                version: self.plain,
            });
        };
        let stream = tls.connect(name.clone(), socket).await;
        let stream = stream.map_err(|error| failed(&error))?;
        let version = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Version::Http2,
            _ => Version::Http1,
        };
        Ok(Connected {
            stream: Stream::Tls(Box::new(stream)),
            track,
            version,
        })
    }
}

/// What tests have otherwise.
pub(super) struct Adapt {
    pub plain: Version,
    pub roots: Option<rustls::RootCertStore>,
}

impl Default for Adapt {
    fn default() -> Self {
        Self {
            plain: Version::Http1,
            roots: None,
        }
    }
}

fn tls(roots: Option<rustls::RootCertStore>) -> Result<TlsConnector, rustls::Error> {
    let provider = CryptoProvider::get_default().cloned();
    let provider = provider.unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()));
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = match roots {
        Some(roots) => builder.with_root_certificates(roots),
        None => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier::new(provider)?)),
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn server_name(url: &Url) -> Result<ServerName<'static>, SetupError> {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).map_err(|error| SetupError::Url(error.to_string()))
}

/// The system's own timeout for connecting may be shorter than ours.
fn failed(error: &(dyn Error + 'static)) -> ConnectError {
    let timed_out = |error: &(dyn Error + 'static)| {
        let error = error.downcast_ref::<io::Error>();
        error.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
    };
    let causes = std::iter::successors(Some(error), |&error| error.source());
    match causes.into_iter().any(timed_out) {
        true => ConnectError::Timeout,
        false => ConnectError::Failed(chain(error)),
    }
}

impl Stream {
    pub fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}
