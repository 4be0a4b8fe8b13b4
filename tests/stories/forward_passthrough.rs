//! Paths of no route are passed through.

use tokio::io::AsyncWriteExt;

use crate::harness::*;

async fn proxy(upstream: &PeerUpstream) -> (ScriptedUpstream, Proxy) {
    let jobs = ScriptedUpstream::start().await;
    let url = upstream.url("/base/?k=v");
    let env = [
        ("MICROBATCH_PASSTHROUGH__URL", url.as_str()),
        ("MICROBATCH_UPSTREAM__HEADERS", "{ X-Key = \"secret\" }"),
    ];
    let proxy = Proxy::start(&jobs.url(), &[], &env).await;
    (jobs, proxy)
}

#[tokio::test]
async fn every_path_that_is_no_route_goes_below_the_url() {
    let upstream = PeerUpstream::start().await;
    let (mut jobs, proxy) = proxy(&upstream).await;
    let mut caller = Peer::connect(proxy.jobs_addr).await;
    let mut kept = None;
    for (target, passed) in [
        ("GET /", "get /base/?k=v"),
        ("OPTIONS /models?a=%2F", "options /base/models?k=v&a=%2f"),
        (
            "GET //evil/@x/...;/%2e%2ea/",
            "get /base//evil/@x/...;/%2e%2ea/?k=v",
        ),
        ("PATCH http://localhost/abs", "patch /base/abs?k=v"),
        ("GET /healthz/", "get /base/healthz/?k=v"),
    ] {
        let head = "Host: localhost\r\nCookie: a=b\r\nAuthorization: mine\r\nConnection: x\r\nX: 1";
        caller
            .write(format!("{target} HTTP/1.1\r\n{head}\r\n\r\n"))
            .await;
        let wire = match &mut kept {
            Some(wire) => wire,
            none => none.insert(upstream.accept().await),
        };
        let head = wire.head().await.to_lowercase();
        assert!(
            head.starts_with(&format!("{passed} http/1.1\r\n")),
            "{head}"
        );
        assert!(
            head.contains(&format!("host: {}\r\n", upstream.addr())),
            "{head}"
        );
        for line in ["cookie: a=b\r\n", "authorization: mine\r\n"] {
            assert!(head.contains(line), "{head}");
        }
        assert!(
            !head.contains("\r\nx: 1") && !head.contains("secret"),
            "{head}"
        );
        wire.write("HTTP/1.1 200 OK\r\nSet-Cookie: s=1\r\nContent-Length: 2\r\n\r\nok")
            .await;
        let answer = caller.until("\r\n\r\nok").await.to_lowercase();
        assert!(answer.contains("set-cookie: s=1\r\n"), "{answer}");
        let nosniff = "x-content-type-options: nosniff\r\n";
        assert!(answer.contains(nosniff), "{answer}");
    }
    // Its own paths are the proxy's.
    assert_eq!(
        proxy.send(Request::new("GET", "/healthz")).await.status,
        200
    );
    let answering = async { jobs.next().await.echo() };
    let (answer, ()) = tokio::join!(proxy.post("{\"id\":1}"), answering);
    assert_eq!(answer.status, 200);
    assert_eq!(Scrape::of(&proxy).await.get("passthrough_total"), 5.0);
}

#[tokio::test]
async fn what_is_not_passed_through_is_refused() {
    let upstream = PeerUpstream::start().await;
    let (_jobs, proxy) = proxy(&upstream).await;
    for (request, status) in [
        (
            "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n",
            "405",
        ),
        ("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", "404"),
        ("GET / HTTP/1.1\r\nHost: evil\r\n\r\n", "421"),
        ("GET /../admin HTTP/1.1\r\nHost: localhost\r\n\r\n", "404"),
        (
            "GET /a/%2e%2E;x/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
            "404",
        ),
        (
            "POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil\r\n\
             Content-Type: text/plain\r\nContent-Length: 1\r\n\r\n1",
            "415",
        ),
    ] {
        let mut caller = Peer::connect(proxy.jobs_addr).await;
        caller.write(request).await;
        let answer = caller.head().await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {answer}"
        );
    }
    assert_eq!(Scrape::of(&proxy).await.get("passthrough_total"), 0.0);
}

#[tokio::test]
async fn a_hundred_megabytes_take_no_memory() {
    const PIECE: usize = 1 << 20;
    const PIECES: usize = 100;
    let upstream = PeerUpstream::start().await;
    let (_jobs, proxy) = proxy(&upstream).await;
    // Both ways, each within the system's own buffers and a few pieces.
    let before = proxy.peak_kib();
    for up in [true, false] {
        let mut caller = Peer::connect(proxy.jobs_addr).await;
        let length = |has: bool| if has { PIECE * PIECES } else { 0 };
        let head = "POST /large HTTP/1.1\r\nHost: localhost\r\n";
        caller
            .write(format!("{head}Content-Length: {}\r\n\r\n", length(up)))
            .await;
        let mut wire = upstream.accept().await;
        wire.head().await;
        if !up {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                length(true)
            );
            wire.write(head).await;
            caller.head().await;
        }
        let (mut writer, mut reader) = if up { (caller, wire) } else { (wire, caller) };
        let writing = tokio::spawn(async move {
            let piece = vec![b'x'; PIECE];
            for _ in 1..PIECES {
                writer.write(&piece).await;
            }
            writer.write(&piece[1..]).await;
            writer.write("!").await;
            writer.socket.flush().await.expect("an open connection");
            writer
        });
        // It reads whole pieces, so that nothing is looked through twice.
        reader.skip(PIECE * PIECES - 1).await;
        assert_eq!(reader.until("!").await, "!");
        writing.await.expect("all is written");
    }
    let grown = proxy.peak_kib() - before;
    assert!(grown < 32 * 1024, "{grown} KiB more than before");
}

#[tokio::test]
async fn callers_over_http2_are_passed_through() {
    let upstream = PeerUpstream::start().await;
    let (_jobs, proxy) = proxy(&upstream).await;
    let asking = tokio::spawn({
        let caller = H2c::connect(proxy.jobs_addr).await;
        async move { caller.send(Request::new("GET", "/models")).await }
    });
    let mut wire = upstream.accept().await;
    let head = wire.head().await.to_lowercase();
    assert!(
        head.starts_with("get /base/models?k=v http/1.1\r\n"),
        "{head}"
    );
    wire.write(
        "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=9\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\nok\r\n0\r\n\r\n",
    )
    .await;
    let answer = asking.await.expect("an answer");
    assert_eq!((answer.status, answer.text()), (200, "ok"));
    assert!(!answer.headers.contains_key("keep-alive"), "{answer:?}");
}
