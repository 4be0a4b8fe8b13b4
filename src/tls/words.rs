//! What an error of TLS means, and what to do: in words for whoever has configured the side that
//! connects.

use std::error::Error;
use std::io;
use std::time::{Duration, UNIX_EPOCH};

use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::{self, AlertDescription, CertificateError};

/// The most names of a certificate that are told.
const NAMES: usize = 4;

/// What the settings are called that mend an error, and whom it is about.
#[derive(Debug)]
pub struct Names {
    /// Who is connected to.
    pub peer: &'static str,
    /// What says by which certificates the peer's is verified.
    pub ca: &'static str,
    /// What says which name it must have.
    pub server_name: &'static str,
    /// What to do where it wants a certificate that it is not shown.
    pub identity: &'static str,
    /// What would be right if it spoke no TLS.
    pub plain: &'static str,
}

/// The error of TLS among the causes of an error.
pub fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        // An I/O error skips what it holds when it is asked for its source.
        let io = cause.downcast_ref::<io::Error>();
        next = match io.and_then(io::Error::get_ref) {
            Some(held) => Some(held as &(dyn Error + 'static)),
            None => cause.source(),
        };
    }
    None
}

/// Whether a server says so that it wants another certificate of its client, or one at all.
///
/// Over TLS 1.3 a client learns of it when it takes itself to be through with the handshake
/// (RFC 8446, section 4.4.2.4), and may have sent something by then. The server has not read it: it
/// reads nothing before the client's certificate.
pub fn refuses_client(error: &rustls::Error) -> bool {
    use AlertDescription as Alert;
    let rustls::Error::AlertReceived(alert) = error else {
        return false;
    };
    matches!(
        alert,
        Alert::CertificateRequired
            | Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
    )
}

/// What has happened, to what, and what to do; or nothing where the error's own words are as good.
pub fn told(error: &rustls::Error, names: &Names) -> Option<String> {
    let Names {
        peer,
        ca,
        server_name,
        identity,
        plain,
    } = names;
    Some(match error {
        rustls::Error::InvalidCertificate(wrong) => {
            let what = match wrong {
                // Of an authority that has the name of one that is trusted and another key, as one
                // that was made anew has.
                CertificateError::UnknownIssuer
                | CertificateError::BadSignature
                | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
                    format!(
                        "is signed by nobody who is trusted here; name the certificate of its \
                     authority in {ca}"
                    )
                }
                CertificateError::NotValidForName => {
                    format!("is for another name; give one that it has in {server_name}")
                }
                CertificateError::NotValidForNameContext {
                    expected,
                    presented,
                } => format!(
                    "is for {}, and not for {}; give one that it has in {server_name}",
                    listed(presented),
                    expected.to_str()
                ),
                CertificateError::Expired => "has expired, renew it".to_owned(),
                CertificateError::ExpiredContext { not_after, .. } => {
                    format!("has expired on {}, renew it", date(*not_after))
                }
                CertificateError::NotValidYet => {
                    "is not valid yet; are the clocks right on both sides?".to_owned()
                }
                CertificateError::NotValidYetContext { not_before, .. } => format!(
                    "is not valid before {}; are the clocks right on both sides?",
                    date(*not_before)
                ),
                CertificateError::ApplicationVerificationFailure => format!(
                    "is not the one that its settings name, of which it takes a renewed one within \
                     10 seconds; give {ca} and {server_name} to trust whoever has signed it"
                ),
                CertificateError::Revoked => "is revoked, renew it".to_owned(),
                CertificateError::InvalidPurpose
                | CertificateError::InvalidPurposeContext { .. } => {
                    "is not one of a server (extended key usage); have one made that is".to_owned()
                }
                other => format!("is not good: {other}"),
            };
            format!("the certificate of {peer} {what}")
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            format!("{peer} wants a certificate of its clients; {identity}")
        }
        rustls::Error::AlertReceived(alert) if refuses_client(error) => format!(
            "{peer} refuses the certificate that it is shown, or that there is none ({alert:?}); \
             {identity}"
        ),
        rustls::Error::AlertReceived(AlertDescription::HandshakeFailure) => format!(
            "{peer} breaks the handshake off: it knows none of our ciphers, or wants a certificate \
             of its clients; {identity}"
        ),
        rustls::Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            format!("{peer} knows no such name; give {server_name} one that it knows")
        }
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)
        | rustls::Error::PeerIncompatible(_) => {
            format!("{peer} and this side have no TLS in common: TLS 1.2 and 1.3 are spoken here")
        }
        rustls::Error::InvalidMessage(_) => {
            format!("{peer} answers in something else than TLS; {plain}")
        }
        _ => return None,
    })
}

