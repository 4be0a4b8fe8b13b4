//! Section 3 of the contract: each caller gets its own element, found by id.

use serde_json::Value;

use crate::harness::{Answer, Call, LONG_WAIT, Problem, Proxy, ScriptedUpstream};

/// A proxy whose batches leave when all the jobs of a story are in.
pub struct Setup {
    pub proxy: Proxy,
    pub upstream: ScriptedUpstream,
}

impl Setup {
    pub async fn of(size: usize, env: &[(&str, &str)]) -> Self {
        let upstream = ScriptedUpstream::start().await;
        let size = size.to_string();
        let flags = [&LONG_WAIT[..], &["--max-size", &size]].concat();
        let proxy = Proxy::start(&upstream.url(), &flags, env).await;
        Self { proxy, upstream }
    }

    /// One batch of these ids, as JSON text, answered 200 with this body: the
    /// callers' answers, in the order of the ids.
    pub async fn batch<const N: usize>(
        &mut self,
        ids: [&str; N],
        body: impl AsRef<[u8]>,
    ) -> [Answer; N] {
        let mut callers = Vec::new();
        for id in ids {
            callers.push(self.proxy.enqueue(&format!(r#"{{"id":{id}}}"#)).await);
        }
        self.upstream.next().await.ok(body.as_ref().to_owned());
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

/// A proxy for two jobs, and one batch of `"a"` and `"b"` through it.
pub async fn a_and_b(body: &str) -> [Answer; 2] {
    Setup::of(2, &[])
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
    let mut setup = Setup::of(5, &[]).await;
    let body =
        r#"[{"id":"é","r":5},{"id":2,"r":3},{"id":"1","r":2},{"id":"two","r":4},{"id":1,"r":1}]"#;
    let [one, text_one, two, text_two, accent] = setup.batch(ids, body).await;
    one.is_result(r#"{"id":1,"r":1}"#);
    text_one.is_result(r#"{"id":"1","r":2}"#);
    two.is_result(r#"{"id":2,"r":3}"#);
    text_two.is_result(r#"{"id":"two","r":4}"#);
    accent.is_result(r#"{"id":"é","r":5}"#);
    assert_eq!(setup.warnings(), 0);
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
    let mut setup = Setup::of(1, &[]).await;
    let [answer] = setup.batch(["7"], "[]").await;
    let problem = missing(&answer, 7);
    problem.has(
        "batch_id",
        setup.proxy.log.nth("batch left", 1).await.text("batch_id"),
    );
    problem.hides_upstream(&setup.upstream);
}

#[tokio::test]
async fn results_are_never_matched_by_position() {
    // As many results as jobs, and every id wrong.
    let mut setup = Setup::of(3, &[]).await;
    let body = r#"[{"id":"1"},{"id":2.0},{"id":"A"}]"#;
    let [one, two, a] = setup.batch(["1", "2", r#""a""#], body).await;
    missing(&one, 1);
    missing(&two, 2);
    missing(&a, "a");
    setup.proxy.log.nth("unmatched results", 1).await;
}

#[tokio::test]
async fn an_id_of_the_other_type_is_another_id() {
    let mut setup = Setup::of(2, &[]).await;
    let [one, two] = setup
        .batch(["1", r#""2""#], r#"[{"id":"1"},{"id":2}]"#)
        .await;
    missing(&one, 1);
    missing(&two, "2");
    // Beside each other, each type finds its own.
    let [number, text] = setup.batch(["1", r#""1""#], r#"[{"id":"1","r":2}]"#).await;
    missing(&number, 1);
    text.is_result(r#"{"id":"1","r":2}"#);
}

#[tokio::test]
async fn an_id_that_came_back_as_another_type_is_named() {
    let mut setup = Setup::of(2, &[]).await;
    let [one, two] = setup
        .batch(["7", r#""b""#], r#"[{"id":"7"},{"id":"B"}]"#)
        .await;
    let detail = |answer: &Answer| answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail(&one).contains("another JSON type"), "{one:?}");
    assert!(!detail(&two).contains("another JSON type"), "{two:?}");
    let warning = setup.proxy.log.nth("unmatched results", 1).await;
    assert_eq!(warning.number("id_of_another_type"), 1);
}

/// Results that are not JSON, each of job `"odd"`.
const ODD: [&[u8]; 8] = [
    br#"{"id":"odd","score":NaN}"#,
    br#"{"score":-Infinity,"id":"odd"}"#,
    br#"{"id":"odd","scores":[1,Infinity]}"#,
    b"{\"id\":\"odd\",\"text\":\"\xe2\x82\"}",
    b"{\"id\":\"odd\",\"text\":\"a\nb\"}",
    b"{\"id\":\"odd\",\"text\":\"\0\"}",
    br#"{"id":"odd","n":01}"#,
    br#"{"id":"odd","text":"\x"}"#,
];

#[tokio::test]
async fn an_odd_result_spoils_no_other() {
    // With a circuit that one failed batch would open.
    let env = [("MICROBATCH_CIRCUIT__FAILURES", "1")];
    let mut setup = Setup::of(3, &env).await;
    for odd in ODD {
        for at in 0..3 {
            let mut results: Vec<&[u8]> = vec![br#"{"id":1,"r":1}"#, br#"{"id":2,"r":2}"#];
            results.insert(at, odd);
            let body = [&b"["[..], &results.join(&b','), b"]"].concat();
            let ids = ["1", r#""odd""#, "2"];
            let [one, poisoned, two] = setup.batch(ids, body).await;
            one.is_result(r#"{"id":1,"r":1}"#);
            two.is_result(r#"{"id":2,"r":2}"#);
            let problem = poisoned.problem(502, "result-malformed", "yes");
            problem.has("id", "odd").has("upstream_status", 200);
        }
    }
}

#[tokio::test]
async fn an_odd_result_without_an_id_is_missing() {
    let body = r#"[{"ID":"b","r":NaN},{"id":"a"}]"#;
    let [one, other] = a_and_b(body).await;
    one.is_result(r#"{"id":"a"}"#);
    missing(&other, "b");
}

#[tokio::test]
async fn an_odd_result_beside_a_sound_one_is_ambiguous() {
    let body = r#"[{"id":"b","r":NaN},{"id":"a"},{"id":"b"}]"#;
    let [one, other] = a_and_b(body).await;
    one.is_result(r#"{"id":"a"}"#);
    other.problem(502, "result-ambiguous", "yes").has("id", "b");
}

#[tokio::test]
async fn results_of_a_large_answer_arrive_as_those_of_a_small_one() {
    let large = format!(r#"{{"id":"a","r":"{}"}}"#, "x".repeat(1 << 20));
    let [one, other] = a_and_b(&format!(r#"[{{"id":"b"}},{large}]"#)).await;
    one.is_result(&large);
    other.is_result(r#"{"id":"b"}"#);
}

#[tokio::test]
async fn the_results_of_another_batch_reach_no_caller() {
    let Setup {
        proxy,
        mut upstream,
    } = Setup::of(2, &[]).await;
    let mut callers = Vec::new();
    for id in ["a", "b", "c", "d"] {
        callers.push(proxy.enqueue(&format!(r#"{{"id":"{id}"}}"#)).await);
    }
    let (one, other) = (upstream.next().await, upstream.next().await);
    let echoes = |call: &Call| format!("[{}]", call.echoes().join(","));
    let (ones, others) = (echoes(&one), echoes(&other));
    one.ok(others);
    other.ok(ones);
    for (caller, id) in callers.into_iter().zip(["a", "b", "c", "d"]) {
        missing(&caller.answer().await, id);
    }
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
    let mut setup = Setup::of(2, &[]).await;
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
        let [one, other] = setup.batch([r#""a""#, r#""b""#], &body).await;
        one.is_result(r#"{"id":"a"}"#);
        other.is_result(r#"{"id":"b"}"#);
        if n == 0 {
            setup.proxy.log.nth("unmatched results", 1).await;
        }
    }
    // The warning is rate-limited, and no job of anybody is in it.
    assert!(setup.warnings() < 15, "{}", setup.proxy.log);
}

#[tokio::test]
async fn an_element_with_two_ids_reaches_no_caller() {
    let [one, other] = a_and_b(r#"[{"id":"a","id":"b"},{"id":"b"}]"#).await;
    missing(&one, "a");
    other.is_result(r#"{"id":"b"}"#);
}
