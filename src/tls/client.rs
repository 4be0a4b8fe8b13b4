//! The side that connects: whom it trusts, and what it shows of itself.
//!
//! The [`upstream`](crate::upstream), a Redis and the commands that ask a proxy are clients.
//! Each server is verified: by the system's roots, by those of a file, or by a verifier that
//! knows better. An error says what is wrong with what a file holds, and whoever has read it says
//! with which.

use std::sync::Arc;

use rustls_platform_verifier::Verifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

/// HTTP/2 where the server chooses it, and HTTP/1.1 otherwise.
pub const HTTP2_OR_1: &[&[u8]] = &[b"h2", b"http/1.1"];

/// HTTP/1.1 alone.
pub const HTTP1: &[&[u8]] = &[b"http/1.1"];

/// Whom a client trusts.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Whom the system does, in which `SSL_CERT_FILE` and `SSL_CERT_DIR` have their say.
    System,
    /// Servers whose certificate one of these has signed.
    Roots(RootCertStore),
    /// Whom this finds good.
    Verifier(Arc<dyn ServerCertVerifier>),
}

/// A certificate with its chain, and its private key.
#[derive(Debug)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// The cryptography of the whole process.
pub fn provider() -> Arc<CryptoProvider> {
    let provider = CryptoProvider::get_default().cloned();
    provider.unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()))
}

/// The certificates of a file, the first of which is whose it is.
///
/// # Errors
/// There is none, or one of them is broken.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| format!("is not PEM: {}", broken(&error)))?;
    match certificates.is_empty() {
        true => Err("has no certificate in it; write one in PEM".to_owned()),
        false => Ok(certificates),
    }
}

/// The certificates of a file as those that sign others'.
///
/// # Errors
/// There is none, or one of them is broken.
pub fn roots(text: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(text)? {
        let added = roots.add(certificate);
        added.map_err(|error| format!("has a certificate that can't be read: {error}"))?;
    }
    Ok(roots)
}

impl Identity {
    /// That of two files, the chain's and the key's. Whether they match is found out by
    /// [`config`].
    ///
    /// # Errors
    /// What is wrong with which: the chain first, else the key.
    pub fn new(chain: &[u8], key: &[u8]) -> Result<Self, WrongPart> {
        Ok(Self {
            chain: certificates(chain).map_err(WrongPart::Chain)?,
            key: private_key(key).map_err(WrongPart::Key)?,
        })
    }
}

/// Which part of an identity is wrong, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WrongPart {
    /// The certificate with its chain.
    Chain(String),
    /// The private key.
    Key(String),
}

fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound if text.windows(9).any(|it| it == b"ENCRYPTED") => {
            "has a private key that is encrypted; write it without a passphrase, readable by the \
             user of this process alone"
                .to_owned()
        }
        pem::Error::NoItemsFound => "has no private key in it; write one in PEM".to_owned(),
        error => format!("is not PEM: {}", broken(&error)),
    })
}

/// What is wrong with PEM, without what stands there: it may be part of a key.
fn broken(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no END line",
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is broken",
        pem::Error::Base64Decode(_) => "what stands between BEGIN and END is not base64",
        pem::Error::SectionTooLarge => "a section is too large",
        _ => "it can't be read",
    }
}

/// How connections are made of which `alpn` are the protocols.
///
/// # Errors
/// The key is not that of the certificate, or the system's roots can't be read.
pub fn config(
    trust: Trust,
    identity: Option<Identity>,
    alpn: &[&[u8]],
) -> Result<ClientConfig, rustls::Error> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = match trust {
        Trust::Roots(roots) => builder.with_root_certificates(roots),
        Trust::System => {
            let system = Arc::new(Verifier::new(provider)?);
            builder.dangerous().with_custom_certificate_verifier(system)
        }
        Trust::Verifier(verifier) => builder
            .dangerous()
            .with_custom_certificate_verifier(verifier),
    };
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { chain, key }) => builder.with_client_auth_cert(chain, key)?,
    };
    config.alpn_protocols = alpn.iter().map(|it| it.to_vec()).collect();
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(name: &str) -> (String, String) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn what_is_no_certificate_is_told() {
        let (certificate, key) = made("a");
        let twice = format!("{certificate}{certificate}");
        assert_eq!(roots(twice.as_bytes()).unwrap().len(), 2);
        let cut = certificate.replace("-----END", "");
        let odd = certificate.replace("MII", "M!!");
        for (text, expected) in [
            ("", "has no certificate in it; "),
            (&*key, "has no certificate in it; "),
            (&*cut, "is not PEM: a section has no END line"),
            (&*odd, "is not PEM: what stands between BEGIN and END is not base64"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "has a certificate that can't be read: ",
            ),
        ] {
            let wrong = roots(text.as_bytes()).unwrap_err();
            assert!(wrong.starts_with(expected), "{wrong}");
        }
    }

    #[test]
    fn an_identity_is_a_certificate_and_its_key() {
        let ((certificate, key), (other, _)) = (made("a"), made("b"));
        let configured = |certificate: &str| {
            let identity = Identity::new(certificate.as_bytes(), key.as_bytes()).unwrap();
            let trust = Trust::Roots(RootCertStore::empty());
            config(trust, Some(identity), HTTP1)
        };
        assert!(configured(&certificate).is_ok());
        let wrong = configured(&other).unwrap_err();
        assert!(
            matches!(wrong, rustls::Error::InconsistentKeys(_)),
            "{wrong:?}"
        );
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n\
                         -----END ENCRYPTED PRIVATE KEY-----\n";
        for (text, expected) in [
            ("", "has no private key in it; "),
            (&*certificate, "has no private key in it; "),
            (encrypted, "has a private key that is encrypted; "),
        ] {
            let wrong = Identity::new(certificate.as_bytes(), text.as_bytes()).unwrap_err();
            assert!(
                matches!(&wrong, WrongPart::Key(why) if why.starts_with(expected)),
                "{wrong:?}"
            );
        }
        let wrong = Identity::new(key.as_bytes(), key.as_bytes()).unwrap_err();
        assert!(matches!(wrong, WrongPart::Chain(_)), "{wrong:?}");
    }
}
