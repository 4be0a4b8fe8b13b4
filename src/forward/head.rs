//! What of a head passes: pure.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Response, StatusCode, Version, response};
use http_body::SizeHint;
use hyper::ext::ReasonPhrase;

use crate::upstream::{strip_hop_by_hop, tokens};

/// Protocols that are HTTP, or could carry it: a caller who changed to one could ask the
/// upstream for what this proxy does not pass on.
const NOT_CHANGED_TO: [&str; 4] = ["h2c", "h2", "http", "tls"];

/// The protocols that a request asks to change to, of those that it may.
pub fn upgrade(version: Version, headers: &HeaderMap) -> Option<HeaderValue> {
    let asks = |name: &str| name.eq_ignore_ascii_case("upgrade");
    if version != Version::HTTP_11 || !tokens(headers, &CONNECTION).any(asks) {
        return None;
    }
    let protocols = tokens(headers, &UPGRADE).filter(|protocol| {
        let name = protocol.split('/').next().unwrap_or_default();
        !NOT_CHANGED_TO
            .iter()
            .any(|it| it.eq_ignore_ascii_case(name))
    });
    let protocols: Vec<&str> = protocols.collect();
    let protocols = (!protocols.is_empty()).then(|| protocols.join(", "))?;
    HeaderValue::try_from(protocols).ok()
}

