//! The kinds for addresses to listen on.

use super::kind::Kind;
use crate::address::{Address, parse_address};

/// `host:port`, the host a name or an IP address, an IPv6 address in brackets; or the path of a
/// socket.
pub(crate) fn address() -> Kind<Address> {
    let read = |text: &str| Ok(parse_address(text)?);
    Kind::text("host:port or unix:/path", read, Address::to_string)
        .expecting("an address such as \"127.0.0.1:8080\"")
}

/// The same, or an empty string for none.
pub(crate) fn optional_address() -> Kind<Option<Address>> {
    let read = |text: &str| match text {
        "" => Ok(None),
        _ => Ok(Some(parse_address(text)?)),
    };
    let spelled = |address: &Option<Address>| {
        let address = address.as_ref();
        address.map(Address::to_string).unwrap_or_default()
    };
    Kind::text("host:port or unix:/path, or \"\" for none", read, spelled)
        .expecting("an address such as \"127.0.0.1:8081\", or \"\" for none")
}

#[cfg(test)]
mod tests {
    use super::super::kind::testing::{from_text, from_toml};
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for good in [
            "127.0.0.1:8080",
            "0.0.0.0:0",
            "localhost:65535",
            "[::]:80",
            "[::1]:8080",
            "my_host.internal:1",
            "unix:/run/microbatch/jobs.sock",
            "unix:/a b:c",
        ] {
            assert_eq!(from_text(&address(), good), Ok(format!("{good:?}")));
        }
        for (bad, why) in [
            ("", "it has no port"),
            ("localhost", "it has no port"),
            (
                ":8080",
                "it has no host (0.0.0.0 and [::] stand for every interface)",
            ),
            (
                "*:8080",
                "* is no host (0.0.0.0 and [::] stand for every interface)",
            ),
            ("::1:8080", "an IPv6 address stands in brackets"),
            ("[::1", "the host is neither a name nor an IP address"),
            ("[::g]:80", "the host is neither a name nor an IP address"),
            (
                "300.0.0.1:80",
                "the host is neither a name nor an IP address",
            ),
            ("a b:80", "the host is neither a name nor an IP address"),
            ("http://h:80", "it is a URL"),
            ("localhost:", "the port is not a number from 0 to 65535"),
            ("localhost:http", "the port is not a number from 0 to 65535"),
            (
                "localhost:65536",
                "the port is not a number from 0 to 65535",
            ),
            ("localhost:+80", "the port is not a number from 0 to 65535"),
            ("localhost:-1", "the port is not a number from 0 to 65535"),
        ] {
            let expected = format!(
                "{bad:?} is not an address to listen on: {why}; write host:port, such as \
                 \"127.0.0.1:8080\" or \"[::1]:8080\""
            );
            assert_eq!(from_text(&address(), bad), Err(expected));
        }
    }

    #[test]
    fn a_socket_has_an_absolute_path() {
        let long = format!("unix:/{}", "s".repeat(107));
        assert!(from_text(&address(), &long[..long.len() - 1]).is_ok());
        for (bad, why) in [
            ("unix:", "the path is not absolute"),
            ("unix:jobs.sock", "the path is not absolute"),
            ("unix:/", "the path is that of a directory"),
            ("unix:/run/", "the path is that of a directory"),
            ("unix:/a\0b", "the path has a NUL in it"),
            (
                "unix://run/jobs.sock",
                "the path begins with more than one slash",
            ),
            (
                "unix:///run/jobs.sock",
                "the path begins with more than one slash",
            ),
            (
                &long,
                "the path is longer than that of a socket can be (107 bytes on Linux)",
            ),
        ] {
            let wrong = from_text(&address(), bad).unwrap_err();
            let expected = format!(
                " is not an address to listen on: {why}; write unix:/path, such as \
                 \"unix:/run/microbatch/jobs.sock\""
            );
            assert!(wrong.ends_with(&expected), "{wrong}");
        }
    }

    #[test]
    fn an_optional_address_may_be_empty() {
        assert_eq!(from_text(&optional_address(), ""), Ok("\"\"".to_owned()));
        assert_eq!(
            from_toml(&optional_address(), "\"\""),
            Ok("\"\"".to_owned())
        );
        assert_eq!(
            from_toml(&optional_address(), "\"h:1\""),
            Ok("\"h:1\"".to_owned())
        );
        assert_eq!(
            from_text(&optional_address(), "unix:/run/admin.sock"),
            Ok("\"unix:/run/admin.sock\"".to_owned())
        );
        let expected =
            "must be an address such as \"127.0.0.1:8081\", or \"\" for none, not a boolean";
        assert_eq!(
            from_toml(&optional_address(), "false"),
            Err(expected.to_owned())
        );
        let expected = "must be an address such as \"127.0.0.1:8080\", not an integer";
        assert_eq!(from_toml(&address(), "8080"), Err(expected.to_owned()));
    }
}
