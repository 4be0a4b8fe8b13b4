//! What can't be merged goes alone, as it came.

use crate::harness::*;

const UPGRADE: &str = "GET /v1/a HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
                       Upgrade: websocket\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                        Upgrade: websocket\r\n\r\n";

/// A proxy with a route `predict` whose calls alone go to this upstream, and batches to
/// nowhere.
async fn proxy(upstream: &PeerUpstream, flags: &[&str], env: &[(&str, &str)]) -> Proxy {
    let alone = upstream.url("/own/{model}?k=v");
    let nowhere = Reserved::new();
    let batches = nowhere.url();
    let usual = [
        ("MICROBATCH_ROUTES__PREDICT__PATH", "/v1/{model}"),
        ("MICROBATCH_ROUTES__PREDICT__SHAPE", "kserve-v1"),
        (
            "MICROBATCH_ROUTES__PREDICT__FORWARD_HEADERS",
            "[\"x-tenant\"]",
        ),
        ("MICROBATCH_ROUTES__PREDICT__UPSTREAM__URL", &batches),
        ("MICROBATCH_ROUTES__PREDICT__UPSTREAM__ALONE_URL", &alone),
        (
            "MICROBATCH_ROUTES__PREDICT__UPSTREAM__HEADERS",
            "{ X-Key = \"ours\" }",
        ),
    ];
    Proxy::start(&batches, flags, &[&usual, env].concat()).await
}