/// The names of a certificate, which are the peer's own words.
fn listed(names: &[String]) -> String {
    let mut shown: Vec<_> = names.iter().take(NAMES).map(|it| name(it)).collect();
    match names.len() {
        0 => return "no name".to_owned(),
        count if count > NAMES => shown.push(format!("{} more", count - NAMES)),
        _ => {}
    }
    match shown.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

/// `DnsName("a")` as `a`.
fn name(presented: &str) -> String {
    let bare = presented
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'));
    let bare = bare.unwrap_or(presented).trim_matches('"');
    bare.chars().take(80).collect()
}

fn date(time: UnixTime) -> String {
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(time.as_secs()));
    time.map_or_else(|| "some day".to_owned(), httpdate::fmt_http_date)
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::InvalidMessage;
    use tokio_rustls::rustls::pki_types::ServerName;

    use super::*;

    const NAMES: Names = Names {
        peer: "P",
        ca: "CA",
        server_name: "NAME",
        identity: "IDENTITY",
        plain: "PLAIN",
    };

    fn invalid(error: CertificateError) -> rustls::Error {
        rustls::Error::InvalidCertificate(error)
    }

    fn for_names(presented: &[&str]) -> rustls::Error {
        invalid(CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("h").unwrap(),
            presented: presented.iter().map(|&it| it.to_owned()).collect(),
        })
    }

    #[test]
    fn an_error_names_what_mends_it() {
        let alert = rustls::Error::AlertReceived;
        let day = |day: u64| UnixTime::since_unix_epoch(Duration::from_secs(day * 86_400));
        for (error, expected) in [
            (invalid(CertificateError::UnknownIssuer), "authority in CA"),
            (invalid(CertificateError::BadSignature), "authority in CA"),
            (
                for_names(&[]),
                "is for no name, and not for h; give one that it has in NAME",
            ),
            (for_names(&["DnsName(\"a\")"]), "is for a, and not for h"),
            (
                for_names(&["a", "b", "c"]),
                "is for a, b and c, and not for h",
            ),
            (
                for_names(&["a", "b", "c", "d", "e", "f"]),
                "is for a, b, c, d and 2 more, and",
            ),
            (
                invalid(CertificateError::ExpiredContext {
                    time: day(9),
                    not_after: day(1),
                }),
                "has expired on Fri, 02 Jan 1970 00:00:00 GMT, renew it",
            ),
            (
                invalid(CertificateError::NotValidYetContext {
                    time: day(1),
                    not_before: day(9),
                }),
                "is not valid before Sat, 10 Jan 1970 00:00:00 GMT; ",
            ),
            (
                alert(AlertDescription::CertificateRequired),
                "P wants a certificate of its clients; IDENTITY",
            ),
            (alert(AlertDescription::UnknownCA), "(UnknownCA); IDENTITY"),
            (alert(AlertDescription::HandshakeFailure), "IDENTITY"),
            (
                rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType),
                "P answers in something else than TLS; PLAIN",
            ),
        ] {
            let told = told(&error, &NAMES).unwrap();
            assert!(told.contains(expected), "{told}");
            assert!(told.contains('P'), "{told}");
        }
        assert_eq!(told(&rustls::Error::HandshakeNotComplete, &NAMES), None);
    }

    #[test]
    fn what_a_peer_writes_takes_so_much_room() {
        let long = "a".repeat(1 << 16);
        let told = told(&for_names(&[&*long; 9]), &NAMES).unwrap();
        assert!(told.len() < 512, "{}", told.len());
    }

    #[test]
    fn the_cause_is_found_under_what_hides_it() {
        let inner = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        let io = io::Error::new(io::ErrorKind::InvalidData, inner.clone());
        assert_eq!(cause(&io), Some(&inner));
        // As deep as it may be.
        let outer = io::Error::other(io);
        assert_eq!(cause(&outer), Some(&inner));
        assert!(cause(&inner).is_some_and(refuses_client));
        assert_eq!(cause(&io::Error::other("else")), None);
        let handshake = rustls::Error::AlertReceived(AlertDescription::HandshakeFailure);
        assert!(!refuses_client(&handshake));
    }
}
