//! What a listener goes by that speaks TLS.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ConfigBuilder, ServerConfig, WantsVerifier};

use super::authorities::Authorities;
use super::certificate::{Certificate, HasCertificates};
use super::identity::Identity;
use super::pem::PemFile;
use crate::reread::{OpenError, Reread};

/// The protocols on top, the better first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The files of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate with its chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Who may sign the certificates of clients, where those need one.
    pub client_ca: Option<PathBuf>,
}

/// See the module.
#[derive(Debug)]
pub struct Server {
    /// By what hands are shaken.
    pub config: Arc<ServerConfig>,
    certificates: Vec<Certificate>,
}

impl HasCertificates for Server {
    fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }
}

impl Files {
    /// Reads them, now and when they change. They are called `name` in the log.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn open(&self, name: &str) -> Result<Arc<Reread<Server>>, OpenError> {
        let files = self.clone();
        let paths = [&self.cert, &self.key].into_iter().chain(&self.client_ca);
        let paths = paths.cloned().collect();
        Reread::open(name, paths, move |contents| files.make(contents))
    }

    fn make(&self, contents: &[Vec<u8>]) -> Result<Server, String> {
        let said = |error: &dyn std::error::Error| error.to_string();
        let file = |at: usize, path| PemFile {
            path,
            contents: contents.get(at).map_or(&[][..], Vec::as_slice),
        };
        let identity = Identity::read(file(0, &self.cert), file(1, &self.key));
        let identity = identity.map_err(|it| said(&it))?;
        let mut certificates = vec![Certificate {
            file: self.cert.clone(),
            validity: identity.validity,
        }];
        let builder = with_provider().map_err(|it| said(&it))?;
        let (builder, asks) = match &self.client_ca {
            None => (builder.with_no_client_auth(), false),
            Some(path) => {
                let authorities = Authorities::read(file(2, path)).map_err(|it| said(&it))?;
                certificates.push(Certificate {
                    file: path.clone(),
                    validity: authorities.validity,
                });
                let provider = Arc::new(aws_lc_rs::default_provider());
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(authorities.roots, provider);
                let verifier = verifier.build().map_err(|it| said(&it))?;
                (builder.with_client_cert_verifier(verifier), true)
            }
        };
        let pair = Arc::new(SingleCertAndKey::from(identity.pair));
        let mut config = builder.with_cert_resolver(pair);
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        if asks {
            // A session that is resumed is not checked again: a client whose certificate is over,
            // or whose authority has gone from the file, shows it each time.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        } else {
            // Nothing is kept of a client for when it comes back. Another pair has other keys
            // for its tickets.
            config.ticketer = aws_lc_rs::Ticketer::new().map_err(|it| said(&it))?;
            config.session_storage = Arc::new(NoServerSessionStorage {});
        }
        Ok(Server {
            config: Arc::new(config),
            certificates,
        })
    }
}

fn with_provider() -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13, &TLS12])
}

#[cfg(test)]
mod tests;
