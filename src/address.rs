//! Addresses to listen on, as text: `host:port`, the host a name or an IP address, an
//! IPv6 address in brackets; or `unix:` and the absolute path of a socket.
//!
//! Settings and flags read them here, and who calls a listener learns from here where.

use std::fmt;
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};

use url::Host;

use crate::printable::shown;

/// Where a listener is, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `host:port`.
    Tcp(String),
    /// The path of a socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

/// What the address of a socket begins with.
pub const UNIX: &str = "unix:";

/// An address as it stands, once it is known to be one.
///
/// # Errors
///
/// A text that says what is wrong with `text` and how an address is written.
pub fn parse_address(text: &str) -> Result<Address, String> {
    match text.strip_prefix(UNIX) {
        None => parse_tcp(text).map(Address::Tcp),
        Some(path) => match socket_path(path) {
            Ok(path) => Ok(Address::Unix(path)),
            Err(why) => Err(format!(
                "{} is not an address to listen on: {why}; write unix:/path, such as \
                 \"unix:/run/microbatch/jobs.sock\"",
                shown(text)
            )),
        },
    }
}

/// The same, where it can't be a socket.
///
/// # Errors
///
/// As [`parse_address`].
pub fn parse_tcp(text: &str) -> Result<String, String> {
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

/// The path of a socket, if it can be one.
///
/// # Errors
///
/// What is wrong with it.
pub fn socket_path(path: &str) -> Result<PathBuf, &'static str> {
    if path.starts_with("//") {
        return Err("the path begins with more than one slash");
    }
    if !path.starts_with('/') {
        return Err("the path is not absolute");
    }
    if path.ends_with('/') {
        return Err("the path is that of a directory");
    }
    // Also the system's: 107 bytes on Linux.
    match SocketAddr::from_pathname(path) {
        Ok(_) => Ok(PathBuf::from(path)),
        Err(_) if path.contains('\0') => Err("the path has a NUL in it"),
        Err(_) => Err("the path is longer than that of a socket can be (107 bytes on Linux)"),
    }
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

/// Whether two addresses cannot both be listened on: one socket, or one port and one host or
/// every host. Port 0 takes any free port, so it never collides.
pub(crate) fn collide(one: &Address, other: &Address) -> bool {
    let (one, other) = match (one, other) {
        (Address::Tcp(one), Address::Tcp(other)) => (one, other),
        (Address::Unix(one), Address::Unix(other)) => return one == other,
        _ => return false,
    };
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

impl Address {
    /// The address to connect to in order to reach a listener on this machine: the same, but
    /// loopback where the listener takes every interface.
    #[must_use]
    pub fn connectable(&self) -> Self {
        let Self::Tcp(listen) = self else {
            return self.clone();
        };
        Self::Tcp(match split(listen) {
            Ok((Host::Ipv4(ip), port)) if ip.is_unspecified() => format!("127.0.0.1:{port}"),
            Ok((Host::Ipv6(ip), port)) if ip.is_unspecified() => format!("[::1]:{port}"),
            _ => listen.clone(),
        })
    }

    /// The host, where it has one, as it is written.
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Tcp(listen) => listen.rsplit_once(':').map(|(host, _)| host),
            Self::Unix(_) => None,
        }
    }

    /// The path of the socket, where it is one.
    pub fn socket(&self) -> Option<&Path> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix(path) => Some(path),
        }
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
            ("unix:/a", "unix:/a", true),
            ("unix:/a", "unix:/b", false),
            ("unix:/a", "127.0.0.1:80", false),
        ] {
            let [first, second] = [one, other].map(|it| parse_address(it).unwrap());
            assert_eq!(collide(&first, &second), expected, "{one} {other}");
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
            ("unix:/run/jobs.sock", "unix:/run/jobs.sock"),
        ] {
            let address = parse_address(listen).unwrap();
            assert_eq!(address.connectable().to_string(), expected);
        }
    }
}
