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
use crate::reread::Reread;
use crate::tls::client::{HTTP1, HTTP2_OR_1, Trust, config};
use crate::tls::words::Names;
use crate::tls::{
    Authorities, Certificate, Certified, HasCertificates, Identity, PemFile, Unsound,
};

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
    Roots(Arc<RootCertStore>),
    /// What files come to.
    Files(Arc<Reread<Configs>>),
}

/// How connections are made, by what is spoken over them.
#[derive(Debug)]
pub(super) struct Configs {
    any: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
    certificates: Vec<Certificate>,
}

impl HasCertificates for Configs {
    fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }
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
                let make =
                    move |contents: &[Vec<u8>]| made(ca.as_deref(), identity.as_ref(), contents);
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
            source: Source::Roots(Arc::new(roots)),
            ..Self::system()
        }
    }

    /// The files that are to be looked at again, where there are any.
    pub fn files(&self) -> Option<Arc<dyn Certified>> {
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
        let config = config(trust, None, HTTP2_OR_1)?;
        Ok(Arc::new(Self::of(config, Vec::new())))
    }

    fn of(any: ClientConfig, certificates: Vec<Certificate>) -> Self {
        let mut http1 = any.clone();
        http1.alpn_protocols = HTTP1.iter().map(|it| it.to_vec()).collect();
        Self {
            any: Arc::new(any),
            http1: Arc::new(http1),
            certificates,
        }
    }
}

/// What the contents of the files come to, in the order in which their paths are given.
fn made(
    ca: Option<&Path>,
    identity: Option<&(PathBuf, PathBuf)>,
    contents: &[Vec<u8>],
) -> Result<Configs, String> {
    let mut contents = contents.iter();
    let mut next = |path| PemFile {
        path,
        contents: contents.next().map_or(&[][..], Vec::as_slice),
    };
    let said = |error: Unsound| error.to_string();
    let mut certificates = Vec::new();
    let mut lasts = |file: &Path, validity| {
        let file = file.to_owned();
        certificates.push(Certificate { file, validity });
    };
    let trust = match ca {
        None => Trust::System,
        Some(path) => {
            let authorities = Authorities::read(next(path)).map_err(said)?;
            lasts(path, authorities.validity);
            Trust::Roots(authorities.roots)
        }
    };
    let identity = match identity {
        None => None,
        Some((cert, key)) => {
            let identity = Identity::read(next(cert), next(key)).map_err(said)?;
            lasts(cert, identity.validity);
            Some(identity)
        }
    };
    let config = config(trust, identity, HTTP2_OR_1).map_err(|it| it.to_string())?;
    Ok(Configs::of(config, certificates))
}
