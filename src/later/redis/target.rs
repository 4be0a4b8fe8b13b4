//! Where a Redis is, and a stream of bytes to it: TCP, TLS, or a unix socket.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use redis::{ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo};
use rustls_platform_verifier::Verifier;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use url::Url;

use super::error::OpenError;

/// When a connection that nothing comes on is asked whether it is there, and how often: the
/// kernel does, and Redis knows nothing of it.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// Bytes to a Redis and back.
pub(super) trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

/// Where it is.
pub(super) struct Target {
    address: Address,
    /// Database, user and password.
    pub login: RedisConnectionInfo,
    /// The address as text, without a password.
    pub at: String,
}

enum Address {
    Tcp {
        host: String,
        port: u16,
        tls: Option<(TlsConnector, ServerName<'static>)>,
    },
    Unix(PathBuf),
}

impl Target {
    /// What the URL says; `ca` are the certificates that are trusted, rather than the
    /// system's.
    pub fn new(text: &str, ca: Option<&Path>) -> Result<Self, OpenError> {
        let wrong = |why: String| OpenError::Url { why };
        let mut url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
        let is_tls = match url.scheme() {
            "rediss" => url.set_scheme("redis").is_ok(),
            _ => false,
        };
        let info = url
            .into_connection_info()
            .map_err(|error| wrong(error.to_string()))?;
        let database = info.redis_settings().db();
        let (address, at) = match info.addr() {
            ConnectionAddr::Tcp(host, port) => {
                let (scheme, tls) = match is_tls {
                    true => ("rediss", Some((connector(ca)?, server_name(host)?))),
                    false => ("redis", None),
                };
                let shown = match host.contains(':') {
                    true => format!("[{host}]"),
                    false => host.clone(),
                };
                let at = format!("{scheme}://{shown}:{port}/{database}");
                let (host, port) = (host.clone(), *port);
                (Address::Tcp { host, port, tls }, at)
            }
            ConnectionAddr::Unix(path) => {
                let at = format!("unix://{}?db={database}", path.display());
                (Address::Unix(path.clone()), at)
            }
            _ => return Err(wrong("it is of another kind".to_owned())),
        };
        Ok(Self {
            address,
            login: info.redis_settings().clone(),
            at,
        })
    }

    /// A connection.
    pub async fn connect(&self) -> Result<Box<dyn Bytes>, OpenError> {
        let unreachable = |error: io::Error| OpenError::Unreachable {
            at: self.at.clone(),
            why: error.to_string(),
        };
        match &self.address {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(unreachable)?;
                Ok(Box::new(stream))
            }
            Address::Tcp { host, port, tls } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await;
                let stream = stream.map_err(unreachable)?;
                kept_alive(&stream).map_err(unreachable)?;
                let Some((tls, name)) = tls else {
                    return Ok(Box::new(stream));
                };
                let stream = tls.connect(name.clone(), stream).await;
                let stream = stream.map_err(|error| OpenError::Tls {
                    at: self.at.clone(),
                    why: error.to_string(),
                })?;
                Ok(Box::new(stream))
            }
        }
    }
}

fn kept_alive(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE_INTERVAL);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// The same provider as the rest of the process has.
fn connector(ca: Option<&Path>) -> Result<TlsConnector, OpenError> {
    let wrong = |error: tokio_rustls::rustls::Error| OpenError::Url {
        why: format!("no TLS can be set up: {error}"),
    };
    let provider = CryptoProvider::get_default().cloned();
    let provider = provider.unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()));
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(wrong)?;
    let builder = match ca {
        Some(path) => builder.with_root_certificates(roots(path)?),
        None => {
            let verifier = Verifier::new(provider).map_err(wrong)?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    Ok(TlsConnector::from(Arc::new(builder.with_no_client_auth())))
}

fn roots(path: &Path) -> Result<RootCertStore, OpenError> {
    let wrong = |why: String| OpenError::Ca {
        path: path.to_owned(),
        why,
    };
    let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| wrong(error.to_string()))?;
    }
    match roots.is_empty() {
        true => Err(wrong("there is no certificate in it".to_owned())),
        false => Ok(roots),
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, OpenError> {
    ServerName::try_from(host.to_owned()).map_err(|error| OpenError::Url {
        why: error.to_string(),
    })
}
