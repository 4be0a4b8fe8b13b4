//! Sections 4 and 8 of the contract: what the operator sees of an answer that
//! failed a whole batch, and the callers do not.

use crate::harness::{Answer, Call, Line, Proxy, ScriptedUpstream, Wire, WireUpstream, eventually};

/// What the upstream says and nobody but the operator may see.
const SECRET: &str = "daily request count exceeded";

async fn failed(env: &[(&str, &str)], does: impl FnOnce(Call)) -> (Proxy, Vec<Answer>) {
    let mut upstream = ScriptedUpstream::start().await;
    let flags = ["--max-size", "2", "--max-wait", "50s"];
    let proxy = Proxy::start(&upstream.url(), &flags, env).await;
    let callers = [
        proxy.enqueue(r#"{"id":1}"#).await,
        proxy.enqueue(r#"{"id":2}"#).await,
    ];
    does(upstream.next().await);
    let mut answers = Vec::new();
    for caller in callers {
        let answer = caller.answer().await;
        assert!(!answer.text().contains(SECRET), "{answer:?}");
        assert!(!answer.text().contains("example"), "{answer:?}");
        answers.push(answer);
    }
    (proxy, answers)
}

/// The line of the batch that failed; the live page tells the same.
async fn told(proxy: &Proxy) -> Line {
    let line = proxy.log.nth("batch failed", 1).await;
    let live = eventually("the failure on the live page", async || {
        let live = proxy.admin("GET", "/live").await.json();
        let failed = live["failures"][0].clone();
        (!failed.is_null()).then_some(failed)
    })
    .await;
    for field in [
        "upstream_status",
        "location",
        "content_type",
        "content_encoding",
        "excerpt",
    ] {
        assert_eq!(live[field], line.0[field], "{field}: {live} {line:?}");
    }
    line
}

#[tokio::test]
async fn an_object_in_place_of_results_is_shown_with_its_reason() {
    let body = format!(r#"{{"jsonrpc":"2.0","id":null,"error":{{"message":"{SECRET}"}}}}"#);
    let (proxy, answers) = failed(&[], |call| call.ok(body.clone())).await;
    for answer in answers {
        answer.problem(502, "upstream-malformed", "yes");
    }
    let line = told(&proxy).await;
    assert_eq!(line.text("excerpt"), body);
    assert_eq!(line.number("upstream_status"), 200);
    assert_eq!(line.text("content_type"), "application/json");
}

#[tokio::test]
async fn where_a_redirect_pointed_is_shown_without_its_query() {
    let headers = [
        ("location", "https://user:pw@example.net/login?token=abc"),
        ("content-type", "text/html"),
    ];
    let body = format!("<h1>\u{1b}[31m\n{SECRET}</h1>");
    let (proxy, _) = failed(&[], |call| call.answer(302, &headers, body)).await;
    let line = told(&proxy).await;
    assert_eq!(line.number("upstream_status"), 302);
    assert_eq!(line.text("location"), "https://example.net/login?…");
    assert_eq!(line.text("content_type"), "text/html");
    let excerpt = format!("<h1>\\u{{1b}}[31m\\n{SECRET}</h1>");
    assert_eq!(line.text("excerpt"), excerpt);
}

#[tokio::test]
async fn a_compressed_answer_is_said_to_be() {
    let headers = [("content-encoding", "gzip")];
    let body = &b"\x1f\x8b\x08\x00"[..];
    let (proxy, _) = failed(&[], |call| call.answer(200, &headers, body)).await;
    let line = told(&proxy).await;
    assert_eq!(line.text("content_encoding"), "gzip");
    assert!(line.0["excerpt"].is_null(), "{line:?}");
}

#[tokio::test]
async fn a_long_answer_is_cut() {
    let body = "x".repeat(200_000);
    let (proxy, _) = failed(&[], |call| call.answer(500, &[], body)).await;
    let line = told(&proxy).await;
    assert_eq!(line.text("excerpt"), "x".repeat(300));
}

#[tokio::test]
async fn what_the_upstream_wrote_is_left_out_where_that_is_set() {
    let env = [("MICROBATCH_LOG__UPSTREAM_ERRORS", "false")];
    for status in [200, 500] {
        let (proxy, _) = failed(&env, |call| call.answer(status, &[], SECRET)).await;
        let line = told(&proxy).await;
        assert_eq!(line.number("upstream_status"), u64::from(status));
        let secret = |line: &Line| line.0.to_string().contains(SECRET);
        assert_eq!(proxy.log.count(secret), 0);
    }
}

#[tokio::test]
async fn callers_do_not_wait_for_the_body_of_a_failed_answer() {
    let mut upstream = WireUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), &["--max-wait", "0"], &[]).await;
    let caller = proxy.enqueue(r#"{"id":1}"#).await;
    let mut wire: Wire = upstream.call().await;
    wire.batch().await;
    let head = "HTTP/1.1 500 No\r\nContent-Length: 1000\r\n\r\n";
    wire.write(format!("{head}{SECRET}")).await;
    // The rest never comes.
    let answer = caller.answer().await;
    answer.problem(502, "upstream-error", "yes");
    let line = told(&proxy).await;
    assert_eq!(line.text("excerpt"), SECRET);
}
