//! A certificate with its chain, and its private key: who we are, to clients or to upstreams.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error, InconsistentKeys};

use super::certificate::Validity;
use super::pem::{PemFile, Unsound};

/// See the module.
#[derive(Debug)]
pub struct Identity {
    /// The chain, ours first, and the key, which match.
    pub pair: Arc<CertifiedKey>,
    /// While every certificate of the chain is valid.
    pub validity: Validity,
}

impl Identity {
    /// That of these two files. One that is over, or has not begun, is one all the same.
    ///
    /// # Errors
    /// A file is not what it is to be, or they don't match.
    pub fn read(cert: PemFile<'_>, key: PemFile<'_>) -> Result<Self, Unsound> {
        let chain = cert.certificates()?;
        let each = Validity::of_each(&cert, &chain)?;
        let empty = || cert.unsound("holds no certificate");
        let validity = Validity::of_all(each).ok_or_else(empty)?;
        let private = aws_lc_rs::default_provider()
            .key_provider
            .load_private_key(key.private_key()?)
            .map_err(|_| {
                key.unsound(
                    "the private key is of a kind that is not supported, or garbled; take RSA \
                     (2048 to 8192 bits), ECDSA (P-256, P-384 or P-521) or Ed25519",
                )
            })?;
        let pair = CertifiedKey::new(chain, private);
        match pair.keys_match() {
            // A key that can't tell its public half is tried.
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Self {
                pair: Arc::new(pair),
                validity,
            }),
            Err(Error::InconsistentKeys(_)) => Err(key.unsound(format!(
                "is not the key of the first certificate in {}; give the two that belong \
                 together, the chain with that certificate first and its issuers after it",
                cert.path.display()
            ))),
            Err(error) => {
                Err(cert.unsound(format!("its first certificate can't be used: {error}")))
            }
        }
    }
}