fn request(line: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nX-Key: theirs\r\nCookie: a=b\r\n{headers}\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn what_can_not_be_merged_goes_alone_with_all_its_headers() {
    let upstream = PeerUpstream::start().await;
    let flags = ["--max-body", "1000"];
    let proxy = proxy(&upstream, &flags, &[]).await;
    let (mut caller, mut kept) = (Peer::connect(proxy.jobs_addr).await, None);
    let large = format!("{{\"instances\":[\"{}\"]}}", "x".repeat(2_000));
    let json = "Content-Type: application/json\r\n";
    let typed = |more: &str| format!("{json}{more}");
    for (why, line, headers, body) in [
        ("method", "PUT /v1/a", json, "{\"instances\":[1]}"),
        ("type", "POST /v1/a", "Content-Type: text/csv\r\n", "1,2"),
        (
            "encoding",
            "POST /v1/a",
            &typed("Content-Encoding: gzip\r\n"),
            "\u{1f}",
        ),
        ("form", "POST /v1/a", json, "{\"instances\":[]}"),
        ("form", "POST /v1/a", json, "what?"),
        ("size", "POST /v1/a", json, &large),
        (
            "stream",
            "POST /v1/a",
            json,
            "{\"stream\":true,\"instances\":[1]}",
        ),
        (
            "key",
            "POST /v1/a",
            &typed("Idempotency-Key: 1\r\n"),
            "{\"instances\":[1]}",
        ),
        (
            "header",
            "POST /v1/a",
            &typed("X-Tenant: 1\r\nX-Tenant: 2\r\n"),
            "{\"instances\":[1]}",
        ),
    ] {
        let before = Scrape::of(&proxy).await;
        let line = format!("{line}?q=%20");
        caller.write(request(&line, headers, body)).await;
        let upstream = match &mut kept {
            Some(upstream) => upstream,
            none => none.insert(upstream.accept().await),
        };
        let head = upstream.head().await.to_lowercase();
        let method = line.split(' ').next().unwrap().to_lowercase();
        assert!(
            head.starts_with(&format!("{method} /own/a?k=v&q=%20 http/1.1\r\n")),
            "{head}"
        );
        assert!(
            head.contains("x-key: ours\r\n") && !head.contains("theirs"),
            "{head}"
        );
        assert!(head.contains("cookie: a=b\r\n"), "{head}");
        for line in headers.lines() {
            assert!(
                head.contains(&format!("{}\r\n", line.to_lowercase())),
                "{head}"
            );
        }
        assert_eq!(upstream.until(body).await, body, "{why}");
        upstream
            .write("HTTP/1.1 222 Yes\r\nSet-Cookie: s=1\r\nContent-Length: 2\r\n\r\nok")
            .await;
        let answer = caller.until("\r\n\r\nok").await.to_lowercase();
        assert!(answer.starts_with("http/1.1 222 yes\r\n"), "{answer}");
        assert!(answer.contains("set-cookie: s=1\r\n"), "{answer}");
        let nosniff = "x-content-type-options: nosniff\r\n";
        assert!(answer.contains(nosniff), "{answer}");
        let counted = format!("alone_total{{route=\"predict\",why=\"{why}\"}}");
        let after = Scrape::of(&proxy).await;
        assert_eq!(after.get(&counted) - before.get(&counted), 1.0, "{counted}");
        assert_eq!(after.sum("alone_total") - before.sum("alone_total"), 1.0);
    }
}

#[tokio::test]
async fn an_answer_in_pieces_comes_piece_by_piece() {
    let upstream = PeerUpstream::start().await;
    let proxy = proxy(&upstream, &[], &[]).await;
    let mut caller = Peer::connect(proxy.jobs_addr).await;
    let body = "{\"stream\":true,\"instances\":[1]}";
    caller.write(request("POST /v1/a", "", body)).await;
    let mut upstream = upstream.accept().await;
    upstream.until(body).await;
    upstream
        .write(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
             Transfer-Encoding: chunked\r\n\r\n",
        )
        .await;
    caller.head().await;
    for n in 10..30 {
        upstream.write(format!("a\r\ndata: {n}\n\n\r\n")).await;
        // The next leaves when this is here.
        caller.until(&format!("data: {n}\n\n")).await;
    }
    // A caller that leaves ends the call.
    drop(caller);
    upstream.end().await;
}

/// Its body is there, and nobody reads it yet: it is to be seen all the same that it left.
#[tokio::test]
async fn a_caller_who_leaves_while_it_waits_for_a_place_waits_no_longer() {
    let upstream = PeerUpstream::start().await;
    let one = [("MICROBATCH_ROUTES__PREDICT__UPSTREAM__MAX_ALONE", "1")];
    let proxy = proxy(&upstream, &[], &one).await;
    let csv = "Content-Type: text/csv\r\n";
    let mut first = Peer::connect(proxy.jobs_addr).await;
    first.write(request("POST /v1/a", csv, "first")).await;
    let mut wire = upstream.accept().await;
    wire.until("first").await;
    let connected = async |callers: u64| {
        eventually("so many callers", async || {
            let live = proxy.admin("GET", "/live").await.json();
            (live["current"]["connections"] == callers).then_some(())
        })
        .await;
    };
    let mut second = Peer::connect(proxy.jobs_addr).await;
    second.write(request("POST /v1/a", csv, "second")).await;
    connected(2).await;
    drop(second);
    connected(1).await;
    // The place is the next one's.
    let mut third = Peer::connect(proxy.jobs_addr).await;
    third.write(request("POST /v1/a", csv, "third")).await;
    wire.write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
        .await;
    first.until("ok").await;
    let mut wire = upstream.accept().await;
    wire.until("third").await;
}

#[tokio::test]
async fn one_more_than_may_be_waits_and_is_refused_in_the_routes_form() {
    let upstream = PeerUpstream::start().await;
    let one = [("MICROBATCH_ROUTES__PREDICT__UPSTREAM__MAX_ALONE", "1")];
    let proxy = proxy(&upstream, &["--request-timeout", "300ms"], &one).await;
    let mut first = Peer::connect(proxy.jobs_addr).await;
    first.write(UPGRADE).await;
    let mut wire = upstream.accept().await;
    let head = wire.head().await.to_lowercase();
    assert!(head.starts_with("get /own/a?k=v http/1.1\r\n"), "{head}");
    wire.write(SWITCHED).await;
    first.head().await;
    // A tunnel has its place until it is over.
    let get = "GET /v1/a HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut second = Peer::connect(proxy.jobs_addr).await;
    second.write(get).await;
    let refused = second.until("\"}").await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(
        refused.to_lowercase().contains("retry-after: 1\r\n"),
        "{refused}"
    );
    assert!(refused.contains("{\"error\":\"as many"), "{refused}");
    let scrape = Scrape::of(&proxy).await;
    assert_eq!(
        scrape.get("alone_total{route=\"predict\",why=\"upgrade\"}"),
        1.0
    );
    // What was refused did not go.
    assert_eq!(scrape.sum("alone_total"), 1.0);
    drop((first, wire));
    // What waits is let in when the place is free.
    eventually("a place", || async {
        let mut caller = Peer::connect(proxy.jobs_addr).await;
        caller.write(get).await;
        tokio::select! {
            mut wire = upstream.accept() => {
                wire.head().await;
                Some(())
            }
            _ = caller.until("\"}") => None,
        }
    })
    .await;
}

#[tokio::test]
async fn a_page_of_another_origin_opens_no_tunnel() {
    let upstream = PeerUpstream::start().await;
    let below = upstream.url("/");
    let proxy = proxy(&upstream, &[], &[("MICROBATCH_PASSTHROUGH__URL", &below)]).await;
    let asks = |path: &str, origin: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: localhost:80\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nOrigin: {origin}\r\n\r\n"
        )
    };
    for path in ["/v1/a", "/elsewhere"] {
        for foreign in [
            "http://evil.example",
            "http://localhost:81",
            "null",
            "http://localhost:80\r\nOrigin: http://evil.example",
        ] {
            let mut page = Peer::connect(proxy.jobs_addr).await;
            page.write(asks(path, foreign)).await;
            let answer = page.head().await;
            assert!(answer.starts_with("HTTP/1.1 403 "), "{foreign}: {answer}");
        }
        let mut page = Peer::connect(proxy.jobs_addr).await;
        page.write(asks(path, "https://LocalHost:80")).await;
        let mut wire = upstream.accept().await;
        wire.head().await;
        wire.write(SWITCHED).await;
        page.head().await;
        carries(&mut page, &mut wire).await;
    }
    let scrape = Scrape::of(&proxy).await;
    assert_eq!(scrape.sum("alone_total"), 1.0);
    assert_eq!(scrape.sum("passthrough_total"), 1.0);
}

