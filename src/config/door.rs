//! The kinds for how the proxy is reached and reaches out: permissions of a socket, the name in a
//! certificate, a collector of spans.

use tokio_rustls::rustls::pki_types::ServerName;
use url::Url;

use super::kind::{Kind, must_be};
use super::target::redacted;
use super::words::words;
use crate::printable::shown;
use crate::telemetry::Protocol;

/// Permissions of a file, in octal.
pub(crate) fn mode() -> Kind<u32> {
    const ALLOWED: &str = "permissions in octal, from \"0000\" to \"0777\"";
    let read = |text: &str| {
        let octal = (3..=4).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_digit());
        let mode = u32::from_str_radix(text, 8).ok();
        let mode = mode.filter(|&mode| octal && mode <= 0o777);
        mode.ok_or_else(|| must_be(ALLOWED, shown(text)))
    };
    Kind::text(ALLOWED, read, |mode| format!("{mode:04o}"))
        .expecting("a string such as \"0660\"")
        .of_pattern("^0?[0-7]{3}$", &["0660"])
}

/// The name or the IP address that a certificate is for.
pub(crate) fn server_name() -> Kind<String> {
    const ALLOWED: &str = "a DNS name or an IP address, without a port";
    let read = |text: &str| match ServerName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(must_be(ALLOWED, shown(text))),
    };
    Kind::text(ALLOWED, read, String::clone).of_pattern(r"^[^\s/\[\]]+$", &["example.org"])
}

/// The URL of a collector.
pub(crate) fn collector() -> Kind<Url> {
    const ALLOWED: &str = "an http or https URL";
    const SUCH_AS: &str = "a URL such as \"http://127.0.0.1:4318\"";
    let read = |text: &str| {
        let url = Url::parse(text).ok();
        let url = url.filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
        url.filter(|url| url.username().is_empty() && url.password().is_none())
            .filter(|url| url.query().is_none() && url.fragment().is_none())
            .ok_or_else(|| format!("must be {SUCH_AS}, without user, query and fragment").into())
    };
    // Some have a key in the path.
    Kind::text(ALLOWED, read, |url| {
        redacted(&url.clone().into()).to_string()
    })
    .expecting(SUCH_AS)
    .of_pattern(
        r"^\s*[hH][tT][tT][pP][sS]?:[^?#]+$",
        &["http://127.0.0.1:4318"],
    )
}

/// How a collector is spoken to.
pub(crate) fn otlp_protocol() -> Kind<Protocol> {
    words(&[
        ("http/protobuf", Protocol::HttpProtobuf),
        ("grpc", Protocol::Grpc),
    ])
}

#[cfg(test)]
mod tests {
    use super::super::kind::testing::{from_text, round_trips};
    use super::*;

    #[test]
    fn permissions_are_octal() {
        for good in ["0660", "0777", "0000"] {
            round_trips(&mode(), good);
        }
        assert_eq!(from_text(&mode(), "660"), Ok("\"0660\"".to_owned()));
        for bad in ["", "66", "0o660", "0888", "1777", "00660", "rw-rw----"] {
            let wrong = from_text(&mode(), bad).unwrap_err();
            assert!(wrong.starts_with("must be permissions in octal"), "{wrong}");
        }
    }

    #[test]
    fn a_name_in_a_certificate_has_no_port() {
        for good in ["example.org", "127.0.0.1", "::1"] {
            round_trips(&server_name(), good);
        }
        for bad in ["", "example.org:443", "https://example.org", "[::1]", "a b"] {
            assert!(from_text(&server_name(), bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_collector_has_no_secrets_in_its_url() {
        round_trips(&collector(), "http://127.0.0.1:4318/");
        for bad in [
            "",
            "127.0.0.1:4318",
            "ftp://h/",
            "http://u:p@h/",
            "http://h/?k=v",
        ] {
            assert!(from_text(&collector(), bad).is_err(), "{bad}");
        }
    }
}
