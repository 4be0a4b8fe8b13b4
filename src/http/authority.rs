//! Which `Host` and which `Origin` a request may have.
//!
//! The gate of each listener asks here before anything else. A web page can point a
//! name of its own at 127.0.0.1 (DNS rebinding): its browser then takes the proxy for
//! the page's own server, and only the `Host` tells. And a page may send a plain form
//! anywhere, and open a WebSocket, which only the `Origin` tells.
//!
//! A sound request costs no allocation here.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Method, Request, Uri, Version};
use thiserror::Error;

use crate::server::socket::Reached;

/// The names that a listener answers to on loopback, besides `localhost` and IP
/// addresses; in lower case.
#[derive(Clone, Debug, Default)]
pub struct HostNames(Arc<[String]>);

impl HostNames {
    /// Those that are configured, and the host to listen on if that is a name.
    pub fn new(configured: &[String], listen: Option<&str>) -> Self {
        let own = listen.map(str::to_ascii_lowercase).into_iter();
        Self(configured.iter().cloned().chain(own).collect())
    }

    fn contain(&self, name: &str) -> bool {
        self.0.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum HostError {
    /// HTTP itself does not allow it.
    #[error("{0}")]
    Invalid(&'static str),
    /// Its host is none of this listener's.
    #[error("the Host of the request is not one of this proxy")]
    Misdirected,
    /// A page of another origin asks for what is not to be read but done.
    #[error("the Origin of the request is not its Host")]
    ForeignOrigin,
}

/// The rules of one connection.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// The names it may be called by; `None` for any.
    names: Option<HostNames>,
    /// Whether a `POST` from a page of another origin is refused.
    own_origin: bool,
}

impl Rules {
    /// Those of a connection that has reached us so. Only on loopback it is known which
    /// names are ours.
    pub fn of(names: &HostNames, reached: Reached) -> Self {
        let loopback = match reached {
            Reached::Tcp(local) => local.is_some_and(|it| it.to_canonical().is_loopback()),
            Reached::Unix => false,
        };
        Self {
            names: loopback.then(|| names.clone()),
            own_origin: false,
        }
    }

    /// The same, where a `POST` must not come from a page of another origin: no page gets
    /// to a unix socket.
    pub fn with_own_origin(self, reached: Reached) -> Self {
        Self {
            own_origin: reached != Reached::Unix,
            ..self
        }
    }

    /// Whether a request by this method is refused for its `Origin`.
    pub fn look_at_origin_of(&self, method: &Method) -> bool {
        self.own_origin && method == Method::POST
    }

    /// Whether the request may be answered at all.
    ///
    /// # Errors
    /// Why not.
    pub fn check<B>(&self, request: &Request<B>) -> Result<(), HostError> {
        let host = host_of(request.uri(), request.headers(), request.version())?;
        if let (Some(names), Some(host)) = (&self.names, host)
            && !host.is_address()
            && !host.name.eq_ignore_ascii_case("localhost")
            && !names.contain(host.name)
        {
            return Err(HostError::Misdirected);
        }
        match self.look_at_origin_of(request.method()) {
            true => is_own_origin(host, request.headers()),
            false => Ok(()),
        }
    }
}

/// Whether a request with this head is of no page, or of one that its host serves.
///
/// # Errors
/// [`HostError::ForeignOrigin`] where it is of another, and what else is wrong with its host.
pub(super) fn of_own_origin(
    uri: &Uri,
    headers: &HeaderMap,
    version: Version,
) -> Result<(), HostError> {
    is_own_origin(host_of(uri, headers, version)?, headers)
}

fn is_own_origin(host: Option<Host<'_>>, headers: &HeaderMap) -> Result<(), HostError> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let own = |origin: &[u8]| host.is_some_and(|host| host.is_origin(origin));
    match origins.all(|origin| own(origin.as_bytes())) {
        true => Ok(()),
        false => Err(HostError::ForeignOrigin),
    }
}

/// The host that a request is for; `None` only where HTTP/1.0 names none.
///
/// RFC 9112, section 3.2: exactly one valid `Host` in HTTP/1.1, which counts for
/// nothing where the target names the host itself. RFC 9113, section 8.3.1: in HTTP/2
/// `:authority`, and a `Host` beside it must say the same.
fn host_of<'a>(
    uri: &'a Uri,
    headers: &'a HeaderMap,
    version: Version,
) -> Result<Option<Host<'a>>, HostError> {
    let header = one_host(headers, version)?;
    let target = uri.authority().map(|it| it.as_str().as_bytes());
    let target = target.map(read).transpose()?;
    match (target, header) {
        (Some(target), Some(header)) if version == Version::HTTP_2 => {
            let same = target.whole.eq_ignore_ascii_case(header.whole);
            match same {
                true => Ok(Some(target)),
                false => Err(HostError::Invalid("Host and :authority differ")),
            }
        }
        (None, None) if version == Version::HTTP_2 => Err(HostError::Invalid(
            "the request has no :authority; name the host that it is for",
        )),
        (target, header) => Ok(target.or(header)),
    }
}

fn one_host(headers: &HeaderMap, version: Version) -> Result<Option<Host<'_>>, HostError> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => Err(HostError::Invalid(
            "the request has more than one Host header; send one",
        )),
        (None, None) if version == Version::HTTP_11 => Err(HostError::Invalid(
            "the request has no Host header; HTTP/1.1 requires one",
        )),
        (host, None) => host.map(|host| read(host.as_bytes())).transpose(),
    }
}

fn read(written: &[u8]) -> Result<Host<'_>, HostError> {
    const MALFORMED: HostError =
        HostError::Invalid("the Host is malformed; it is a name or an address, and a port");
    Host::parse(written).ok_or(MALFORMED)
}

/// A host with its port, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Host<'a> {
    whole: &'a str,
    /// Without the port, and without the dot that a full name may end with.
    name: &'a str,
}

impl<'a> Host<'a> {
    /// Reads `uri-host [":" port]` (RFC 9110, section 7.2); `None` where it is
    /// anything else, or empty.
    fn parse(written: &'a [u8]) -> Option<Self> {
        let whole = std::str::from_utf8(written).ok()?;
        let end = match whole.strip_prefix('[') {
            Some(_) => whole.find(']')? + 1,
            None => whole.find(':').unwrap_or(whole.len()),
        };
        let (name, port) = whole.split_at(end);
        let port_is_valid = match port.strip_prefix(':') {
            Some(digits) => {
                digits.bytes().all(|it| it.is_ascii_digit())
                    && (digits.is_empty() || digits.parse::<u16>().is_ok())
            }
            None => port.is_empty(),
        };
        let name_is_valid = match name.strip_prefix('[') {
            Some(address) => address[..address.len() - 1].parse::<Ipv6Addr>().is_ok(),
            None => !name.is_empty() && name.bytes().all(may_be_in_a_name),
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        (port_is_valid && name_is_valid).then_some(Self { whole, name })
    }

    fn is_address(&self) -> bool {
        self.name.starts_with('[') || self.name.parse::<Ipv4Addr>().is_ok()
    }

    /// Whether a page of this origin is served by this host. Whether it got there
    /// encrypted cannot be told behind a proxy that ends TLS.
    fn is_origin(&self, origin: &[u8]) -> bool {
        let http = origin.strip_prefix(b"http://");
        let rest = http.or_else(|| origin.strip_prefix(b"https://"));
        rest.is_some_and(|rest| rest.eq_ignore_ascii_case(self.whole.as_bytes()))
    }
}

/// `reg-name` (RFC 3986, section 3.2.2).
fn may_be_in_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&byte)
}
