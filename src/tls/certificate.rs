//! How long certificates last.

use std::path::PathBuf;

use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::parse_x509_certificate;

use super::pem::{PemFile, Unsound};
use crate::reread::{Again, Reread};

/// From when until when something is valid, in seconds of Unix time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub from: i64,
    /// The last.
    pub until: i64,
}

impl Validity {
    /// Reads that of each of these certificates, which are a file's.
    ///
    /// # Errors
    /// One of them is none.
    pub(super) fn of_each(
        file: &PemFile<'_>,
        certificates: &[CertificateDer<'_>],
    ) -> Result<Vec<Self>, Unsound> {
        let numbered = certificates.iter().enumerate();
        let read = numbered.map(|(before, der)| match parse_x509_certificate(der) {
            Ok((_, certificate)) => {
                let validity = certificate.validity();
                Ok(Self {
                    from: validity.not_before.timestamp(),
                    until: validity.not_after.timestamp(),
                })
            }
            Err(_) => Err(file.unsound(format!("its certificate {} can't be read", before + 1))),
        });
        read.collect()
    }

    /// While all of these are valid: a chain is worth nothing without one of its certificates.
    pub(super) fn of_all(each: impl IntoIterator<Item = Self>) -> Option<Self> {
        each.into_iter().reduce(|one, other| Self {
            from: one.from.max(other.from),
            until: one.until.min(other.until),
        })
    }

    /// While any of these is: who trusts several trusts those that are left.
    pub(super) fn of_any(each: impl IntoIterator<Item = Self>) -> Option<Self> {
        each.into_iter().reduce(|one, other| Self {
            from: one.from.min(other.from),
            until: one.until.max(other.until),
        })
    }
}

/// A file of certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The file.
    pub file: PathBuf,
    /// How long what is in it lasts.
    pub validity: Validity,
}

/// What knows of certificates that are in force.
pub trait HasCertificates {
    /// Them, a file each.
    fn certificates(&self) -> &[Certificate];
}

/// Files of certificates that are looked at again.
pub trait Certified: Again {
    /// Those in force.
    fn in_force(&self) -> Vec<Certificate>;
}

impl<T: HasCertificates + Send + Sync> Certified for Reread<T> {
    fn in_force(&self) -> Vec<Certificate> {
        self.current().certificates().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_lasts_as_its_shortest_and_a_set_as_its_longest() {
        let each = [(10, 20), (5, 30), (12, 25)].map(|(from, until)| Validity { from, until });
        let [all, any] = [Validity::of_all(each), Validity::of_any(each)];
        assert_eq!(all.map(|it| (it.from, it.until)), Some((12, 20)));
        assert_eq!(any.map(|it| (it.from, it.until)), Some((5, 30)));
        assert_eq!(Validity::of_all([]), None);
    }
}
