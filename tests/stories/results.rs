//! Section 3 of the contract: each caller gets its own element, found by id.

use serde_json::Value;

use crate::harness::{Answer, Caller, LONG_WAIT, Problem, Proxy, Request, ScriptedUpstream};

/// A proxy whose batches leave when all the jobs of a story are in.
struct House {
    proxy: Proxy,
    upstream: ScriptedUpstream,
}

impl House {
    async fn of(size: usize, env: &[(&str, &str)]) -> Self {
        let upstream = ScriptedUpstream::start().await;
        let size = size.to_string();
        let flags = [&LONG_WAIT[..], &["--max-size", &size]].concat();
        let proxy = Proxy::start(&upstream.url(), &flags, env).await;
        Self { proxy, upstream }
    }

    /// One batch of these ids, as JSON text, answered 200 with this body: the
    /// callers' answers, in the order of the ids.
    async fn batch<const N: usize>(&mut self, ids: [&str; N], body: &str) -> [Answer; N] {
        let mut callers = Vec::new();
        for id in ids {
            callers.push(self.proxy.enqueue(&format!(r#"{{"id":{id}}}"#)).await);
        }
        self.upstream.next().await.ok(body.to_owned());
        let mut answers = Vec::new();
        for caller in callers {
            answers.push(caller.answer().await);
        }
        answers.try_into().expect("an answer each")
    }

    /// The lines that warn of results nobody asked for.
    fn warnings(&self) -> usize {
        self.proxy
            .log
            .count(|line| line.message() == "unmatched results")
    }
}

/// A house for two jobs, and one batch of `"a"` and `"b"` through it.
async fn a_and_b(body: &str) -> [Answer; 2] {
    House::of(2, &[])
        .await
        .batch([r#""a""#, r#""b""#], body)
        .await
}

fn missing(answer: &Answer, id: impl Into<Value>) -> Problem {
    let problem = answer.problem(502, "result-missing", "yes");
    problem.has("id", id).lacks("pointer");
    problem
}

#[tokio::test]
async fn results_in_any_order_find_their_callers() {
    let ids = ["1", r#""1""#, "2", r#""two""#, r#""\u00e9""#];
    let mut house = House::of(5, &[]).await;
    let body =
        r#"[{"id":"é","r":5},{"id":2,"r":3},{"id":"1","r":2},{"id":"two","r":4},{"id":1,"r":1}]"#;
    let [one, text_one, two, text_two, accent] = house.batch(ids, body).await;
    one.is_result(r#"{"id":1,"r":1}"#);
    text_one.is_result(r#"{"id":"1","r":2}"#);
    two.is_result(r#"{"id":2,"r":3}"#);
    text_two.is_result(r#"{"id":"two","r":4}"#);
    accent.is_result(r#"{"id":"é","r":5}"#);
    assert_eq!(house.warnings(), 0);
}

#[tokio::test]
async fn an_element_arrives_byte_for_byte() {
    let a = "{ \"r\" : [ 1e999, 123456789012345678901234567890.10 , -0.0 ],\n\t\"id\": \"a\" }";
    let b = r#"{"x":1,"x":2,"\u0069d":"\u0062","s":"\u00e9\/é\ud800","n":{"id":"a"}}"#;
    let [one, other] = a_and_b(&format!(" \r\n[\t{b} ,\n {a} ]\n ")).await;
    one.is_result(a);
    other.is_result(b);
}

#[tokio::test]
async fn no_error_null_or_empty_is_a_result() {
    for error in [
        "",
        r#","error":null"#,
        r#","error":"""#,
        r#","\u0065rror":null"#,
    ] {
        // Without an error, a `status` means nothing to the proxy.
        let body = format!(r#"[{{"id":"a"{error},"status":500}},{{"id":"b"}}]"#);
        let [one, other] = a_and_b(&body).await;
        one.is_result(&body[1..body.len() - 12]);
        other.is_result(r#"{"id":"b"}"#);
    }
}

#[tokio::test]
async fn any_other_error_is_422_and_the_element() {
    for error in [
        "\"no\"",
        "\" \"",
        "{}",
        "[]",
        "0",
        "1",
        "false",
        "true",
        r#"{"code":7}"#,
    ] {
        let element = format!(r#"{{"id":"a", "error": {error}}}"#);
        let [one, other] = a_and_b(&format!(r#"[{{"id":"b"}},{element}]"#)).await;
        assert_eq!((one.status, one.text()), (422, &*element), "{one:?}");
        assert_eq!(one.header("content-type"), "application/json");
        other.is_result(r#"{"id":"b"}"#);
    }
}

#[tokio::test]
async fn a_name_spelled_with_escapes_is_the_same_name() {
    let element = r#"{"id":"a","\u0065rror":"no","st\u0061tus":409}"#;
    let [one, _] = a_and_b(&format!(r#"[{{"id":"b"}},{element}]"#)).await;
    assert_eq!((one.status, one.text()), (409, element));
}

#[tokio::test]
async fn job_error_status_is_configured() {
    let mut house = House::of(1, &[("MICROBATCH_UPSTREAM__JOB_ERROR_STATUS", "400")]).await;
    let element = r#"{"id":"a","error":"no"}"#;
    let [answer] = house.batch([r#""a""#], &format!("[{element}]")).await;
    assert_eq!((answer.status, answer.text()), (400, element));
}

#[tokio::test]
async fn an_errors_own_status_counts_from_400_to_599() {
    let mut house = House::of(1, &[]).await;
    for (status, expected) in [
        ("400", 400),
        ("404", 404),
        ("429", 429),
        ("500", 500),
        ("503", 503),
        ("599", 599),
        ("399", 422),
        ("600", 422),
        ("200", 422),
        ("100", 422),
        ("0", 422),
        ("-404", 422),
        ("404.0", 422),
        ("4e2", 422),
        ("\"404\"", 422),
        ("null", 422),
        ("[404]", 422),
        ("18446744073709551616", 422),
        ("65940", 422),
    ] {
        let element = format!(r#"{{"id":"a","error":"no","status":{status}}}"#);
        let [answer] = house.batch([r#""a""#], &format!("[{element}]")).await;
        assert_eq!(
            (answer.status, answer.text()),
            (expected, &*element),
            "status {status}"
        );
        assert_eq!(answer.header("content-type"), "application/json");
    }
}

#[tokio::test]
async fn a_missing_result_fails_that_job_alone() {
    let [one, other] = a_and_b(r#"[{"id":"b"}]"#).await;
    missing(&one, "a").hides("\"b\"");
    other.is_result(r#"{"id":"b"}"#);
}

#[tokio::test]
async fn an_empty_array_is_missing_every_result() {
    let [one, other] = a_and_b("[]").await;
    missing(&one, "a");
    missing(&other, "b");
}

#[tokio::test]
async fn a_missing_result_says_which_job_and_batch() {
    let mut house = House::of(1, &[]).await;
    let [answer] = house.batch(["7"], "[]").await;
    let problem = missing(&answer, 7);
    problem.has(
        "batch_id",
        house.proxy.log.nth("batch left", 1).await.text("batch_id"),
    );
    problem.hides_upstream(&house.upstream);
}

#[tokio::test]
async fn results_are_never_matched_by_position() {
    // As many results as jobs, and every id wrong.
    let mut house = House::of(3, &[]).await;
    let body = r#"[{"id":"1"},{"id":2.0},{"id":"A"}]"#;
    let [one, two, a] = house.batch(["1", "2", r#""a""#], body).await;
    missing(&one, 1);
    missing(&two, 2);
    missing(&a, "a");
    house.proxy.log.nth("unmatched results", 1).await;
}

#[tokio::test]
async fn twice_the_same_is_taken_once() {
    let [one, other] = a_and_b(r#"[{"id":"a","r":1},{"id":"b"},{"id":"a","r":1}]"#).await;
    one.is_result(r#"{"id":"a","r":1}"#);
    other.is_result(r#"{"id":"b"}"#);
}

#[tokio::test]
async fn twice_but_different_is_ambiguous() {
    for twin in [
        r#"{"id":"a","r":2}"#,
        // Other bytes are another element, whatever they mean.
        r#"{"id":"a", "r":1}"#,
        r#"{"id":"\u0061","r":1}"#,
        r#"{"id":"a","r":1,"error":"no"}"#,
    ] {
        for body in [
            format!(r#"[{{"id":"a","r":1}},{{"id":"b"}},{twin}]"#),
            format!(r#"[{{"id":"a","r":1}},{{"id":"a","r":1}},{twin},{{"id":"b"}}]"#),
            format!(r#"[{{"id":"a","r":1}},{twin},{{"id":"a","r":1}},{{"id":"b"}}]"#),
        ] {
            let [one, other] = a_and_b(&body).await;
            one.problem(502, "result-ambiguous", "yes").has("id", "a");
            other.is_result(r#"{"id":"b"}"#);
        }
    }
}

#[tokio::test]
async fn what_matches_no_job_is_ignored() {
    let mut house = House::of(2, &[]).await;
    for (n, stray) in [
        r#"{"id":"c"}"#,
        r#"{"id":1}"#,
        r#"{"id":"A"}"#,
        r#"{"result":1}"#,
        r#"{"id":null}"#,
        r#"{"id":["a"]}"#,
        r#"{"id":1.5}"#,
        r#"{}"#,
        r#"{"id":"b","id":"a"}"#,
        r#"{"id":"a","\u0069d":"a"}"#,
        "1",
        "null",
        "\"a\"",
        "[]",
        r#"[{"id":"a","r":9}]"#,
    ]
    .into_iter()
    .enumerate()
    {
        let body = format!(r#"[{stray},{{"id":"b"}},{stray},{{"id":"a"}}]"#);
        let [one, other] = house.batch([r#""a""#, r#""b""#], &body).await;
        one.is_result(r#"{"id":"a"}"#);
        other.is_result(r#"{"id":"b"}"#);
        if n == 0 {
            house.proxy.log.nth("unmatched results", 1).await;
        }
    }
    // The warning is rate-limited, and no job of anybody is in it.
    assert!(house.warnings() < 15, "{}", house.proxy.log);
}

#[tokio::test]
async fn an_element_with_two_ids_is_nobodys() {
    let [one, other] = a_and_b(r#"[{"id":"a","id":"b"},{"id":"b"}]"#).await;
    missing(&one, "a");
    other.is_result(r#"{"id":"b"}"#);
}

#[tokio::test]
async fn any_2xx_carries_results() {
    for status in [200, 201, 202, 203, 207, 299] {
        let mut house = House::of(1, &[]).await;
        let caller = house.proxy.enqueue(r#"{"id":"a"}"#).await;
        // Nor does the type matter.
        let call = house.upstream.next().await;
        call.answer(status, &[("content-type", "text/plain")], r#"[{"id":"a"}]"#);
        caller.answer().await.is_result(r#"{"id":"a"}"#);
    }
}

#[tokio::test]
async fn without_results_any_2xx_is_204() {
    let mut house = House::of(2, &[("MICROBATCH_UPSTREAM__RESULTS", "none")]).await;
    for (status, body) in [
        (200, "[]"),
        (200, r#"[{"id":"a","error":"no"}]"#),
        (200, "not json"),
        (201, ""),
        (202, "{}"),
        (204, ""),
    ] {
        let a = house.proxy.enqueue(r#"{"id":"a"}"#).await;
        let b = house.proxy.enqueue(r#"{"id":"b"}"#).await;
        house.upstream.next().await.answer(status, &[], body);
        for caller in [a, b] {
            let answer = caller.answer().await;
            assert_eq!((answer.status, answer.text()), (204, ""), "{status} {body}");
            assert_eq!(answer.header("x-batch-size"), "2");
        }
    }
    let a = house.proxy.enqueue(r#"{"id":"a"}"#).await;
    let b = house.proxy.enqueue(r#"{"id":"b"}"#).await;
    house.upstream.next().await.answer(500, &[], "");
    for caller in [a, b] {
        caller.answer().await.problem(502, "upstream-error", "yes");
    }
}

#[tokio::test]
async fn an_answer_names_its_batch_and_times() {
    let mut house = House::of(2, &[]).await;
    let [one, other] = house
        .batch([r#""a""#, r#""b""#], r#"[{"id":"b"},{"id":"a"}]"#)
        .await;
    let batch = house.proxy.log.nth("batch left", 1).await;
    for answer in [one, other] {
        assert_eq!(answer.header("x-batch-id"), batch.text("batch_id"));
        assert_eq!(answer.header("x-batch-size"), "2");
        let timing = answer.header("server-timing");
        let parts: Vec<_> = timing.split(", ").collect();
        let [queue, upstream] = parts[..] else {
            panic!("two timings: {answer:?}")
        };
        for (part, name) in [(queue, "queue;dur="), (upstream, "upstream;dur=")] {
            let duration = part.strip_prefix(name).expect(name).parse::<f64>();
            assert!(
                duration.is_ok_and(|ms| (0.0..30_000.0).contains(&ms)),
                "{timing}"
            );
        }
    }
}

#[tokio::test]
async fn timing_can_be_off() {
    let mut house = House::of(1, &[("MICROBATCH_SERVER__TIMING", "false")]).await;
    let [answer] = house.batch(["1"], r#"[{"id":1}]"#).await;
    answer.is_result(r#"{"id":1}"#);
    assert!(!answer.headers.contains_key("server-timing"), "{answer:?}");
    assert_eq!(answer.header("x-batch-size"), "1");
}

#[tokio::test]
async fn nothing_of_the_upstreams_headers_reaches_a_caller() {
    let mut house = House::of(1, &[]).await;
    let caller = Caller::spawn(house.proxy.jobs_addr, Request::job(r#"{"id":1}"#));
    let headers = [
        ("set-cookie", "secret=1"),
        ("server", "secret/1"),
        ("x-secret", "secret"),
    ];
    house
        .upstream
        .next()
        .await
        .answer(200, &headers, r#"[{"id":1}]"#);
    let answer = caller.answer().await;
    answer.is_result(r#"{"id":1}"#);
    assert!(
        !format!("{:?}", answer.headers).contains("secret"),
        "{answer:?}"
    );
}
