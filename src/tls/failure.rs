//! Why a handshake came to nothing.

use std::fmt;
use std::io;

use tokio_rustls::rustls::{AlertDescription, Error};

/// The reason, of which there are few: a label of `tls_handshakes_failed_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// It took longer than `server.read_timeout`, or its place was needed.
    Timeout,
    /// The client speaks HTTP without TLS.
    PlainHttp,
    /// What the client speaks is not TLS.
    NotTls,
    /// The client has shown no certificate, and needs one.
    NoCertificate,
    /// The certificate that the client has shown does not do.
    BadCertificate,
    /// The client does not trust our certificate.
    Refused,
    /// The client knows no version, cipher or protocol that we know.
    Unsupported,
    /// The client has gone amid it.
    Closed,
    /// Anything else.
    Other,
}

impl Failure {
    /// Every reason there is.
    pub const ALL: [Self; 9] = [
        Self::Timeout,
        Self::PlainHttp,
        Self::NotTls,
        Self::NoCertificate,
        Self::BadCertificate,
        Self::Refused,
        Self::Unsupported,
        Self::Closed,
        Self::Other,
    ];

    /// Its name as a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::PlainHttp => "plain-http",
            Self::NotTls => "not-tls",
            Self::NoCertificate => "no-certificate",
            Self::BadCertificate => "bad-certificate",
            Self::Refused => "refused",
            Self::Unsupported => "unsupported",
            Self::Closed => "closed",
            Self::Other => "other",
        }
    }

    /// How many bytes of a client [`Self::of_beginning`] wants to see at most.
    pub const BEGINNING: usize = 8;

    /// Whether a client that begins with these bytes speaks TLS.
    pub fn is_tls(first: &[u8]) -> bool {
        first.first() == Some(&HANDSHAKE)
    }

    /// What is wrong with a client that begins with these bytes, at least one; nothing as long as
    /// it may be right, or may yet be told.
    ///
    /// It is asked before the library sees them, which would answer by TLS's means: that is no
    /// answer to who does not speak it.
    pub fn of_beginning(first: &[u8]) -> Option<Self> {
        if Self::is_tls(first) {
            return None;
        }
        // A method is in capitals, and followed by a blank.
        let method = first.iter().take_while(|it| it.is_ascii_uppercase());
        let method = method.count();
        match first.get(method) {
            Some(b' ') if method > 0 => Some(Self::PlainHttp),
            Some(_) => Some(Self::NotTls),
            None if method >= Self::BEGINNING => Some(Self::PlainHttp),
            None => None,
        }
    }

    /// That of a handshake which has failed so.
    pub fn of(error: &io::Error) -> Self {
        let inner = error.get_ref();
        if let Some(known) = inner.and_then(|it| it.downcast_ref::<Self>()) {
            return *known;
        }
        match inner.and_then(|it| it.downcast_ref::<Error>()) {
            None => match error.kind() {
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::NotConnected => Self::Closed,
                _ => Self::Other,
            },
            Some(Error::NoCertificatesPresented) => Self::NoCertificate,
            Some(Error::InvalidCertificate(_)) => Self::BadCertificate,
            Some(Error::PeerIncompatible(_) | Error::NoApplicationProtocol) => Self::Unsupported,
            Some(Error::AlertReceived(alert)) => of_alert(*alert),
            Some(_) => Self::Other,
        }
    }
}

/// How a client ends a handshake that it does not like.
fn of_alert(alert: AlertDescription) -> Failure {
    use AlertDescription as Alert;
    match alert {
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied => Failure::Refused,
        Alert::ProtocolVersion | Alert::HandshakeFailure | Alert::NoApplicationProtocol => {
            Failure::Unsupported
        }
        Alert::CloseNotify | Alert::UserCanceled => Failure::Closed,
        _ => Failure::Other,
    }
}

/// The first byte of a TLS connection (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// As the error of what finds it out.
impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::{CertificateError, InvalidMessage, PeerIncompatible};

    use super::*;

    #[test]
    fn each_failure_has_its_reason() {
        let tls = |error: Error| io::Error::new(io::ErrorKind::InvalidData, error);
        let garbled = InvalidMessage::InvalidContentType;
        for (error, failure) in [
            (tls(Error::InvalidMessage(garbled)), Failure::Other),
            (io::Error::other(Failure::PlainHttp), Failure::PlainHttp),
            (tls(Error::NoCertificatesPresented), Failure::NoCertificate),
            (
                tls(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
                Failure::BadCertificate,
            ),
            (
                tls(Error::PeerIncompatible(
                    PeerIncompatible::Tls12NotOfferedOrEnabled,
                )),
                Failure::Unsupported,
            ),
            (tls(Error::NoApplicationProtocol), Failure::Unsupported),
            (
                tls(Error::AlertReceived(AlertDescription::UnknownCA)),
                Failure::Refused,
            ),
            (io::ErrorKind::UnexpectedEof.into(), Failure::Closed),
            (io::ErrorKind::ConnectionReset.into(), Failure::Closed),
            (io::Error::other("odd"), Failure::Other),
        ] {
            assert_eq!(Failure::of(&error), failure, "{error}");
        }
    }

    #[test]
    fn the_beginning_tells_what_is_spoken() {
        for (first, found) in [
            (&[HANDSHAKE][..], None),
            (&[HANDSHAKE, b'G', b' '], None),
            (b"GET / HT", Some(Failure::PlainHttp)),
            (b"OPTIONS ", Some(Failure::PlainHttp)),
            (b"PROPFIND", Some(Failure::PlainHttp)),
            (b"PRI * HT", Some(Failure::PlainHttp)),
            // More may come.
            (b"GET", None),
            (b"P", None),
            (b"SSH-2.0-", Some(Failure::NotTls)),
            (b" ", Some(Failure::NotTls)),
            (b"get / ht", Some(Failure::NotTls)),
            (b"\0", Some(Failure::NotTls)),
        ] {
            assert_eq!(Failure::of_beginning(first), found, "{first:?}");
        }
    }

    #[test]
    fn names_are_in_order_and_differ() {
        for (number, failure) in Failure::ALL.into_iter().enumerate() {
            assert_eq!(failure as usize, number, "{failure}");
        }
        let names: std::collections::BTreeSet<_> = Failure::ALL.map(Failure::as_str).into();
        assert_eq!(names.len(), Failure::ALL.len());
    }
}
