//! What of heads passes, and how bodies are framed.

use http::HeaderValue;
use http::header::AUTHORIZATION;

use super::*;

fn lines(head: &str) -> Vec<String> {
    let mut lines: Vec<String> = head.trim_end().lines().map(str::to_lowercase).collect();
    // The first is the request or the status, the others have no order.
    lines[1..].sort();
    lines
}

#[tokio::test]
async fn end_to_end_headers_pass_and_hop_by_hop_headers_do_not() {
    let scene = Scene::new(|it| {
        it.headers
            .insert(AUTHORIZATION, HeaderValue::from_static("ours"));
    })
    .await;
    let (mut caller, host) = (scene.caller().await, scene.upstream.local_addr().unwrap());
    caller
        .write(
            "POST //evil/.../a%2e?b=%20&c HTTP/1.1\r\nHost: me\r\nAuthorization: mine\r\n\
             Cookie: a=b\r\nConnection: keep-alive, x-secret, authorization\r\nX-Secret: 1\r\n\
             Keep-Alive: timeout=9\r\nProxy-Authorization: b\r\nTE: gzip\r\n\
             X-Two: 1\r\nX-Two: 2\r\nContent-Length: 2\r\n\r\nhi",
        )
        .await;
    let mut upstream = scene.accept().await;
    let head = upstream.until("hi").await;
    let host = format!("host: {host}");
    let expected = [
        "post //evil/.../a%2e?b=%20&c http/1.1",
        "authorization: ours",
        "content-length: 2",
        "cookie: a=b",
        &host,
        "x-two: 1",
        "x-two: 2",
    ];
    assert_eq!(lines(head.strip_suffix("hi").unwrap()), expected);
    upstream
        .write(
            "HTTP/1.1 299 Quite Fine\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nDate: today\r\n\
             Connection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nContent-Length: 2\r\n\r\n!!",
        )
        .await;
    let head = caller.until("!!").await;
    let expected = [
        "http/1.1 299 quite fine",
        "content-length: 2",
        "date: today",
        "set-cookie: a=b",
        "set-cookie: c=d",
    ];
    assert_eq!(lines(head.strip_suffix("!!").unwrap()), expected);
}

#[tokio::test]
async fn what_has_no_body_has_none_and_leaves_the_connection_usable() {
    let scene = Scene::usual().await;
    let mut caller = scene.caller().await;
    let mut upstream: Option<Peer> = None;
    for (method, answer, passed) in [
        ("HEAD", "200 OK\r\nContent-Length: 7", "content-length: 7"),
        ("GET", "304 Not Modified\r\nETag: \"a\"", "etag: \"a\""),
        ("DELETE", "204 No Content", "204"),
        (
            "OPTIONS",
            "200 OK\r\nContent-Length: 0\r\nAllow: GET",
            "allow: get",
        ),
        (
            "GET",
            "103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0",
            "200 ok",
        ),
    ] {
        caller
            .write(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        let upstream = match &mut upstream {
            Some(upstream) => upstream,
            none => none.insert(scene.accept().await),
        };
        let head = upstream.head().await.to_lowercase();
        assert!(
            !head.contains("content-length") && !head.contains("transfer"),
            "{head}"
        );
        upstream.write(format!("HTTP/1.1 {answer}\r\n\r\n")).await;
        let head = caller.head().await.to_lowercase();
        assert!(
            head.contains(passed) && !head.contains("transfer"),
            "{head}"
        );
        assert!(!head.contains("link"), "{head}");
    }
}

#[tokio::test]
async fn nobody_smuggles_a_request_by_its_framing() {
    for (framing, body) in [
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "0\r\n\r\nGET /evil HTTP/1.1\r\n\r\n",
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            "0\r\n\r\nGET /evil HTTP/1.1\r\n\r\n",
        ),
        ("Transfer-Encoding: chunked, identity", "0\r\n\r\n"),
        ("Content-Length: 1\r\nContent-Length: 2", "ab"),
        ("Content-Length: +1", "a"),
    ] {
        let scene = Scene::usual().await;
        let mut caller = scene.caller().await;
        caller
            .write(format!(
                "POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{body}"
            ))
            .await;
        tokio::select! {
            // Refused.
            head = caller.head() => assert!(head.starts_with("HTTP/1.1 400"), "{head}"),
            mut upstream = scene.accept() => {
                // Or passed on by one framing alone, and nothing after it.
                let head = upstream.head().await.to_lowercase();
                assert!(head.contains("transfer-encoding: chunked"), "{framing}: {head}");
                assert!(!head.contains("content-length"), "{framing}: {head}");
                upstream.until("0\r\n\r\n").await;
                upstream.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                caller.head().await;
                let mut next = scene.caller().await;
                next.write("GET /next HTTP/1.1\r\nHost: a\r\n\r\n").await;
                let head = upstream.head().await;
                assert!(head.starts_with("GET /next "), "{framing}: {head}");
            }
        }
    }
}

#[tokio::test]
async fn a_get_keeps_its_body_however_long_it_is() {
    for (framing, body) in [
        ("Content-Length: 2", "hi"),
        ("Transfer-Encoding: chunked", "2\r\nhi\r\n0\r\n\r\n"),
    ] {
        let scene = Scene::usual().await;
        let mut caller = scene.caller().await;
        caller
            .write(format!(
                "GET /_search HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{body}"
            ))
            .await;
        let mut upstream = scene.accept().await;
        let head = upstream.head().await.to_lowercase();
        assert!(head.contains(&framing.to_lowercase()), "{head}");
        upstream.until(body).await;
    }
}

#[tokio::test]
async fn a_body_is_sent_when_the_upstream_asks_for_it() {
    const REQUEST: &str =
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let scene = Scene::usual().await;
    let mut caller = scene.caller().await;
    caller.write(REQUEST).await;
    let mut upstream = scene.accept().await;
    let head = upstream.head().await.to_lowercase();
    assert!(head.contains("expect: 100-continue"), "{head}");
    upstream.write("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(caller.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    caller.write("hi").await;
    upstream.until("hi").await;
    upstream
        .write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert!(caller.head().await.starts_with("HTTP/1.1 200"));
    // One that refuses is sent none, and no caller is asked for one.
    caller.write(REQUEST).await;
    upstream.head().await;
    upstream
        .write("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert!(caller.head().await.starts_with("HTTP/1.1 401"));
    assert_eq!(caller.end().await, "");
    assert_eq!(upstream.end().await, "");
}
