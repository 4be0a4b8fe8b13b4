//! Section 11 of the contract: a job is handed in, and its caller does not wait.

use serde_json::json;

use crate::harness::{Caller, Handed, LONG_WAIT, Proxy, Request, ScriptedUpstream};

const JOB: &str = r#"{"id":"a"}"#;

async fn start(flags: &[&str], env: &[(&str, &str)]) -> (Proxy, ScriptedUpstream) {
    let upstream = ScriptedUpstream::start().await;
    let env = [&[("MICROBATCH_LATER__MAX_WAIT", "0")], env].concat();
    let proxy = Proxy::start(&upstream.url(), flags, &env).await;
    (proxy, upstream)
}

#[tokio::test]
async fn it_is_answered_202_with_an_address() {
    let (proxy, mut upstream) = start(&[], &[]).await;
    let before = std::time::SystemTime::now();
    let answer = proxy
        .send(Request::later(r#" {"id":"a\u0062", "body":1}"#))
        .await;
    let handed = Handed::of(&answer);
    assert_eq!(answer.header("x-job-state"), "");
    let document = answer.json();
    assert_eq!(document["id"], "ab");
    // An hour to finish, and one to be kept.
    let expires_at = document["expires_at"].as_str().unwrap();
    let expires_at = humantime::parse_rfc3339(expires_at).unwrap();
    let in_hours = expires_at.duration_since(before).unwrap().as_secs_f64() / 3600.0;
    assert!((1.9..2.5).contains(&in_hours), "{document}");
    let call = upstream.next().await;
    assert_eq!(call.jobs(), [r#"{"id":"a\u0062", "body":1}"#]);
    call.echo();
    proxy
        .finished(&handed)
        .await
        .is_result(r#"{"id":"a\u0062","result":1}"#);
}

#[tokio::test]
async fn ids_are_told_as_they_are_and_handles_are_new_each_time() {
    let (proxy, _upstream) = start(&[], &[]).await;
    let mut handles = Vec::new();
    for (job, id) in [
        (r#"{"id":"1"}"#, json!("1")),
        (r#"{"id":1}"#, json!(1)),
        (r#"{"id":1}"#, json!(1)),
        (r#"{"id":18446744073709551615}"#, json!(u64::MAX)),
        (r#"{"id":"\"\u2028"}"#, json!("\"\u{2028}")),
    ] {
        let answer = proxy.send(Request::later(job)).await;
        assert_eq!(answer.json()["id"], id);
        handles.push(Handed::of(&answer).handle);
    }
    handles.sort();
    handles.dedup();
    assert_eq!(handles.len(), 5);
}

#[tokio::test]
async fn what_finishes_in_time_is_the_usual_answer_and_a_record_too() {
    let (proxy, mut upstream) = start(&[], &[]).await;
    let request = Request::job(JOB).header("prefer", "respond-async, wait=50");
    let caller = Caller::spawn(proxy.jobs_addr, request);
    upstream.next().await.echo();
    let answer = caller.answer().await;
    answer.is_result(r#"{"id":"a","result":null}"#);
    assert_eq!(answer.header("preference-applied"), "");
    let location = answer.header("location");
    let again = proxy.send(Request::new("GET", location)).await;
    again.is_result(r#"{"id":"a","result":null}"#);
    assert_eq!(again.header("x-job-state"), "done");
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_handed_in() {
    let (proxy, mut upstream) = start(&["--request-timeout", "50ms", "--max-wait", "0"], &[]).await;
    // Longer than a request may stay.
    let request = Request::job(JOB).header("prefer", "wait=1000");
    let request = request.header("prefer", "Respond-Async; x=\"a, b\"");
    let handed = Handed::of(&proxy.send(request).await);
    let call = upstream.next().await;
    assert_eq!(proxy.state(&handed).await, "sent");
    call.echo();
    let mut answer = proxy.fetch(&handed).await;
    while answer.status == 202 {
        let request = Request::new("GET", &handed.location).header("prefer", "wait=9");
        answer = proxy.send(request).await;
    }
    answer.is_result(r#"{"id":"a","result":null}"#);
}

#[tokio::test]
async fn without_the_preference_nothing_is_kept() {
    let (proxy, mut upstream) = start(&["--max-wait", "0"], &[]).await;
    for headers in [
        &[][..],
        &[("prefer", "wait=60")],
        &[("prefer", "x=\"respond-async\"")],
        &[("prefer", "respond-async=1")],
    ] {
        // What would be wrong with a job for later is nobody's business here.
        let request = Request::job(JOB).to("POST", "/jobs?stream=a/b");
        let request = request.header("idempotency-key", "");
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(name, value)
        });
        let caller = Caller::spawn(proxy.jobs_addr, request);
        upstream.next().await.echo();
        let answer = caller.answer().await;
        answer.is_result(r#"{"id":"a","result":null}"#);
        assert_eq!(answer.header("location"), "");
    }
}

#[tokio::test]
async fn without_a_store_the_preference_is_ignored() {
    let (proxy, mut upstream) =
        start(&["--max-wait", "0"], &[("MICROBATCH_LATER__STORE", "off")]).await;
    let request = Request::later(JOB).to("POST", "/jobs?stream=a/b");
    let caller = Caller::spawn(proxy.jobs_addr, request);
    upstream.next().await.echo();
    let answer = caller.answer().await;
    answer.is_result(r#"{"id":"a","result":null}"#);
    assert_eq!(answer.header("location"), "");
    for path in ["/jobs/00000000000000000000000000000000AA", "/streams/a"] {
        for method in ["GET", "DELETE"] {
            let answer = proxy.send(Request::new(method, path)).await;
            answer.problem(404, "not-found", "no");
        }
    }
}

#[tokio::test]
async fn what_can_be_refused_is_refused_as_ever_and_makes_no_record() {
    let (mut proxy, _upstream) = start(&LONG_WAIT, &[]).await;
    let large = format!(r#"{{"id":"{}"}}"#, "x".repeat(300_000));
    for (body, content_type, status, code) in [
        ("{", "application/json", 400, "malformed-json"),
        (r#"{"id":1.5}"#, "application/json", 422, "invalid-job"),
        (JOB, "text/html", 415, "unsupported-media-type"),
        (&large, "application/json", 413, "job-too-large"),
    ] {
        let request = Request::untyped(body.to_owned()).header("content-type", content_type);
        let request = request.header("prefer", "respond-async");
        let answer = proxy.send(request).await;
        answer.problem(status, code, "no");
        assert_eq!(answer.header("location"), "");
    }
    proxy.signal(crate::harness::Signal::TERM);
    assert_eq!(proxy.exit_code().await, Some(0));
    assert!(proxy.log.last().await.0.get("later").is_none());
}

#[tokio::test]
async fn a_bad_parameter_is_refused_before_the_body_is_looked_at() {
    let (proxy, _upstream) = start(&[], &[]).await;
    for query in [
        "stream=",
        "stream",
        "stream=a%2Fb",
        "stream=a&stream=a",
        &format!("stream={}", "a".repeat(65)),
    ] {
        let request = Request::later("{").to("POST", &format!("/jobs?{query}"));
        let answer = proxy.send(request).await;
        answer.problem(400, "invalid-parameter", "no");
    }
    for keys in [&[""][..], &["\"\""], &["k", "k"], &[&"k".repeat(256)]] {
        let request = Request::later("{");
        let request = keys.iter().fold(request, |request, key| {
            request.header("idempotency-key", key)
        });
        let answer = proxy.send(request).await;
        answer.problem(400, "invalid-parameter", "no");
    }
    // Others are nobody's business.
    proxy
        .hand_in_to("/jobs?streams=a/b&stream=%61&x", JOB)
        .await;
}

#[tokio::test]
async fn a_caller_that_leaves_changes_nothing_for_its_record() {
    let (proxy, mut upstream) = start(&[], &[]).await;
    let mut stream = crate::harness::Listening::to_stream(&proxy, "s").await;
    let request = Request::job(JOB).to("POST", "/jobs?stream=s");
    let request = request.header("prefer", "respond-async, wait=50");
    let caller = Caller::spawn(proxy.jobs_addr, request);
    let call = upstream.next().await;
    caller.leave();
    proxy.keep_alive().await;
    call.echo();
    let event = stream.event().await.unwrap();
    assert_eq!(event.json()["body"], json!({"id": "a", "result": null}));
}
