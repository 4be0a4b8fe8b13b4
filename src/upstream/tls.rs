//! What an `https` upstream is verified by, and what it is shown.
//!
//! A route has one [`Tls`], whose files are read again when they change: connections that are
//! made from then on go by the new ones. Those that there are last as long as they do.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
#[cfg(test)]
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig};
use url::Url;

use super::error::{OF_ROUTE, OF_SYSTEM, SetupError};
use crate::reread::{Again, Reread};
use crate::tls::client::{HTTP1, HTTP2_OR_1, Identity, Trust, WrongPart, config, roots};
use crate::tls::words::Names;

/// The settings of a route's TLS. What is not given is as for any server: the system's roots, no
/// certificate of ours, the name that the URL has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Who signs the upstream's certificate.
    pub ca: Option<PathBuf>,
    /// Our certificate with its chain, and its private key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name that the upstream's certificate must have, which it is told (SNI).
    pub server_name: Option<ServerName<'static>>,
}

/// What an upstream is connected to by. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Tls {
    source: Source,
    server_name: Option<ServerName<'static>>,
    names: &'static Names,
}

#[derive(Clone, Debug)]
enum Source {
    /// The system's roots, which are read where there is something to connect to.
    System,
    /// Those of a test.
    #[cfg(test)]
    Roots(RootCertStore),
    /// What files come to.
    Files(Arc<Reread<Configs>>),
}

/// How connections are made, by what is spoken over them.
#[derive(Debug)]
pub(super) struct Configs {
    any: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
}

/// Makes connections of one host into those of TLS.
#[derive(Clone)]
pub(super) struct Handshake {
    configs: Current,
    http1: bool,
    name: ServerName<'static>,
    /// What is said of what goes wrong.
    pub names: &'static Names,
}

#[derive(Clone)]
enum Current {
    Always(Arc<Configs>),
    Files(Arc<Reread<Configs>>),
}

impl Tls {
    /// As for any server.
    pub fn system() -> Self {
        Self {
            source: Source::System,
            server_name: None,
            names: &OF_SYSTEM,
        }
    }

    /// As the settings of a route have it, whose files it reads. `key` is what they are called.
    ///
    /// # Errors
    /// [`SetupError::Files`]: what is wrong with which.
    pub fn open(settings: &TlsSettings, key: &str) -> Result<Self, SetupError> {
        let TlsSettings {
            ca,
            identity,
            server_name,
        } = settings.clone();
        let source = match (&ca, &identity) {
            (None, None) => Source::System,
            _ => {
                let pair = identity.iter().flat_map(|(cert, key)| [cert, key]);
                let paths = ca.iter().chain(pair).cloned().collect();
                let make = move |contents: &[Vec<u8>]| made(&ca, &identity, contents);
                let files = Reread::open(key, paths, make);
                Source::Files(files.map_err(|error| {
                    let key = key.to_owned();
                    SetupError::Files { key, error }
                })?)
            }
        };
        Ok(Self {
            source,
            server_name,
            names: &OF_ROUTE,
        })
    }

    /// What a test trusts.
    #[cfg(test)]
    pub(super) fn of_roots(roots: RootCertStore) -> Self {
        Self {
            source: Source::Roots(roots),
            ..Self::system()
        }
    }

    /// What to have looked at again, where there are files.
    pub fn again(&self) -> Option<Arc<dyn Again>> {
        match &self.source {
            Source::Files(files) => Some(Arc::clone(files) as _),
            _ => None,
        }
    }

    /// What makes connections to the host of `url`.
    pub(super) fn handshake(self, url: &Url) -> Result<Handshake, SetupError> {
        let configs = match self.source {
            Source::Files(files) => Current::Files(files),
            Source::System => Current::Always(Configs::new(Trust::System)?),
            #[cfg(test)]
            Source::Roots(roots) => Current::Always(Configs::new(Trust::Roots(roots))?),
        };
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let own = || ServerName::try_from(host.to_owned());
        let name = self.server_name.map_or_else(own, Ok);
        Ok(Handshake {
            configs,
            http1: false,
            name: name.map_err(|error| SetupError::Url(error.to_string()))?,
            names: self.names,
        })
    }
}

impl Handshake {
    /// The same, for what HTTP/2 has not.
    #[must_use]
    pub fn only_http1(self) -> Self {
        Self {
            http1: true,
            ..self
        }
    }

    /// Speaks TLS over a connection.
    pub async fn over<Io>(&self, io: Io) -> io::Result<TlsStream<Io>>
    where
        Io: AsyncRead + AsyncWrite + Unpin,
    {
        let configs = match &self.configs {
            Current::Always(configs) => Arc::clone(configs),
            Current::Files(files) => files.current(),
        };
        let config = match self.http1 {
            true => &configs.http1,
            false => &configs.any,
        };
        let connector = TlsConnector::from(Arc::clone(config));
        connector.connect(self.name.clone(), io).await
    }
}

impl Configs {
    fn new(trust: Trust) -> Result<Arc<Self>, rustls::Error> {
        Ok(Arc::new(Self::of(config(trust, None, HTTP2_OR_1)?)))
    }

    fn of(any: ClientConfig) -> Self {
        let mut http1 = any.clone();
        http1.alpn_protocols = HTTP1.iter().map(|it| it.to_vec()).collect();
        Self {
            any: Arc::new(any),
            http1: Arc::new(http1),
        }
    }
}

/// What the contents of the files come to, in the order in which their paths are given.
fn made(
    ca: &Option<PathBuf>,
    identity: &Option<(PathBuf, PathBuf)>,
    contents: &[Vec<u8>],
) -> Result<Configs, String> {
    let mut contents = contents.iter();
    let mut next = || contents.next().map(Vec::as_slice).unwrap_or_default();
    let wrong = |path: &Path, why: &str| format!("{}: {why}", path.display());
    let trust = match ca {
        None => Trust::System,
        Some(path) => Trust::Roots(roots(next()).map_err(|why| wrong(path, &why))?),
    };
    let Some((cert, key)) = identity else {
        let config = config(trust, None, HTTP2_OR_1);
        return config.map(Configs::of).map_err(|it| it.to_string());
    };
    let identity = Identity::new(next(), next()).map_err(|part| match part {
        WrongPart::Chain(why) => wrong(cert, &why),
        WrongPart::Key(why) => wrong(key, &why),
    })?;
    let config = config(trust, Some(identity), HTTP2_OR_1);
    config.map(Configs::of).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            let cert = cert.display();
            wrong(key, &format!("is not the key of the certificate in {cert}"))
        }
        error => wrong(cert, &error.to_string()),
    })
}
