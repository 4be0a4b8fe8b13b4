//! Headers that are about one connection alone, and end with it (RFC 9110, section 7.6.1).

use http::header::{
    CONNECTION, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue};

/// Those that no message need name. The last belongs to an upgrade to HTTP/2, which ends
/// at whoever is asked for it.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// Leaves what is meant for the other end: neither hop-by-hop headers nor those that
/// `Connection` names.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // Most messages that name any name one of those that go anyway.
    let named: Vec<HeaderName> = tokens(headers, &CONNECTION)
        .filter_map(|name| HeaderName::try_from(name).ok())
        .filter(|name| !HOP_BY_HOP.contains(name))
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// The members of a list of tokens, which may be in several headers of one name.
pub fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter();
    let texts = values.filter_map(|value: &HeaderValue| value.to_str().ok());
    let members = texts.flat_map(|text| text.split(','));
    members.map(str::trim).filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_a_connection_ends_with_it() {
        for (sent, passed) in [
            (
                &["accept: a", "accept: b"][..],
                &["accept: a", "accept: b"][..],
            ),
            (&["connection: close"], &[]),
            (
                &[
                    "connection: X-One , keep-alive,x-two",
                    "x-one: 1",
                    "x-two: 2",
                    "x-three: 3",
                ],
                &["x-three: 3"],
            ),
            (
                &[
                    "connection: x-one",
                    "connection: close, x-two",
                    "x-one: 1",
                    "x-two: 2",
                ],
                &[],
            ),
            (
                &[
                    "keep-alive: timeout=1",
                    "proxy-connection: close",
                    "proxy-authenticate: Basic",
                    "proxy-authorization: Basic eDp5",
                    "te: trailers",
                    "transfer-encoding: chunked",
                    "upgrade: websocket",
                    "http2-settings: AAMAAABk",
                ],
                &[],
            ),
            // What the other end is told of trailers is for that end.
            (
                &["trailer: x-sum", "set-cookie: a=b"],
                &["trailer: x-sum", "set-cookie: a=b"],
            ),
            // No name, so that nothing has it.
            (&["connection: a b, \"c\",,", "accept: a"], &["accept: a"]),
        ] {
            let mut headers = HeaderMap::new();
            for line in sent {
                let (name, value) = line.split_once(": ").unwrap();
                let name = HeaderName::from_static(name);
                headers.append(name, HeaderValue::from_static(value));
            }
            strip_hop_by_hop(&mut headers);
            let left: Vec<String> = headers
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .collect();
            assert_eq!(left, passed, "{sent:?}");
        }
    }
}
