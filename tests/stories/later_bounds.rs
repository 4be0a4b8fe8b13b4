//! Section 11 of the contract: what is kept is bounded, in number, size and time.

use crate::harness::{Handed, LONG_WAIT, Proxy, Request, ScriptedUpstream, eventually};

const JOB: &str = r#"{"id":"a","body":1}"#;

async fn start(flags: &[&str], env: &[(&str, &str)]) -> (Proxy, ScriptedUpstream) {
    let upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), flags, env).await;
    (proxy, upstream)
}

async fn is_full(proxy: &Proxy) -> u64 {
    let answer = proxy.send(Request::later(JOB)).await;
    let problem = answer.problem(503, "store-full", "no");
    problem.has("id", "a").has("retryable", true);
    assert_eq!(answer.header("location"), "");
    answer.header("retry-after").parse().unwrap()
}

#[tokio::test]
async fn a_full_store_takes_no_more_until_one_is_deleted() {
    let (proxy, mut upstream) = start(
        &["--max-wait", "50s"],
        &[
            ("MICROBATCH_LATER__MAX_JOBS", "2"),
            ("MICROBATCH_LATER__MAX_WAIT", "50s"),
        ],
    )
    .await;
    let first = proxy.hand_in(JOB).await;
    let second = proxy.hand_in(r#"{"id":"b"}"#).await;
    is_full(&proxy).await;
    // Callers that wait are not concerned, and what is kept is answered.
    let caller = proxy.enqueue(r#"{"id":"direct"}"#).await;
    proxy.flush().await;
    let mut left = 3;
    while left > 0 {
        let call = upstream.next().await;
        left -= call.ids().len();
        call.echo();
    }
    caller
        .answer()
        .await
        .is_result(r#"{"id":"direct","result":null}"#);
    proxy.finished(&first).await;
    proxy.finished(&second).await;
    let seconds = is_full(&proxy).await;
    assert_eq!(seconds, 60, "an hour is more than it says");
    proxy.delete(&first).await;
    proxy.hand_in(JOB).await;
    is_full(&proxy).await;
}

#[tokio::test]
async fn its_bytes_are_bounded_and_an_answer_always_finds_room() {
    let env = [
        ("MICROBATCH_LATER__MAX_BYTES", "2KiB"),
        ("MICROBATCH_LATER__MAX_WAIT", "0"),
    ];
    let (proxy, mut upstream) = start(&["--max-body", "1KiB"], &env).await;
    let handed = proxy.hand_in(JOB).await;
    let long = format!(r#"{{"id":"a","long":"{}"}}"#, "x".repeat(10_000));
    upstream.next().await.ok(format!("[{long}]"));
    proxy.finished(&handed).await.is_result(&long);
    is_full(&proxy).await;
    proxy.delete(&handed).await;
    proxy.hand_in(JOB).await;
}

#[tokio::test]
async fn an_answer_expires_and_makes_room() {
    let env = [
        ("MICROBATCH_LATER__MAX_JOBS", "1"),
        ("MICROBATCH_LATER__KEEP", "300ms"),
        ("MICROBATCH_LATER__MAX_WAIT", "0"),
    ];
    let (proxy, mut upstream) = start(&[], &env).await;
    let handed = proxy.hand_in(JOB).await;
    let call = upstream.next().await;
    is_full(&proxy).await;
    call.echo();
    eventually("the answer to expire", || async {
        (proxy.fetch(&handed).await.status == 404).then_some(())
    })
    .await;
    proxy.fetch(&handed).await.problem(404, "job-unknown", "");
    let next = eventually("room", || async {
        let answer = proxy.send(Request::later(JOB)).await;
        (answer.status == 202).then(|| Handed::of(&answer))
    })
    .await;
    assert_ne!(next.handle, handed.handle);
}

#[tokio::test]
async fn a_job_that_is_not_sent_in_time_fails_as_one_that_waits() {
    // The only slot is another's.
    let env = [
        ("MICROBATCH_LATER__JOB_TIMEOUT", "300ms"),
        ("MICROBATCH_LATER__MAX_WAIT", "0"),
    ];
    let flags = ["--max-in-flight", "1", "--max-wait", "0"];
    let (proxy, mut upstream) = start(&flags, &env).await;
    let caller = proxy.enqueue(r#"{"id":"other"}"#).await;
    let other = upstream.next().await;
    let handed = proxy.hand_in(JOB).await;
    let answer = proxy.finished(&handed).await;
    let problem = answer.problem(503, "queue-timeout", "no");
    problem.has("id", "a").lacks("batch_id");
    assert_eq!(answer.header("x-job-state"), "failed");
    // It stays what it is.
    other.echo();
    caller.answer().await;
    proxy
        .finished(&handed)
        .await
        .problem(503, "queue-timeout", "no");
    assert!(upstream.arrived().is_none());
}

#[tokio::test]
async fn one_that_is_sent_and_not_answered_in_time_fails_too() {
    let env = [
        ("MICROBATCH_LATER__JOB_TIMEOUT", "2s"),
        ("MICROBATCH_LATER__MAX_WAIT", "0"),
    ];
    let (proxy, mut upstream) = start(&[], &env).await;
    let handed = proxy.hand_in(JOB).await;
    let mut call = upstream.next().await;
    let answer = proxy.finished(&handed).await;
    let problem = answer.problem(504, "deadline-exceeded", "unknown");
    problem.has("id", "a");
    assert_eq!(answer.header("x-job-state"), "failed");
    // Nobody is left who would want the answer.
    call.caller_gone().await;
}

#[tokio::test]
async fn a_job_for_later_may_take_longer_than_a_request() {
    let (proxy, mut upstream) = start(
        &["--request-timeout", "50ms", "--max-wait", "1ms"],
        &[("MICROBATCH_LATER__MAX_WAIT", "0")],
    )
    .await;
    let handed = proxy.hand_in(JOB).await;
    let call = upstream.next().await;
    // By the time that this one is over, so would that one have been.
    let caller = Request::job(r#"{"id":"direct"}"#);
    let answer = proxy.send(caller).await;
    assert!((503..=504).contains(&answer.status), "{answer:?}");
    call.echo();
    let result = eventually("the answer", || async {
        let answer = proxy.fetch(&handed).await;
        (answer.status != 202).then_some(answer)
    })
    .await;
    result.is_result(r#"{"id":"a","result":1}"#);
}

#[tokio::test]
async fn nothing_is_kept_of_what_is_refused() {
    let env = [
        ("MICROBATCH_LATER__MAX_JOBS", "1"),
        ("MICROBATCH_LATER__MAX_WAIT", "50s"),
    ];
    let (proxy, _upstream) = start(&LONG_WAIT, &env).await;
    proxy.hand_in(JOB).await;
    let buffered = |scrape: crate::harness::Scrape| scrape.sum("buffered_bytes");
    for _ in 0..20 {
        is_full(&proxy).await;
    }
    eventually("nothing in memory", || async {
        let scrape = crate::harness::Scrape::of(&proxy).await;
        (buffered(scrape) == 0.0).then_some(())
    })
    .await;
}
