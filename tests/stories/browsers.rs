//! What a web page on the operator's own machine can do to the proxy: nothing.
//! Sections 1 and 12 of the contract.

use crate::harness::{Answer, H2c, LONG_WAIT, Proxy, Request, Scrape, ScriptedUpstream, send};
use crate::http_rules::{JOB, Setup, echo};

/// A name that its owner has pointed at 127.0.0.1.
const REBOUND: &str = "rebound.example:8080";

/// `Request` has a `Host` of its own; this one takes its place.
async fn with_host(addr: std::net::SocketAddr, host: &str, request: Request) -> Answer {
    send(addr, request.for_host(host)).await
}

#[tokio::test]
async fn a_rebound_name_reaches_nothing_on_either_listener() {
    let setup = Setup::start(&[], &[]).await;
    let proxy = &setup.proxy;
    let admin = proxy.admin_addr.expect("an admin listener");
    let ours = format!("http://{REBOUND}");
    for (address, method, path) in [
        (admin, "GET", "/"),
        (admin, "GET", "/livez"),
        (admin, "GET", "/config"),
        (admin, "GET", "/live"),
        (admin, "GET", "/metrics"),
        (admin, "GET", "/advice"),
        (admin, "POST", "/flush"),
        // Which paths there are is not told either.
        (admin, "GET", "/nowhere"),
        (proxy.jobs_addr, "GET", "/healthz"),
        (proxy.jobs_addr, "GET", "/nowhere"),
        (proxy.jobs_addr, "PUT", "/jobs"),
        (proxy.jobs_addr, "POST", "/jobs"),
    ] {
        let request = Request::job(JOB).to(method, path).header("origin", &ours);
        let answer = with_host(address, REBOUND, request).await;
        assert_eq!(answer.status, 421, "{method} {path}: {answer:?}");
        answer.problem(421, "misdirected", "no").lacks("id");
    }
    let scrape = Scrape::of(proxy).await;
    assert_eq!(scrape.get(r#"jobs_refused_total{code="misdirected"}"#), 4.0);
    // And by HTTP/2.
    let connection = H2c::connect(proxy.jobs_addr).await;
    let answer = connection.send(Request::job(JOB).for_host(REBOUND)).await;
    answer.problem(421, "misdirected", "no");
    assert_eq!(scrape.get("jobs_accepted_total"), 0.0);
}

#[tokio::test]
async fn localhost_addresses_and_configured_names_are_ours() {
    let env = [
        ("MICROBATCH_SERVER__HOSTS", "proxy.internal"),
        ("MICROBATCH_ADMIN__HOSTS", "[\"admin.internal\", \"Ops\"]"),
    ];
    let setup = Setup::start(&[], &env).await;
    let (jobs, admin) = (setup.proxy.jobs_addr, setup.proxy.admin_addr.unwrap());
    for (host, at_jobs, at_admin) in [
        ("localhost", 200, 200),
        ("LOCALHOST:1", 200, 200),
        ("127.0.0.1:9", 200, 200),
        ("[::1]", 200, 200),
        ("192.0.2.1", 200, 200),
        ("proxy.internal", 200, 421),
        ("Proxy.Internal:80", 200, 421),
        ("admin.internal", 421, 200),
        ("ops:8081", 421, 200),
        ("localhost.example", 421, 421),
    ] {
        let answer = with_host(jobs, host, Request::job(JOB)).await;
        assert_eq!(answer.status, at_jobs, "{host}: {answer:?}");
        let answer = with_host(admin, host, Request::new("GET", "/config")).await;
        assert_eq!(answer.status, at_admin, "{host}: {answer:?}");
    }
}

#[tokio::test]
async fn a_page_of_another_origin_flushes_nothing() {
    let mut upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), &LONG_WAIT, &[]).await;
    let admin = proxy.admin_addr.expect("an admin listener");
    let caller = proxy.enqueue(JOB).await;
    let port = admin.port();
    let flush = |origin: &str| {
        let form = Request::untyped("x").to("POST", "/flush");
        let form = form.header("content-type", "text/plain");
        send(admin, form.header("origin", origin))
    };
    let foreign = [
        "http://evil.example".to_owned(),
        "null".to_owned(),
        format!("http://localhost:{port}"),
        "http://127.0.0.1".to_owned(),
        format!("http://127.0.0.1:{}", proxy.jobs_addr.port()),
    ];
    for origin in foreign {
        let answer = flush(&origin).await;
        assert_eq!(answer.status, 403, "{origin}: {answer:?}");
        answer.problem(403, "foreign-origin", "no");
    }
    // Before the path is looked at; and what is only read is no business of it.
    let nowhere = Request::new("POST", "/nowhere").header("origin", "null");
    let answer = send(admin, nowhere).await;
    answer.problem(403, "foreign-origin", "no");
    let read = Request::new("GET", "/livez").header("origin", "null");
    assert_eq!(send(admin, read).await.status, 200);
    assert!(upstream.arrived().is_none(), "nothing was flushed");
    let own = flush(&format!("http://127.0.0.1:{port}")).await;
    assert_eq!((own.status, own.text().trim()), (200, r#"{"jobs":1}"#));
    upstream.next().await.echo();
    caller.answer().await.is_result(&echo("1"));
}

/// Browsers must not take an answer for anything but what it says it is.
#[tokio::test]
async fn every_answer_says_nosniff() {
    let mut upstream = ScriptedUpstream::start().await;
    let flags = ["--max-wait", "0", "--max-body", "100"];
    let proxy = Proxy::start(&upstream.url(), &flags, &[]).await;
    let admin = proxy.admin_addr.expect("an admin listener");
    let mut statuses = Vec::new();
    let check = |answer: &Answer| {
        let said = answer.header("x-content-type-options");
        assert_eq!(said, "nosniff", "{answer:?}");
        answer.status
    };
    let script = tokio::spawn(async move {
        upstream.next().await.echo();
        let failed = r#"[{"id":1,"error":"no"}]"#;
        upstream.next().await.ok(failed);
        let html = [("content-type", "text/html")];
        upstream.next().await.answer(400, &html, "<script>");
        upstream.next().await.answer(500, &[], "");
        upstream.next().await.ok("[]");
        upstream
    });
    for _ in 0..5 {
        statuses.push(check(&proxy.post(JOB).await));
    }
    let _upstream = script.await.expect("the upstream's script");
    for (address, request) in [
        (proxy.jobs_addr, Request::job("{")),
        (proxy.jobs_addr, Request::job("{}")),
        (proxy.jobs_addr, Request::job("x".repeat(101))),
        (
            proxy.jobs_addr,
            Request::job(JOB).header("content-encoding", "br"),
        ),
        (proxy.jobs_addr, Request::new("GET", "/jobs")),
        (proxy.jobs_addr, Request::new("GET", "/nowhere")),
        (proxy.jobs_addr, Request::new("GET", "/healthz")),
        (proxy.jobs_addr, Request::job(JOB).for_host("foreign")),
        (admin, Request::new("GET", "/")),
        (admin, Request::new("GET", "/livez")),
        (admin, Request::new("GET", "/readyz")),
        (admin, Request::new("GET", "/config")),
        (admin, Request::new("POST", "/flush")),
        (admin, Request::new("POST", "/config")),
        (admin, Request::new("GET", "/nowhere")),
        (
            admin,
            Request::new("POST", "/flush").header("origin", "null"),
        ),
        (admin, Request::new("GET", "/").for_host("foreign")),
    ] {
        statuses.push(check(&send(address, request).await));
    }
    let expected = [
        200, 422, 400, 502, 502, // what the upstream said
        400, 422, 413, 415, 405, 404, 200, 421, // the jobs listener
        200, 200, 200, 200, 200, 405, 404, 403, 421, // the admin listener
    ];
    assert_eq!(statuses, expected);
}

#[tokio::test]
async fn what_an_operator_is_told_is_stored_nowhere() {
    let setup = Setup::start(&[], &[]).await;
    for path in ["/config", "/live", "/advice", "/metrics"] {
        let answer = setup.proxy.admin("GET", path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
}

/// What a page may send to a stranger's server without asking first (Fetch, "CORS-safelisted"),
/// and a WebSocket, about which a browser asks nobody: none of it reaches an upstream.
#[tokio::test]
async fn what_a_page_sends_unasked_reaches_no_upstream() {
    let passed = crate::harness::PeerUpstream::start().await;
    let mut upstream = ScriptedUpstream::start().await;
    let url = passed.url("/");
    let env = [("MICROBATCH_PASSTHROUGH__URL", url.as_str())];
    let proxy = Proxy::start(&upstream.url(), &["--max-wait", "0"], &env).await;
    for origin in ["http://evil.example", "null", "http://localhost:1"] {
        for content_type in [
            "text/plain",
            "text/plain;charset=UTF-8",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "",
        ] {
            for path in ["/jobs", "/elsewhere"] {
                let request = Request::untyped(JOB)
                    .to("POST", path)
                    .header("origin", origin);
                let request = match content_type {
                    "" => request,
                    named => request.header("content-type", named),
                };
                let answer = proxy.send(request).await;
                assert_eq!(answer.status, 415, "{origin} {content_type:?} {path}");
                answer.problem(415, "unsupported-media-type", "no");
            }
        }
        // It is asked first, and nobody says that it may.
        let preflight = Request::new("OPTIONS", "/jobs")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type");
        let answer = proxy.send(preflight).await;
        assert_eq!(answer.status, 405);
        assert_eq!(answer.header("access-control-allow-origin"), "");
        let websocket = Request::new("GET", "/elsewhere")
            .header("origin", origin)
            .header("connection", "upgrade")
            .header("upgrade", "websocket");
        let answer = proxy.send(websocket).await;
        answer.problem(403, "foreign-origin", "no");
    }
    assert!(upstream.arrived().is_none());
}