/// The headers of a request on its way: those of the caller with `own` over them. How the
/// body is framed is told from the body itself, never from what its caller said.
pub(super) fn of_request(
    mut headers: HeaderMap,
    own: &HeaderMap,
    upgrade: Option<&HeaderValue>,
    has_ended: bool,
    length: &SizeHint,
) -> HeaderMap {
    let takes_trailers = tokens(&headers, &TE).any(|it| it.eq_ignore_ascii_case("trailers"));
    let tells_length = headers.contains_key(CONTENT_LENGTH);
    strip_hop_by_hop(&mut headers);
    headers.remove(HOST);
    headers.remove(CONTENT_LENGTH);
    for name in own.keys() {
        headers.remove(name);
    }
    headers.extend(own.clone());
    match length.exact() {
        Some(length) if !has_ended || tells_length => {
            headers.insert(CONTENT_LENGTH, length.into());
        }
        // That there is a body must be said of a GET, too.
        None if !has_ended => {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        _ => {}
    }
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(protocols) = upgrade {
        add_upgrade(&mut headers, protocols.clone());
    }
    headers
}

/// The head of an answer on its way back; `length` is its body's.
pub(super) fn of_answer(head: response::Parts, length: &SizeHint) -> Response<()> {
    let mut headers = head.headers;
    let protocol = headers.get(UPGRADE).cloned();
    match length.exact() {
        // In one header, however many there were.
        Some(length) if length > 0 => {
            headers.insert(CONTENT_LENGTH, length.into());
        }
        // Of an answer without a body (HEAD, 304) it says how long that would be.
        Some(_) => {}
        None => {
            headers.remove(CONTENT_LENGTH);
        }
    }
    strip_hop_by_hop(&mut headers);
    if head.status == StatusCode::SWITCHING_PROTOCOLS
        && let Some(protocol) = protocol
    {
        add_upgrade(&mut headers, protocol);
    }
    let mut answer = Response::new(());
    *answer.status_mut() = head.status;
    *answer.headers_mut() = headers;
    if let Some(reason) = head.extensions.get::<ReasonPhrase>() {
        answer.extensions_mut().insert(reason.clone());
    }
    answer
}

fn add_upgrade(headers: &mut HeaderMap, protocols: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocols);
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn headers(lines: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        headers
    }

    fn lines(headers: &HeaderMap) -> Vec<String> {
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", value.to_str().unwrap())
        };
        let mut lines: Vec<String> = headers.iter().map(line).collect();
        lines.sort();
        lines
    }

    #[test]
    fn a_request_is_framed_by_its_body_and_nothing_else() {
        let unknown = SizeHint::new();
        let exact = SizeHint::with_exact;
        for (sent, has_ended, length, passed) in [
            (&[][..], true, exact(0), &[][..]),
            (
                &["content-length: 0"],
                true,
                exact(0),
                &["content-length: 0"],
            ),
            (
                &["content-length: 5"],
                false,
                exact(5),
                &["content-length: 5"],
            ),
            (&[], false, exact(5), &["content-length: 5"]),
            (&[], false, unknown, &["transfer-encoding: chunked"]),
            (
                &["content-length: 5", "transfer-encoding: chunked"],
                false,
                unknown,
                &["transfer-encoding: chunked"],
            ),
            (
                &["content-length: 5", "transfer-encoding: gzip, chunked"],
                false,
                unknown,
                &["transfer-encoding: chunked"],
            ),
            (
                &["content-length: 9", "content-length: 5"],
                false,
                exact(5),
                &["content-length: 5"],
            ),
        ] {
            let own = HeaderMap::new();
            let found = of_request(headers(sent), &own, None, has_ended, &length);
            assert_eq!(lines(&found), passed, "{sent:?}");
        }
    }

    #[test]
    fn own_headers_win_and_the_host_is_not_the_callers() {
        let sent = headers(&[
            "host: here",
            "authorization: theirs",
            "x-key: theirs",
            "x-key: again",
            "te: gzip;q=0.5, trailers",
            // Nobody has the proxy leave its own out.
            "connection: x-key, x-gone",
            "x-gone: 1",
            "cookie: a=b",
        ]);
        let own = headers(&["authorization: ours", "x-key: ours"]);
        let found = of_request(sent, &own, None, true, &SizeHint::with_exact(0));
        let expected = [
            "authorization: ours",
            "cookie: a=b",
            "te: trailers",
            "x-key: ours",
        ];
        assert_eq!(lines(&found), expected);
    }

    #[test]
    fn an_upgrade_is_asked_for_by_both_headers_and_not_to_http() {
        let http11 = Version::HTTP_11;
        for (version, sent, expected) in [
            (
                http11,
                &["connection: upgrade", "upgrade: websocket"][..],
                Some("websocket"),
            ),
            (
                http11,
                &["connection: keep-alive, Upgrade", "upgrade: a/1, b"],
                Some("a/1, b"),
            ),
            (http11, &["upgrade: websocket"], None),
            (http11, &["connection: upgrade"], None),
            (http11, &["connection: upgrade", "upgrade: h2c"], None),
            (
                http11,
                &["connection: upgrade", "upgrade: TLS/1.0, HTTP/2.0"],
                None,
            ),
            (
                http11,
                &["connection: upgrade", "upgrade: H2C, a"],
                Some("a"),
            ),
            (
                Version::HTTP_2,
                &["connection: upgrade", "upgrade: websocket"],
                None,
            ),
            (
                Version::HTTP_10,
                &["connection: upgrade", "upgrade: websocket"],
                None,
            ),
        ] {
            let found = upgrade(version, &headers(sent));
            assert_eq!(
                found.as_ref().map(|it| it.to_str().unwrap()),
                expected,
                "{sent:?}"
            );
        }
        let protocol = HeaderValue::from_static("websocket");
        let sent = headers(&[
            "connection: upgrade",
            "upgrade: h2c, websocket",
            "http2-settings: A",
        ]);
        let own = HeaderMap::new();
        let found = of_request(sent, &own, Some(&protocol), true, &SizeHint::with_exact(0));
        assert_eq!(lines(&found), ["connection: upgrade", "upgrade: websocket"]);
    }

    #[test]
    fn an_answer_keeps_what_is_for_its_caller() {
        let unknown = SizeHint::new();
        let exact = SizeHint::with_exact;
        for (status, sent, length, passed) in [
            (
                200,
                &[
                    "set-cookie: a=b",
                    "set-cookie: c=d",
                    "connection: x-a",
                    "x-a: 1",
                ][..],
                exact(0),
                &["set-cookie: a=b", "set-cookie: c=d"][..],
            ),
            (
                200,
                &["content-length: 5"],
                exact(5),
                &["content-length: 5"],
            ),
            (
                200,
                &["content-length: 5", "content-length: 5"],
                exact(5),
                &["content-length: 5"],
            ),
            // Of HEAD.
            (
                200,
                &["content-length: 5"],
                exact(0),
                &["content-length: 5"],
            ),
            (
                200,
                &["transfer-encoding: chunked", "content-length: 5"],
                unknown,
                &[],
            ),
            (
                426,
                &["upgrade: websocket", "connection: upgrade"],
                exact(0),
                &[],
            ),
            (
                101,
                &["upgrade: a", "connection: Upgrade, x-a", "x-a: 1", "x-b: 2"],
                exact(0),
                &["connection: upgrade", "upgrade: a", "x-b: 2"],
            ),
        ] {
            let mut answer = Response::new(());
            *answer.status_mut() = StatusCode::from_u16(status).unwrap();
            *answer.headers_mut() = headers(sent);
            *answer.version_mut() = Version::HTTP_10;
            let found = of_answer(answer.into_parts().0, &length);
            assert_eq!(found.status(), status);
            assert_eq!(found.version(), Version::HTTP_11);
            assert_eq!(lines(found.headers()), passed, "{sent:?}");
        }
    }
}
