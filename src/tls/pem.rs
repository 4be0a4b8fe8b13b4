//! A file in PEM: the sections that are looked for, and what to say where they are missing.
//!
//! Nothing of what is in a file is ever told: it may be a key.

use std::path::{Path, PathBuf};

use thiserror::Error;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _, SectionKind};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A file that was read.
#[derive(Clone, Copy, Debug)]
pub struct PemFile<'a> {
    /// Its name, for what is said of it.
    pub path: &'a Path,
    /// What is in it.
    pub contents: &'a [u8],
}

/// What is wrong with a file, and what to do about it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{}: {what}", file.display())]
pub struct Unsound {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it, and what to do.
    pub what: String,
}

impl<'a> PemFile<'a> {
    /// That something is wrong with it.
    pub fn unsound(&self, what: impl Into<String>) -> Unsound {
        Unsound {
            file: self.path.to_owned(),
            what: what.into(),
        }
    }

    /// Every certificate in it, in their order; at least one.
    ///
    /// # Errors
    /// There is none, or it is no such file.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Unsound> {
        let sections = self.sections()?;
        let keys = sections.iter().any(|(kind, _)| is_key(*kind));
        let certificates = sections.into_iter();
        let certificates = certificates.filter(|(kind, _)| *kind == SectionKind::Certificate);
        let certificates: Vec<_> = certificates.map(|(_, der)| der.into()).collect();
        match certificates.is_empty() {
            false => Ok(certificates),
            true if keys || self.has_encrypted_key() => Err(self.unsound(
                "holds a private key and no certificate; name the file of the certificates",
            )),
            true => Err(self.unsound("holds no certificate (BEGIN CERTIFICATE)")),
        }
    }

    /// The private key in it: PKCS #8, PKCS #1 or SEC 1.
    ///
    /// # Errors
    /// There is none, there are several, or it is no such file.
    pub fn private_key(&self) -> Result<PrivateKeyDer<'static>, Unsound> {
        if self.has_encrypted_key() {
            return Err(self.unsound(
                "the private key is encrypted, and nobody is there to be asked for a passphrase; \
                 write it without one: openssl pkey -in FILE -out FILE",
            ));
        }
        let sections = self.sections()?;
        let certificates = sections
            .iter()
            .any(|(kind, _)| *kind == SectionKind::Certificate);
        let mut keys = sections
            .into_iter()
            .filter_map(|(kind, der)| PrivateKeyDer::from_pem(kind, der));
        match (keys.next(), keys.next()) {
            (Some(key), None) => Ok(key),
            (Some(_), Some(_)) => Err(self.unsound("holds more than one private key; leave one")),
            (None, _) if certificates => Err(self.unsound(
                "holds a certificate and no private key; name the file of the private key",
            )),
            (None, _) => Err(self.unsound("holds no private key (BEGIN PRIVATE KEY)")),
        }
    }

    fn sections(&self) -> Result<Vec<(SectionKind, Vec<u8>)>, Unsound> {
        if self.contents.iter().all(u8::is_ascii_whitespace) {
            return Err(self.unsound("is empty"));
        }
        if !self.says(b"-----BEGIN ") {
            // The first byte of a certificate and of a key in DER: a sequence.
            return Err(self.unsound(match self.contents.starts_with(&[0x30]) {
                true => {
                    "is DER, not PEM; write it in PEM: openssl x509 (or pkey) -inform der \
                         -in FILE -out FILE.pem"
                }
                false => "is not PEM: it has no -----BEGIN line",
            }));
        }
        let contents = self.without_headers();
        let sections = pem::SliceIter::new(&contents);
        sections
            .collect::<Result<_, _>>()
            .map_err(|_| self.unsound("is not PEM: a section of it is cut off or garbled"))
    }

    /// Without the headers of sections (RFC 1421, section 4.6), as those of an old encrypted key,
    /// which the library takes for base64. That has no colon.
    fn without_headers(&self) -> Vec<u8> {
        let lines = self
            .contents
            .split_inclusive(|it| matches!(it, b'\n' | b'\r'));
        let lines = lines.filter(|line| !line.contains(&b':'));
        lines.flatten().copied().collect()
    }

    fn has_encrypted_key(&self) -> bool {
        self.says(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || self.says(b"Proc-Type: 4,ENCRYPTED")
    }

    fn says(&self, words: &[u8]) -> bool {
        memchr::memmem::find(self.contents, words).is_some()
    }
}

fn is_key(kind: SectionKind) -> bool {
    use SectionKind::{EcPrivateKey, PrivateKey, RsaPrivateKey};
    matches!(kind, PrivateKey | RsaPrivateKey | EcPrivateKey)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";

    fn file(contents: &[u8]) -> PemFile<'_> {
        PemFile {
            path: Path::new("f.pem"),
            contents,
        }
    }

    #[test]
    fn what_is_missing_is_said_by_what_is_there() {
        let encrypted =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES,00\n\nMAA=\n-----END RSA PRIVATE KEY-----\n";
        for (contents, of_certificate, of_key) in [
            ("", "is empty", "is empty"),
            (" \n", "is empty", "is empty"),
            ("0\u{1}", "is DER, not PEM", "is DER, not PEM"),
            ("hello", "no -----BEGIN line", "no -----BEGIN line"),
            (KEY, "holds a private key and no certificate", ""),
            (CERTIFICATE, "", "holds a certificate and no private key"),
            (encrypted, "holds a private key and no", "is encrypted"),
            (old, "holds a private key and no", "is encrypted"),
            (
                "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n",
                "holds no certificate",
                "holds no private key",
            ),
            ("-----BEGIN CERTIFICATE-----\nMAA=", "cut off", "cut off"),
            (
                "-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----",
                "garbled",
                "garbled",
            ),
            (&format!("{KEY}{KEY}"), "no certificate", "more than one"),
            (&format!("{CERTIFICATE}{KEY}{CERTIFICATE}"), "", ""),
            (&format!("{old}{CERTIFICATE}"), "", "is encrypted"),
        ] {
            let file = file(contents.as_bytes());
            let certificates = file.certificates().map(|_| ()).map_err(|it| it.to_string());
            let key = file.private_key().map(|_| ()).map_err(|it| it.to_string());
            for (said, expected) in [(certificates, of_certificate), (key, of_key)] {
                match said {
                    Ok(()) => assert_eq!(expected, "", "{contents}"),
                    Err(said) => {
                        assert!(
                            said.starts_with("f.pem: ") && said.contains(expected),
                            "{said}"
                        );
                        assert_ne!(expected, "", "{said}");
                        assert!(!said.contains("MAA"), "{said}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_kind_of_key_is_one() {
        for kind in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"] {
            let pem = format!("-----BEGIN {kind}-----\nMAA=\n-----END {kind}-----\n");
            assert!(file(pem.as_bytes()).private_key().is_ok(), "{kind}");
        }
    }
}
