//! The side that connects: whom it trusts, and what it shows of itself.
//!
//! The [`upstream`](crate::upstream) is called so, and the commands that ask a proxy do. Each
//! server is verified: by the system's roots, by those of a file, or by a verifier that knows
//! better.

use std::sync::Arc;

use rustls_platform_verifier::Verifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use super::identity::Identity;

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
    Roots(Arc<RootCertStore>),
    /// Whom this finds good.
    Verifier(Arc<dyn ServerCertVerifier>),
}

/// The cryptography of the whole process.
pub fn provider() -> Arc<CryptoProvider> {
    let provider = CryptoProvider::get_default().cloned();
    provider.unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()))
}

/// How connections are made of which `alpn` are the protocols.
///
/// # Errors
/// The system's roots can't be read.
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
        Some(identity) => {
            let pair = SingleCertAndKey::from(identity.pair);
            builder.with_client_cert_resolver(Arc::new(pair))
        }
    };
    config.alpn_protocols = alpn.iter().map(|it| it.to_vec()).collect();
    Ok(config)
}