#[tokio::test]
async fn what_an_upstream_fails_to_answer_is_told_in_the_routes_form() {
    let upstream = PeerUpstream::start().await;
    let soon = [("MICROBATCH_ROUTES__PREDICT__UPSTREAM__TIMEOUT", "200ms")];
    let proxy = proxy(&upstream, &[], &soon).await;
    let get = "GET /v1/a HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (status, detail, drops) in [
        ("502", "the connection to the upstream was lost", true),
        ("504", "the upstream did not answer in time", false),
    ] {
        let mut caller = Peer::connect(proxy.jobs_addr).await;
        caller.write(get).await;
        let mut wire = upstream.accept().await;
        wire.head().await;
        let wire = (!drops).then_some(wire);
        let answer = caller.until("\"}").await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
        assert!(
            answer.contains(&format!("{{\"error\":\"{detail}")),
            "{answer}"
        );
        drop(wire);
    }
    let line = proxy
        .log
        .nth("request not passed on: no head of an answer in time", 1)
        .await;
    assert_eq!(
        (line.text("level"), line.text("route")),
        ("WARN", "predict")
    );
}

/// A tunnel that is open, both of its ends.
async fn tunnel(proxy: &Proxy, upstream: &PeerUpstream) -> (Peer, Peer) {
    let mut caller = Peer::connect(proxy.jobs_addr).await;
    caller.write(UPGRADE).await;
    let mut wire = upstream.accept().await;
    wire.head().await;
    wire.write(SWITCHED).await;
    let head = caller.head().await.to_lowercase();
    assert!(head.contains("connection: upgrade\r\n"), "{head}");
    (caller, wire)
}

async fn carries(caller: &mut Peer, wire: &mut Peer) {
    caller.write("up").await;
    wire.until("up").await;
    wire.write("down").await;
    caller.until("down").await;
}

#[tokio::test]
async fn within_the_delay_of_a_drain_all_goes_on_and_protocols_change() {
    let upstream = PeerUpstream::start().await;
    let delay = [("MICROBATCH_SHUTDOWN__DELAY", "60s")];
    let proxy = proxy(&upstream, &[], &delay).await;
    let (mut caller, mut wire) = tunnel(&proxy, &upstream).await;
    proxy.signal(Signal::TERM);
    proxy.log.nth("draining", 1).await;
    let (mut later, mut later_wire) = tunnel(&proxy, &upstream).await;
    carries(&mut caller, &mut wire).await;
    carries(&mut later, &mut later_wire).await;
}

