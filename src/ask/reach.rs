//! How a listener of a running proxy is reached: its address, over TLS where it speaks that, and
//! with a token.
//!
//! Every command goes by it. The proxy's own settings say where the listener is and which
//! certificate it shows; a [`Pass`] says what the command is given besides.
//!
//! | there is | spoken | who is found good |
//! |---|---|---|
//! | no certificate in the settings, neither `--ca` nor `--server-name` | plain HTTP | |
//! | a certificate in the settings | TLS | who shows the very certificate of that file |
//! | `--ca` | TLS | also whom one of its certificates has signed |
//! | `--server-name` without `--ca` | TLS | also whom the system trusts |
//!
//! Who is good by a signature must have the name of `--server-name`, else the address's.

use std::path::Path;
use std::sync::Arc;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, ClientBuilder};
use rustls_platform_verifier::Verifier;
use thiserror::Error;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, RootCertStore, server};

use super::pass::Pass;
use crate::address::Address;
use crate::reread::{OpenError, read};
use crate::tls::client::{HTTP1, Trust, config, provider};
use crate::tls::known::{Known, Signed};
use crate::tls::words::Names;
use crate::tls::{Authorities, Identity, PemFile, Unsound};

/// What is said of TLS with a proxy.
pub(super) const NAMES: Names = Names {
    peer: "the proxy",
    ca: "--ca",
    server_name: "--server-name",
    identity: "give it one that it trusts by --cert and --key",
    plain: "leave --ca and --server-name out, and give the --config that the proxy has",
};

/// A listener, as the proxy's settings have it.
#[derive(Clone, Copy, Debug)]
pub struct Listener<'a> {
    /// Where it is.
    pub listen: &'a Address,
    /// The file of its certificate, where it speaks TLS.
    pub cert: Option<&'a Path>,
}

/// A listener that can be asked.
#[derive(Debug)]
pub struct Reach {
    /// What asks it, to be given its times.
    pub client: ClientBuilder,
    /// What every URL begins with, such as `http://127.0.0.1:8081`.
    pub base: String,
}

/// Why a listener can't be asked: what is wrong with what was given.
#[derive(Debug, Error)]
pub enum ReachError {
    /// A file is not to be had.
    #[error("{name}: {error}")]
    File {
        /// The flag or the setting that names it.
        name: &'static str,
        /// Which, and why.
        error: OpenError,
    },
    /// A file is not what it is to be.
    #[error("{name}: {error}")]
    Unsound {
        /// The flag or the setting that names it.
        name: &'static str,
        /// Which, and what is wrong with it.
        error: Unsound,
    },
    /// There can be no certificate for it.
    #[error(
        "--server-name: {0:?} is neither a DNS name nor an IP address; write it without a port"
    )]
    ServerName(String),
    /// The TLS library, or the system's roots.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl Reach {
    /// Prepares to ask this listener; nothing is connected yet.
    ///
    /// # Errors
    /// What was given does not do.
    pub fn new(listener: Listener<'_>, pass: &Pass) -> Result<Self, ReachError> {
        let is_tls = listener.cert.is_some() || pass.ca.is_some() || pass.server_name.is_some();
        let trust = match is_tls {
            true => trust(listener.cert, pass)?,
            // The system's roots may not even be there.
            false => Trust::Roots(Arc::new(RootCertStore::empty())),
        };
        let tls = config(trust, identity(pass)?, HTTP1)?;
        let mut client = Client::builder().no_proxy().tls_backend_preconfigured(tls);
        if let Some(token) = token(pass)? {
            client = client.default_headers(HeaderMap::from_iter([(AUTHORIZATION, token)]));
        }
        let scheme = if is_tls { "https" } else { "http" };
        let base = match listener.listen.connectable() {
            Address::Tcp(address) => format!("{scheme}://{address}"),
            Address::Unix(path) => {
                client = client.unix_socket(path);
                format!("{scheme}://localhost")
            }
        };
        Ok(Self { client, base })
    }
}

