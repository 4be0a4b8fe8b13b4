//! Certificates by authorities of a story's own, and servers that show them.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// Who signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub pem: String,
    /// What those that it signs need with them: its own, if it is not a root.
    chain: String,
}

/// A certificate with its chain, and its key.
#[derive(Clone)]
pub struct Pair {
    pub chain: String,
    pub key: String,
}

fn named(names: &[&str], common: &str) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&it| it.to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common);
    params
}

fn of_authority(name: &str) -> CertificateParams {
    let mut params = named(&[], name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

impl Authority {
    /// A root.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = of_authority(name);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
            chain: String::new(),
        }
    }

    /// One whose own certificate this one has signed.
    pub fn below(&self, name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = of_authority(name);
        let pem = params.signed_by(&key, &self.issuer);
        let pem = pem.expect("a certificate").pem();
        Self {
            issuer: Issuer::new(params, key),
            chain: format!("{pem}{}", self.chain),
            pem,
        }
    }

    /// A certificate for these names, of a server and of a client.
    pub fn issue(&self, names: &[&str]) -> Pair {
        self.issue_with(names, |_| {})
    }

    /// The same, with something about it that is different.
    pub fn issue_with(&self, names: &[&str], adapt: impl FnOnce(&mut CertificateParams)) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let mut params = named(names, names.first().unwrap_or(&"nobody"));
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        adapt(&mut params);
        let certificate = params.signed_by(&key, &self.issuer);
        Pair {
            chain: format!(
                "{}{}",
                certificate.expect("a certificate").pem(),
                self.chain
            ),
            key: key.serialize_pem(),
        }
    }
}

impl Pair {
    /// The certificate, in DER.
    pub fn der(&self) -> Vec<u8> {
        let der = CertificateDer::from_pem_slice(self.chain.as_bytes());
        der.expect("a certificate").to_vec()
    }

    /// A server that shows it, and speaks both versions of HTTP; with an authority it takes nobody
    /// without a certificate of that.
    pub fn server(&self, clients: Option<&Authority>) -> ServerConfig {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions();
        let builder = builder.expect("versions");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                let root = CertificateDer::from_pem_slice(authority.pem.as_bytes());
                roots.add(root.expect("a certificate")).expect("a root");
                let roots = Arc::new(roots);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
            }
        };
        let chain = CertificateDer::pem_slice_iter(self.chain.as_bytes());
        let chain = chain.collect::<Result<_, _>>().expect("certificates");
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("a key");
        let config = builder.with_single_cert(chain, key);
        let mut config = config.expect("a certificate and its key");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}
