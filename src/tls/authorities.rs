//! Certificates that others are checked with.

use std::sync::Arc;

use tokio_rustls::rustls::RootCertStore;

use super::certificate::Validity;
use super::pem::{PemFile, Unsound};

/// See the module.
#[derive(Debug)]
pub struct Authorities {
    /// Them; at least one.
    pub roots: Arc<RootCertStore>,
    /// While any of them is valid.
    pub validity: Validity,
}

impl Authorities {
    /// Those of this file.
    ///
    /// # Errors
    /// It is not what it is to be.
    pub fn read(file: PemFile<'_>) -> Result<Self, Unsound> {
        let certificates = file.certificates()?;
        let each = Validity::of_each(&file, &certificates)?;
        let empty = || file.unsound("holds no certificate");
        let validity = Validity::of_any(each).ok_or_else(empty)?;
        let mut roots = RootCertStore::empty();
        for (before, certificate) in certificates.into_iter().enumerate() {
            roots.add(certificate).map_err(|error| {
                let number = before + 1;
                file.unsound(format!("its certificate {number} can't be used: {error}"))
            })?;
        }
        Ok(Self {
            roots: Arc::new(roots),
            validity,
        })
    }
}
