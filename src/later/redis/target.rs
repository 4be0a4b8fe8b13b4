//! Where a Redis is, and a stream of bytes to it: TCP, TLS, or a unix socket.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use redis::{ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::spawn_blocking;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tracing::warn;
use url::Url;

use super::error::OpenError;
use crate::reread::{Again as _, Looked, Reread};
use crate::tls::client::{Trust, config};
use crate::tls::words::{Names, cause, told};
use crate::tls::{Authorities, PemFile};

/// What is said of TLS with a Redis.
const NAMES: Names = Names {
    peer: "the Redis",
    ca: "later.ca",
    server_name: "later.store",
    identity: "set tls-auth-clients no there",
    plain: "where it speaks no TLS, later.store begins with redis://",
};

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

/// How certificates are checked.
enum Tls {
    /// By the system's roots.
    System(Arc<ClientConfig>),
    /// By those of a file, which is looked at again for each connection: there are few.
    File(Arc<Reread<Arc<ClientConfig>>>),
}

enum Address {
    Tcp {
        host: String,
        port: u16,
        tls: Option<(Tls, ServerName<'static>)>,
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
                    true => ("rediss", Some((Tls::new(ca)?, server_name(host)?))),
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
                let stream = tls.connector().await.connect(name.clone(), stream).await;
                let stream = stream.map_err(|error| OpenError::Tls {
                    at: self.at.clone(),
                    why: why(&error),
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

/// Why there is no TLS, and what to do.
fn why(error: &io::Error) -> String {
    let told = cause(error).and_then(|error| told(error, &NAMES));
    told.unwrap_or_else(|| {
        format!(
            "{error}; name its certificate authority in {}, and {}",
            NAMES.ca, NAMES.plain
        )
    })
}

impl Tls {
    fn new(ca: Option<&Path>) -> Result<Self, OpenError> {
        let made = |trust| config(trust, None, &[]).map(Arc::new);
        let Some(path) = ca else {
            let system = made(Trust::System);
            return system.map(Self::System).map_err(|error| OpenError::Url {
                why: format!("no TLS can be set up: {error}"),
            });
        };
        let file = path.to_owned();
        let opened = Reread::open("later.ca", vec![file.clone()], move |contents| {
            let file = PemFile {
                path: &file,
                contents: contents.first().map_or(&[][..], Vec::as_slice),
            };
            let authorities = Authorities::read(file).map_err(|error| error.to_string())?;
            made(Trust::Roots(authorities.roots)).map_err(|error| error.to_string())
        });
        let opened = opened.map_err(|error| OpenError::Ca {
            why: error.to_string(),
        });
        Ok(Self::File(opened?))
    }

    async fn connector(&self) -> TlsConnector {
        TlsConnector::from(match self {
            Self::System(config) => Arc::clone(config),
            Self::File(file) => {
                let again = Arc::clone(file);
                let looked = spawn_blocking(move || again.look()).await;
                if let Ok(Looked::Failed(error)) = looked {
                    warn!(%error, "later.ca has changed, and does not do: what was in force stays");
                }
                Arc::clone(file.current().as_ref())
            }
        })
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, OpenError> {
    ServerName::try_from(host.to_owned()).map_err(|error| OpenError::Url {
        why: error.to_string(),
    })
}
