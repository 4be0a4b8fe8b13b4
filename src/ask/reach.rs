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

use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, ClientBuilder};
use rustls_platform_verifier::Verifier;
use thiserror::Error;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, RootCertStore};

use super::pass::Pass;
use crate::address::Address;
use crate::reread::{OpenError, read};
use crate::tls::client::{HTTP1, Identity, Trust, WrongPart, certificates, config, provider, roots};
use crate::tls::known::{Known, Signed};
use crate::tls::words::Names;

/// What is said of TLS with a proxy.
pub(super) const NAMES: Names = Names {
    peer: "the proxy",
    ca: "--ca",
    server_name: "--server-name",
    identity: "--cert and --key",
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
    #[error("{name} {error}")]
    File {
        /// The flag or the setting that names it.
        name: &'static str,
        /// Why.
        error: OpenError,
    },
    /// A file is not what it is to be.
    #[error("{name} {}: {what}", file.display())]
    Unsound {
        /// The flag or the setting that names it.
        name: &'static str,
        /// Which.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// There can be no certificate for it.
    #[error("--server-name {0:?} is neither a DNS name nor an IP address; write it without a port")]
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
            false => Trust::Roots(RootCertStore::empty()),
        };
        let tls = config(trust, identity(pass)?, HTTP1);
        let tls = tls.map_err(|error| match (&pass.key, error) {
            (Some(key), rustls::Error::InconsistentKeys(_)) => ReachError::Unsound {
                name: "--key",
                file: key.clone(),
                what: "is not the key of the certificate in --cert".to_owned(),
            },
            (_, error) => ReachError::Tls(error),
        })?;
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

fn file(name: &'static str, path: &Path) -> Result<Vec<u8>, ReachError> {
    read(path).map_err(|error| ReachError::File { name, error })
}

fn unsound(name: &'static str, path: &Path) -> impl Fn(String) -> ReachError {
    let file = path.to_owned();
    move |what| ReachError::Unsound {
        name,
        file: file.clone(),
        what,
    }
}

fn trust(cert: Option<&Path>, pass: &Pass) -> Result<Trust, ReachError> {
    const CERT: &str = "the listener's tls.cert";
    let own = cert.map(|path| {
        let shown = certificates(&file(CERT, path)?).map_err(unsound(CERT, path))?;
        Ok(shown.into_iter().next())
    });
    let verifier: Option<Arc<dyn ServerCertVerifier>> = match (&pass.ca, &pass.server_name) {
        (Some(path), _) => {
            let roots = roots(&file("--ca", path)?).map_err(unsound("--ca", path))?;
            let verifier =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
            let wrong = |error: rustls::server::VerifierBuilderError| {
                unsound("--ca", path)(error.to_string())
            };
            Some(verifier.map_err(wrong)?)
        }
        (None, Some(_)) => Some(Arc::new(Verifier::new(provider())?)),
        (None, None) => None,
    };
    let name = pass.server_name.as_ref().map(|name| {
        let parsed = ServerName::try_from(name.clone());
        parsed.map_err(|_| ReachError::ServerName(name.clone()))
    });
    let name = name.transpose()?;
    let signed = verifier.map(|verifier| Signed { verifier, name });
    // A file that is amid its renewal must not be in the way of what does without it.
    let own = match (own.transpose(), &signed) {
        (Ok(own), _) => own.flatten(),
        (Err(_), Some(_)) => None,
        (Err(error), None) => return Err(error),
    };
    Ok(Trust::Verifier(Arc::new(Known::new(own, signed))))
}

fn identity(pass: &Pass) -> Result<Option<Identity>, ReachError> {
    let Some((cert, key)) = pass.cert.as_deref().zip(pass.key.as_deref()) else {
        return Ok(None);
    };
    let identity = Identity::new(&file("--cert", cert)?, &file("--key", key)?);
    identity.map(Some).map_err(|part| match part {
        WrongPart::Chain(why) => unsound("--cert", cert)(why),
        WrongPart::Key(why) => unsound("--key", key)(why),
    })
}

/// The token as a header, which nothing prints.
fn token(pass: &Pass) -> Result<Option<HeaderValue>, ReachError> {
    const FLAG: &str = "--token-file";
    let Some(path) = &pass.token_file else {
        return Ok(None);
    };
    let text = file(FLAG, path)?;
    let text = text.trim_ascii();
    let wrong = unsound(FLAG, path);
    if text.is_empty() {
        return Err(wrong("is empty; write the token into it".to_owned()));
    }
    if !text.iter().all(u8::is_ascii_graphic) {
        return Err(wrong(
            "holds more than a token; write what `microbatch token` has printed into it, alone"
                .to_owned(),
        ));
    }
    let mut header = HeaderValue::from_bytes(&[b"Bearer ", text].concat())
        .map_err(|error| wrong(error.to_string()))?;
    header.set_sensitive(true);
    Ok(Some(header))
}
