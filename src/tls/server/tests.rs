//! Files of listeners, sound and not.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ED25519, PKCS_RSA_SHA256};

use super::*;
use crate::reread::{Again, Looked};
use crate::tls::Certified;

const HOUR: Duration = Duration::from_secs(3_600);

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, contents: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, contents).unwrap();
        path
    }

    /// The files of a listener, of which `client_ca` may be empty.
    fn files(&self, cert: &str, key: &str, client_ca: &str) -> Files {
        let client_ca = (!client_ca.is_empty()).then(|| self.write("ca.pem", client_ca));
        Files {
            cert: self.write("cert.pem", cert),
            key: self.write("key.pem", key),
            client_ca,
        }
    }
}

/// An authority that ends in so many hours.
fn authority(hours: u32) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_after = (SystemTime::now() + HOUR * hours).into();
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate by `issuer` of this key, which ends in so many hours.
fn leaf(issuer: &CertifiedIssuer<'static, KeyPair>, key: &KeyPair, hours: u32) -> String {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = (SystemTime::now() + HOUR * hours).into();
    params.signed_by(key, issuer).unwrap().pem()
}

fn hours_left(certificate: &Certificate) -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = i64::try_from(now.unwrap().as_secs()).unwrap();
    (certificate.validity.until - now + 60) / 3_600
}

#[test]
fn a_chain_with_its_key_is_in_force_and_lasts_as_its_shortest() {
    let folder = Folder::new();
    let key = KeyPair::generate().unwrap();
    for (of_leaf, of_issuer, expected) in [(5, 10, 5), (10, 5, 5)] {
        let issuer = authority(of_issuer);
        let chain = format!("{}{}", leaf(&issuer, &key, of_leaf), issuer.pem());
        let files = folder.files(&chain, &key.serialize_pem(), "");
        let opened = files.open("server.tls").unwrap();
        let certificates = opened.in_force();
        let [certificate] = &certificates[..] else {
            panic!("{certificates:?}");
        };
        assert_eq!(certificate.file, files.cert);
        assert_eq!(hours_left(certificate), expected);
        let config = &opened.current().config;
        assert_eq!(
            config.alpn_protocols,
            [b"h2".to_vec(), b"http/1.1".to_vec()]
        );
    }
}

#[test]
fn those_that_clients_are_checked_with_last_as_their_longest() {
    let folder = Folder::new();
    let key = KeyPair::generate().unwrap();
    let [own, one, other] = [2, 4, 9].map(authority);
    let clients = format!("{}{}", one.pem(), other.pem());
    let files = folder.files(&leaf(&own, &key, 1), &key.serialize_pem(), &clients);
    let certificates = files.open("admin.tls").unwrap().in_force();
    assert_eq!(
        certificates.iter().map(hours_left).collect::<Vec<_>>(),
        [1, 9]
    );
}

#[test]
fn keys_of_every_kind_do() {
    let folder = Folder::new();
    let issuer = authority(1);
    for algorithm in [&PKCS_ED25519, &PKCS_RSA_SHA256] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let files = folder.files(&leaf(&issuer, &key, 1), &key.serialize_pem(), "");
        assert!(files.open("server.tls").is_ok(), "{algorithm:?}");
    }
}

#[test]
fn what_does_not_do_is_told_with_the_file_and_the_way_out() {
    let folder = Folder::new();
    let issuer = authority(1);
    let [key, other] = [(); 2].map(|()| KeyPair::generate().unwrap());
    let (cert, pem) = (leaf(&issuer, &key, 1), key.serialize_pem());
    let garbled = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    let no_key = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
    let swapped = format!("{}{cert}", issuer.pem());
    for (cert, key, client_ca, file, said) in [
        (
            &cert[..],
            &other.serialize_pem()[..],
            "",
            "key.pem",
            "is not the key of the first",
        ),
        (&swapped, &pem, "", "key.pem", "with that certificate first"),
        (
            &pem,
            &cert,
            "",
            "cert.pem",
            "holds a private key and no certificate",
        ),
        (
            &cert,
            &cert,
            "",
            "key.pem",
            "holds a certificate and no private key",
        ),
        (
            garbled,
            &pem,
            "",
            "cert.pem",
            "its certificate 1 can't be read",
        ),
        (
            &cert,
            no_key,
            "",
            "key.pem",
            "of a kind that is not supported",
        ),
        ("", &pem, "", "cert.pem", "is empty"),
        (
            &cert,
            &pem,
            &pem,
            "ca.pem",
            "holds a private key and no certificate",
        ),
        (
            &cert,
            &pem,
            garbled,
            "ca.pem",
            "its certificate 1 can't be read",
        ),
    ] {
        let files = folder.files(cert, key, client_ca);
        let error = files.open("server.tls").unwrap_err().to_string();
        let path = folder.0.path().join(file).display().to_string();
        assert!(error.starts_with(&path) && error.contains(said), "{error}");
    }
    let gone = Files {
        cert: Path::new("/nowhere/cert.pem").to_owned(),
        ..folder.files(&cert, &pem, "")
    };
    let error = gone.open("server.tls").unwrap_err().to_string();
    assert!(
        error.starts_with("/nowhere/cert.pem: can't be read: "),
        "{error}"
    );
}

#[test]
fn a_pair_that_does_not_match_leaves_the_one_before_it() {
    let folder = Folder::new();
    let issuer = authority(1);
    let [one, other] = [(); 2].map(|()| KeyPair::generate().unwrap());
    let files = folder.files(&leaf(&issuer, &one, 1), &one.serialize_pem(), "");
    let opened = files.open("server.tls").unwrap();
    let before = opened.current();
    folder.write("cert.pem", &leaf(&issuer, &other, 1));
    assert!(matches!(opened.look(), Looked::Failed(_)));
    assert!(Arc::ptr_eq(&opened.current(), &before));
    folder.write("key.pem", &other.serialize_pem());
    assert!(matches!(opened.look(), Looked::New));
    assert!(!Arc::ptr_eq(&opened.current().config, &before.config));
}
