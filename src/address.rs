//! Addresses to listen on, as text: `host:port`, the host a name or an IP address, an
//! IPv6 address in brackets.
//!
//! Settings and flags read them here, and who calls a listener learns from here where.

use url::Host;

use crate::printable::shown;

/// An address as it stands, once it is known to be one.
///
/// # Errors
///
/// A text that says what is wrong with `text` and how an address is written.
pub fn parse_address(text: &str) -> Result<String, String> {
    let wrong = |why| {
        format!(
            "{} is not an address to listen on: {why}; write host:port, such as \
             \"127.0.0.1:8080\" or \"[::1]:8080\"",
            shown(text)
        )
    };
    split(text).map_err(wrong)?;
    Ok(text.to_owned())
}

/// The host and the port of `host:port`, or what is wrong with it.
fn split(text: &str) -> Result<(Host, u16), &'static str> {
    if text.contains("://") {
        return Err("it is a URL");
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err("it has no port");
    };
    if host.is_empty() {
        return Err("it has no host (0.0.0.0 and [::] stand for every interface)");
    }
    if host == "*" {
        return Err("* is no host (0.0.0.0 and [::] stand for every interface)");
    }
    if host.contains(':') && !host.starts_with('[') {
        return Err("an IPv6 address stands in brackets");
    }
    let Ok(host) = Host::parse(host) else {
        return Err("the host is neither a name nor an IP address");
    };
    // `u16::from_str` alone would take "+80".
    match port.parse() {
        Ok(port) if !text.ends_with(':') && !text.contains(":+") => Ok((host, port)),
        _ => Err("the port is not a number from 0 to 65535"),
    }
}

/// Whether two addresses cannot both be listened on: one port, and one host or every host.
/// Port 0 takes any free port, so it never collides.
pub(crate) fn collide(one: &str, other: &str) -> bool {
    let (Ok((one, port)), Ok((other, other_port))) = (split(one), split(other)) else {
        return false;
    };
    let hosts = match (&one, &other) {
        (Host::Ipv4(a), Host::Ipv4(b)) => a == b || a.is_unspecified() || b.is_unspecified(),
        (Host::Ipv6(a), Host::Ipv6(b)) => a == b || a.is_unspecified() || b.is_unspecified(),
        (one, other) => one == other,
    };
    hosts && port == other_port && port != 0
}

/// The address to connect to in order to reach a listener on this machine: the same, but
/// loopback where the listener takes every interface.
pub fn connectable(listen: &str) -> String {
    match split(listen) {
        Ok((Host::Ipv4(ip), port)) if ip.is_unspecified() => format!("127.0.0.1:{port}"),
        Ok((Host::Ipv6(ip), port)) if ip.is_unspecified() => format!("[::1]:{port}"),
        _ => listen.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_collide_on_one_port_of_one_host() {
        for (one, other, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("localhost:80", "LOCALHOST:80", true),
            ("[::1]:80", "[0:0::1]:80", true),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("[::1]:80", "[::]:80", true),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("[::1]:80", "127.0.0.1:80", false),
        ] {
            assert_eq!(collide(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn every_interface_is_reached_through_loopback() {
        for (listen, expected) in [
            ("0.0.0.0:8081", "127.0.0.1:8081"),
            ("[::]:8081", "[::1]:8081"),
            ("10.0.0.7:8081", "10.0.0.7:8081"),
            ("localhost:1", "localhost:1"),
            ("[::1]:1", "[::1]:1"),
        ] {
            assert_eq!(connectable(listen), expected);
        }
    }
}
