//! Section 4 of the contract: what an upstream says instead of results.

use crate::harness::{Answer, LONG_WAIT, Problem, Proxy, ScriptedUpstream};

/// A proxy for batches of a fixed size.
struct Setup {
    proxy: Proxy,
    upstream: ScriptedUpstream,
}

/// What the upstream answers.
type Said<'a> = (u16, &'a [(&'a str, &'a str)], &'a [u8]);

const ONLY_A: [&str; 1] = ["a"];
const A_AND_B: [&str; 2] = ["a", "b"];

impl Setup {
    async fn of(size: usize) -> Self {
        let upstream = ScriptedUpstream::start().await;
        let size = size.to_string();
        let flags = [&LONG_WAIT[..], &["--max-size", &size]].concat();
        let proxy = Proxy::start(&upstream.url(), &flags, &[]).await;
        Self { proxy, upstream }
    }

    /// One batch of these ids, answered like that: the callers' answers.
    async fn batch<const N: usize>(&mut self, ids: [&str; N], said: Said<'_>) -> [Answer; N] {
        let mut callers = Vec::new();
        for id in ids {
            callers.push(self.proxy.enqueue(&format!(r#"{{"id":"{id}"}}"#)).await);
        }
        let call = self.upstream.next().await;
        let batch_id = call.header("x-batch-id").to_owned();
        call.answer(said.0, said.1, said.2.to_vec());
        let mut answers = Vec::new();
        for caller in callers {
            let answer = caller.answer().await;
            if answer.header("content-type") == "application/problem+json" {
                Problem::read(&answer)
                    .has("batch_id", &*batch_id)
                    .hides_upstream(&self.upstream);
            }
            answers.push(answer);
        }
        answers.try_into().expect("an answer each")
    }

    /// Asserts that a batch of one and a batch of two get this problem.
    async fn fails(said: Said<'_>, status: u16, code: &str, dispatched: &str) {
        let [only] = Setup::of(1).await.batch(ONLY_A, said).await;
        row(&only, status, code, dispatched)
            .has("id", "a")
            .has("upstream_status", said.0);
        let [one, other] = Setup::of(2).await.batch(A_AND_B, said).await;
        let problem = row(&one, status, code, dispatched);
        problem
            .has("id", "a")
            .has("upstream_status", said.0)
            .hides("\"b\"");
        let problem = row(&other, status, code, dispatched);
        problem
            .has("id", "b")
            .has("upstream_status", said.0)
            .hides("\"a\"");
    }
}

fn row(answer: &Answer, status: u16, code: &str, dispatched: &str) -> Problem {
    let problem = answer.problem(status, code, dispatched);
    problem.hides("secret").lacks("pointer");
    problem
}

const JSON: (&str, &str) = ("content-type", "application/json");
const TEXT: (&str, &str) = ("content-type", "text/plain; charset=utf-8");

#[tokio::test]
async fn answered_401_403_407() {
    for status in [401, 403, 407] {
        let headers = [TEXT, ("www-authenticate", "Basic realm=secret")];
        Setup::fails((status, &headers, b"secret"), 502, "upstream-auth", "yes").await;
    }
}

#[tokio::test]
async fn answered_429_or_503() {
    for status in [429, 503] {
        Setup::fails(
            (status, &[TEXT], b"secret"),
            503,
            "upstream-overloaded",
            "yes",
        )
        .await;
    }
}

#[tokio::test]
async fn an_overloaded_upstreams_retry_after_is_passed_on_in_seconds() {
    let mut setup = Setup::of(1).await;
    for (said, expected) in [(None, "1"), (Some("7"), "7"), (Some("120"), "120")] {
        let header = [("retry-after", said.unwrap_or_default())];
        let headers = if said.is_some() { &header[..] } else { &[] };
        let [answer] = setup.batch(ONLY_A, (503, headers, b"")).await;
        row(&answer, 503, "upstream-overloaded", "yes");
        assert_eq!(answer.header("retry-after"), expected, "{said:?}");
    }
}

#[tokio::test]
async fn answered_504() {
    Setup::fails(
        (504, &[TEXT], b"secret"),
        504,
        "upstream-gateway-timeout",
        "unknown",
    )
    .await;
}

#[tokio::test]
async fn answered_another_5xx() {
    for status in [500, 501, 502, 505, 511, 599] {
        Setup::fails(
            (status, &[JSON], b"\"secret\""),
            502,
            "upstream-error",
            "yes",
        )
        .await;
    }
}

#[tokio::test]
async fn answered_5xx_with_results_all_the_same() {
    let results = br#"[{"id":"a"},{"id":"b"}]"#;
    Setup::fails((500, &[JSON], results), 502, "upstream-error", "yes").await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut elsewhere = ScriptedUpstream::start().await;
    let url = elsewhere.url();
    for status in [300, 301, 302, 303, 304, 307, 308] {
        let headers = [("location", url.as_str())];
        Setup::fails((status, &headers, b""), 502, "upstream-error", "yes").await;
    }
    assert!(elsewhere.arrived().is_none());
}

#[tokio::test]
async fn answered_413_one_member() {
    let [answer] = Setup::of(1)
        .await
        .batch(ONLY_A, (413, &[TEXT], b"secret"))
        .await;
    row(&answer, 413, "upstream-too-large", "yes")
        .has("id", "a")
        .has("upstream_status", 413);
}

#[tokio::test]
async fn answered_another_4xx_one_member_passes_it_through() {
    let mut setup = Setup::of(1).await;
    let bodies: [(&str, &[u8]); 5] = [
        ("application/json", br#"{ "why" : 1e999 }"#),
        ("application/problem+json", br#"{"title":"theirs"}"#),
        ("application/json; charset=utf-8", b"[]"),
        ("text/plain", b"no"),
        ("text/plain; charset=utf-8", "né".as_bytes()),
    ];
    for status in [400, 402, 404, 405, 406, 409, 410, 418, 422, 451, 499] {
        for (kind, body) in bodies {
            let headers = [("content-type", kind), ("set-cookie", "secret=1")];
            callers_see(&mut setup, (status, &headers, body), kind).await;
        }
    }
}

/// The single member's caller gets the upstream's own words.
async fn callers_see(setup: &mut Setup, said: Said<'_>, kind: &str) {
    let caller = setup.proxy.enqueue(r#"{"id":"a"}"#).await;
    setup
        .upstream
        .next()
        .await
        .answer(said.0, said.1, said.2.to_vec());
    let answer = caller.answer().await;
    assert_eq!(
        (answer.status, &answer.body[..]),
        (said.0, said.2),
        "{answer:?}"
    );
    assert_eq!(answer.header("content-type"), kind);
    assert!(!answer.headers.contains_key("set-cookie"), "{answer:?}");
}

#[tokio::test]
async fn up_to_64_kib_is_passed_through() {
    let mut setup = Setup::of(1).await;
    let large = "x".repeat(64 * 1024 - 1);
    callers_see(&mut setup, (400, &[TEXT], large.as_bytes()), TEXT.1).await;
    let larger = format!("secret{}", "x".repeat(64 * 1024));
    let [answer] = setup.batch(ONLY_A, (400, &[TEXT], larger.as_bytes())).await;
    row(&answer, 400, "upstream-rejected-job", "yes").has("upstream_status", 400);
}

#[tokio::test]
async fn what_is_neither_json_nor_text_is_not_passed_through() {
    let mut setup = Setup::of(1).await;
    let rows: [Said<'_>; 4] = [
        (
            409,
            &[("content-type", "application/octet-stream")],
            b"\x00\x01secret\xff",
        ),
        (409, &[("content-type", "image/png")], b"\x89PNGsecret"),
        (409, &[], b"secret"),
        (409, &[], b""),
    ];
    for said in rows {
        let [answer] = setup.batch(ONLY_A, said).await;
        let problem = row(&answer, 409, "upstream-rejected-job", "yes");
        problem.has("id", "a").has("upstream_status", 409);
    }
}

#[tokio::test]
async fn answered_4xx_several_members() {
    for status in [400, 402, 404, 405, 409, 418, 422, 499] {
        let [one, other] = Setup::of(2)
            .await
            .batch(A_AND_B, (status, &[TEXT], b"secret"))
            .await;
        let problem = row(&one, 502, "upstream-rejected-batch", "yes");
        problem
            .has("id", "a")
            .has("upstream_status", status)
            .hides("\"b\"");
        let problem = row(&other, 502, "upstream-rejected-batch", "yes");
        problem.has("id", "b").has("upstream_status", status);
    }
}

#[tokio::test]
async fn one_failing_batch_harms_no_other() {
    let mut setup = Setup::of(1).await;
    let a = setup.proxy.enqueue(r#"{"id":"a"}"#).await;
    let failing = setup.upstream.next().await;
    let b = setup.proxy.enqueue(r#"{"id":"b"}"#).await;
    let working = setup.upstream.next().await;
    failing.hang_up();
    a.answer()
        .await
        .problem(502, "upstream-disconnected", "unknown");
    working.echo();
    b.answer().await.is_result(r#"{"id":"b","result":null}"#);
    let c = setup.proxy.enqueue(r#"{"id":"c"}"#).await;
    setup.upstream.next().await.echo();
    assert_eq!(c.answer().await.status, 200);
}

#[tokio::test]
async fn a_failed_batch_is_one_line_of_the_log() {
    let mut setup = Setup::of(2).await;
    let _ = setup.batch(A_AND_B, (500, &[TEXT], b"secret")).await;
    let failed = setup.proxy.log.nth("batch failed", 1).await;
    let left = setup.proxy.log.nth("batch left", 1).await;
    assert_eq!(failed.text("level"), "WARN", "{failed:?}");
    assert_eq!(failed.text("batch_id"), left.text("batch_id"));
    assert_eq!(
        (failed.number("size"), failed.text("outcome")),
        (2, "upstream-error")
    );
    assert!(
        failed.0["duration_ms"].as_f64().is_some_and(|ms| ms >= 0.0),
        "{failed:?}"
    );
}
