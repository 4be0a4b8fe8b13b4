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

#[tokio::test]
async fn a_tunnel_has_until_the_end_of_the_drain_and_is_cut_then() {
    let upstream = PeerUpstream::start().await;
    let delay = [("MICROBATCH_SHUTDOWN__DELAY", "4s")];
    let mut proxy = proxy(&upstream, &["--shutdown-timeout", "1s"], &delay).await;
    let mut callers = [
        Peer::connect(proxy.jobs_addr).await,
        Peer::connect(proxy.jobs_addr).await,
    ];
    callers[0].write(UPGRADE).await;
    let mut wires = vec![upstream.accept().await];
    wires[0].head().await;
    wires[0].write(SWITCHED).await;
    callers[0].head().await;
    proxy.signal(Signal::TERM);
    proxy.log.nth("draining", 1).await;
    // Within the delay all goes on, changes of protocols too.
    callers[1].write(UPGRADE).await;
    wires.push(upstream.accept().await);
    wires[1].head().await;
    wires[1].write(SWITCHED).await;
    let head = callers[1].head().await.to_lowercase();
    assert!(head.contains("connection: upgrade\r\n"), "{head}");
    for (caller, wire) in callers.iter_mut().zip(&mut wires) {
        caller.write("up").await;
        wire.until("up").await;
        wire.write("down").await;
        caller.until("down").await;
    }
    for end in callers.into_iter().chain(wires) {
        end.end().await;
    }
    assert_eq!(proxy.exit_code().await, Some(0));
}
