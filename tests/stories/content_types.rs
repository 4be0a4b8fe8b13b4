//! Section 1 of the contract: which `Content-Type` a job may have, and what a
//! browser may send.

use crate::harness::Request;
use crate::http_rules::{JOB, Setup, echo};

#[tokio::test]
async fn json_or_no_type_or_what_bare_curl_and_fetch_send_is_taken() {
    let setup = Setup::start(&[], &[]).await;
    for kind in [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "Application/JSON",
        "application/vnd.x+json",
        "application/cloudevents+json; charset=utf-8",
        "application/problem+JSON",
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=utf-8",
        "text/plain",
        "text/plain;charset=UTF-8",
    ] {
        let request = Request::untyped(JOB).header("content-type", kind);
        let answer = setup.proxy.send(request).await;
        assert_eq!(
            (answer.status, answer.text()),
            (200, &*echo("1")),
            "{kind}: {answer:?}"
        );
    }
    setup
        .proxy
        .send(Request::untyped(JOB))
        .await
        .is_result(&echo("1"));
}

#[tokio::test]
async fn any_other_type_is_refused() {
    let setup = Setup::start(&[], &[]).await;
    for kind in [
        "text/html",
        "application/xml",
        "application/octet-stream",
        "application/jsonx",
        "application/json-seq",
        "application/x-ndjson",
        "application/x-json",
        "multipart/form-data; boundary=x",
        "text/html; a=application/json",
        "text/plain, application/json",
        "json",
        "*/*",
    ] {
        let answer = setup
            .proxy
            .send(Request::untyped(JOB).header("content-type", kind))
            .await;
        assert_eq!(answer.status, 415, "{kind}: {answer:?}");
        answer.problem(415, "unsupported-media-type", "no");
    }
}

#[tokio::test]
async fn an_encoded_body_is_refused_by_the_name_of_its_encoding() {
    let setup = Setup::start(&["--max-body", "100"], &[]).await;
    // Compressed or not, and before its size is looked at.
    let bodies: [&[u8]; 3] = [b"\x1f\x8b\x08", JOB.as_bytes(), &[b' '; 101]];
    for body in bodies {
        let request = Request::job(body.to_vec()).header("content-encoding", "gzip");
        let answer = setup.proxy.send(request).await;
        let problem = answer.problem(415, "unsupported-media-type", "no");
        let detail = problem.get("detail").as_str().unwrap();
        assert!(detail.contains("Content-Encoding gzip"), "{detail}");
        assert_eq!(answer.header("accept-encoding"), "identity");
    }
    let several = Request::job(JOB)
        .header("content-encoding", "identity")
        .header("content-encoding", "zstd, br");
    let answer = setup.proxy.send(several).await;
    let problem = answer.problem(415, "unsupported-media-type", "no");
    assert!(problem.get("detail").as_str().unwrap().contains("zstd"));
    // The type is looked at first.
    let typed = Request::untyped(JOB)
        .header("content-type", "text/html")
        .header("content-encoding", "gzip");
    let answer = setup.proxy.send(typed).await;
    answer.problem(415, "unsupported-media-type", "no");
    assert_eq!(answer.header("accept-encoding"), "");
    let identity = Request::job(JOB).header("content-encoding", "Identity");
    setup.proxy.send(identity).await.is_result(&echo("1"));
}

#[tokio::test]
async fn a_browser_must_say_json() {
    let setup = Setup::start(&[], &[]).await;
    let with_origin = |kind: Option<&str>| {
        let request = Request::untyped(JOB).header("origin", "https://example.org");
        match kind {
            Some(kind) => request.header("content-type", kind),
            None => request,
        }
    };
    for kind in [
        None,
        Some("application/x-www-form-urlencoded"),
        Some("text/plain"),
        Some("multipart/form-data; boundary=x"),
    ] {
        let answer = setup.proxy.send(with_origin(kind)).await;
        assert_eq!(answer.status, 415, "{kind:?}: {answer:?}");
        answer.problem(415, "unsupported-media-type", "no");
    }
    for kind in [
        "application/json",
        "application/json; charset=utf-8",
        "application/vnd.x+json",
    ] {
        let answer = setup.proxy.send(with_origin(Some(kind))).await;
        assert_eq!(answer.status, 200, "{kind}: {answer:?}");
    }
}

#[tokio::test]
async fn a_preflight_is_not_answered() {
    let setup = Setup::start(&[], &[]).await;
    let preflight = Request::new("OPTIONS", "/jobs")
        .header("origin", "https://example.org")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type");
    let answer = setup.proxy.send(preflight).await;
    answer.problem(405, "method-not-allowed", "no");
    let allows = |name: &&str| name.starts_with("access-control-");
    let names: Vec<_> = answer.headers.keys().map(|name| name.as_str()).collect();
    assert!(!names.iter().any(allows), "{names:?}");
}
