//! Verifying a server that one knows: by its very certificate, or by whoever has signed it, for a
//! name that need not be the one that is connected to.
//!
//! The commands that ask a proxy are on its machine as a rule, and connect to 127.0.0.1, which
//! stands in no certificate. They know the file of the proxy's.

use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use super::client::provider;

/// See the module. That the server has the key to what it shows is verified always.
#[derive(Debug)]
pub struct Known {
    /// The certificate that it has, which proves who it is by itself, as long as it is there.
    own: Option<CertificateDer<'static>>,
    /// Who verifies any other, and for which name, where it is not the one connected to.
    signed: Option<Signed>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Verification by whoever has signed.
#[derive(Debug)]
pub struct Signed {
    /// By whom.
    pub verifier: Arc<dyn ServerCertVerifier>,
    /// For which name.
    pub name: Option<ServerName<'static>>,
}

impl Known {
    /// Finds a server good that has shown `own`, or what is `signed`.
    pub fn new(own: Option<CertificateDer<'static>>, signed: Option<Signed>) -> Self {
        Self {
            own,
            signed,
            algorithms: provider().signature_verification_algorithms,
        }
    }
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.own.as_ref() == Some(end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        let Some(Signed { verifier, name }) = &self.signed else {
            let wrong = CertificateError::ApplicationVerificationFailure;
            return Err(Error::InvalidCertificate(wrong));
        };
        let name = name.as_ref().unwrap_or(server_name);
        verifier.verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