#[tokio::test]
async fn a_drain_waits_for_tunnels() {
    let upstream = PeerUpstream::start().await;
    let mut proxy = proxy(&upstream, &[], &[]).await;
    let (mut caller, mut wire) = tunnel(&proxy, &upstream).await;
    proxy.signal(Signal::TERM);
    proxy.drains().await;
    carries(&mut caller, &mut wire).await;
    drop(wire);
    caller.end().await;
    assert_eq!(proxy.exit_code().await, Some(0));
}

#[tokio::test]
async fn at_the_end_of_a_drain_tunnels_are_cut() {
    let upstream = PeerUpstream::start().await;
    let mut proxy = proxy(&upstream, &["--shutdown-timeout", "100ms"], &[]).await;
    let (caller, wire) = tunnel(&proxy, &upstream).await;
    proxy.signal(Signal::TERM);
    caller.end().await;
    wire.end().await;
    assert_eq!(proxy.exit_code().await, Some(0));
}

#[tokio::test]
async fn callers_over_http2_go_alone_side_by_side() {
    let upstream = PeerUpstream::start().await;
    let proxy = proxy(&upstream, &[], &[]).await;
    let connection = H2c::connect(proxy.jobs_addr).await;
    let put = |n: &str| Request::job(n.to_owned()).to("PUT", &format!("/v1/{n}"));
    let asking = ["a", "b"].map(|n| tokio::spawn(connection.clone().send(put(n))));
    let mut wires = [upstream.accept().await, upstream.accept().await];
    // The one that came last is answered first.
    for wire in wires.iter_mut().rev() {
        let head = wire.head().await.to_lowercase();
        assert!(head.starts_with("put /own/"), "{head}");
        assert!(head.contains("x-key: ours\r\n"), "{head}");
        let name = head["put /own/".len()..][..1].to_owned();
        wire.until(&name).await;
        wire.write(format!(
            "HTTP/1.1 201 Made\r\nX-Mine: {name}\r\nConnection: keep-alive\r\n\
             Keep-Alive: timeout=9\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{name}\r\n0\r\n\r\n"
        ))
        .await;
    }
    for (asking, name) in asking.into_iter().zip(["a", "b"]) {
        let answer = asking.await.unwrap();
        assert_eq!((answer.status, answer.text()), (201, name));
        assert_eq!(answer.header("x-mine"), name);
        assert_eq!(answer.header("keep-alive"), "");
    }
}

#[tokio::test]
async fn what_waits_for_a_place_is_in_the_account_of_what_is_in_memory() {
    const BODY: usize = 100_000;
    const LIMIT: f64 = 450_000.0;
    let upstream = PeerUpstream::start().await;
    let env = [
        ("MICROBATCH_ROUTES__PREDICT__UPSTREAM__MAX_ALONE", "1"),
        ("MICROBATCH_SERVER__MAX_BUFFERED", "450000"),
        ("MICROBATCH_UPSTREAM__MAX_RESPONSE", "100000"),
    ];
    let proxy = proxy(&upstream, &["--max-body", "150000"], &env).await;
    let (caller, wire) = tunnel(&proxy, &upstream).await;
    // No JSON, which is known when it is all there.
    let body = "x".repeat(BODY);
    let json = "Content-Type: application/json\r\n";
    let mut waiting = Vec::new();
    for _ in 0..8 {
        let mut peer = Peer::connect(proxy.jobs_addr).await;
        let request = request("POST /v1/a", json, &body);
        waiting.push(tokio::spawn(async move {
            peer.write(request).await;
            peer
        }));
    }
    let buffered = || async { Scrape::of(&proxy).await.get("buffered_bytes") };
    eventually("as much as may be in memory", || async {
        (buffered().await > LIMIT / 2.0).then_some(())
    })
    .await;
    assert!(buffered().await <= LIMIT);
    // None of them has gone but what has the place, and what they hold stays.
    assert_eq!(Scrape::of(&proxy).await.sum("alone_total"), 1.0);
    assert!(buffered().await > LIMIT / 2.0);
    // One by one they all go on.
    drop((caller, wire));
    for n in 0..8 {
        let mut wire = upstream.accept().await;
        let head = wire.head().await;
        assert!(head.starts_with("POST /own/a"), "{n}: {head}");
        wire.skip(BODY).await;
        wire.write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
            .await;
        wire.end().await;
    }
    for peer in waiting {
        peer.await.unwrap().until("ok").await;
    }
    eventually("an empty account", || async {
        (buffered().await == 0.0).then_some(())
    })
    .await;
}