/// A file that a flag or a setting of this name names.
struct File<'a> {
    name: &'static str,
    path: &'a Path,
    contents: Vec<u8>,
}

impl<'a> File<'a> {
    fn read(name: &'static str, path: &'a Path) -> Result<Self, ReachError> {
        let contents = read(path).map_err(|error| ReachError::File { name, error })?;
        Ok(Self {
            name,
            path,
            contents,
        })
    }

    fn pem(&self) -> PemFile<'_> {
        PemFile {
            path: self.path,
            contents: &self.contents,
        }
    }

    fn unsound(&self, error: Unsound) -> ReachError {
        let name = self.name;
        ReachError::Unsound { name, error }
    }
}

fn trust(cert: Option<&Path>, pass: &Pass) -> Result<Trust, ReachError> {
    let signed = signed(pass)?;
    // A file that is amid its renewal must not be in the way of what does without it.
    let own = match (cert.map(own).transpose(), &signed) {
        (Ok(own), _) => own,
        (Err(_), Some(_)) => None,
        (Err(error), None) => return Err(error),
    };
    Ok(Trust::Verifier(Arc::new(Known::new(own, signed))))
}

/// The first certificate of the file that the settings name.
fn own(cert: &Path) -> Result<CertificateDer<'static>, ReachError> {
    let file = File::read("the listener's tls.cert", cert)?;
    let shown = file.pem().certificates();
    let shown = shown.map_err(|error| file.unsound(error))?;
    let first = shown.into_iter().next();
    first.ok_or_else(|| file.unsound(file.pem().unsound("holds no certificate")))
}

/// Who verifies certificates by their signatures, where that is asked for.
fn signed(pass: &Pass) -> Result<Option<Signed>, ReachError> {
    let verifier: Arc<dyn ServerCertVerifier> = match (&pass.ca, &pass.server_name) {
        (Some(path), _) => {
            let file = File::read("--ca", path)?;
            let authorities = Authorities::read(file.pem()).map_err(|it| file.unsound(it))?;
            let verifier =
                WebPkiServerVerifier::builder_with_provider(authorities.roots, provider());
            let wrong = |error: server::VerifierBuilderError| {
                file.unsound(file.pem().unsound(error.to_string()))
            };
            verifier.build().map_err(wrong)?
        }
        (None, Some(_)) => Arc::new(Verifier::new(provider())?),
        (None, None) => return Ok(None),
    };
    let name = pass.server_name.as_ref().map(|name| {
        let parsed = ServerName::try_from(name.clone());
        parsed.map_err(|_| ReachError::ServerName(name.clone()))
    });
    let name = name.transpose()?;
    Ok(Some(Signed { verifier, name }))
}

fn identity(pass: &Pass) -> Result<Option<Identity>, ReachError> {
    let Some((cert, key)) = pass.cert.as_deref().zip(pass.key.as_deref()) else {
        return Ok(None);
    };
    let (cert, key) = (File::read("--cert", cert)?, File::read("--key", key)?);
    let identity = Identity::read(cert.pem(), key.pem());
    identity.map(Some).map_err(|error| {
        let is_of_key = error.file == key.path && error.file != cert.path;
        let file = if is_of_key { &key } else { &cert };
        file.unsound(error)
    })
}

/// The token as a header, which nothing prints.
fn token(pass: &Pass) -> Result<Option<HeaderValue>, ReachError> {
    let Some(path) = &pass.token_file else {
        return Ok(None);
    };
    let file = File::read("--token-file", path)?;
    let wrong = |what: &str| file.unsound(file.pem().unsound(what));
    let text = file.contents.trim_ascii();
    if text.is_empty() {
        return Err(wrong("is empty; write the token into it"));
    }
    if !text.iter().all(u8::is_ascii_graphic) {
        return Err(wrong(
            "holds more than a token; write what `microbatch token` has printed into it, alone",
        ));
    }
    let header = HeaderValue::from_bytes(&[b"Bearer ", text].concat());
    let mut header = header.map_err(|_| wrong("holds no token"))?;
    header.set_sensitive(true);
    Ok(Some(header))
}
