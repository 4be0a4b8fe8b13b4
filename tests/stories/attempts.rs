//! Section 5 of the contract: the unit of learning is the attempt. Each call is
//! counted once, and told to the circuit and the limit at its end, also where no
//! caller is left to answer.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::harness::{Proxy, Request, Scrape, ScriptedUpstream, eventually};

const JOB: &str = r#"{"id":"a"}"#;

/// Batches of one.
const ONE_BY_ONE: [&str; 4] = ["--max-wait", "0", "--max-size", "1"];

async fn setup(flags: &[&str], failures: &str) -> (Proxy, ScriptedUpstream) {
    let upstream = ScriptedUpstream::start().await;
    let env = [
        ("MICROBATCH_CIRCUIT__FAILURES", failures),
        ("MICROBATCH_CIRCUIT__OPEN_FOR", "50s"),
        ("MICROBATCH_UPSTREAM__IDEMPOTENT", "true"),
    ];
    let flags = [&ONE_BY_ONE, flags].concat();
    let proxy = Proxy::start(&upstream.url(), &flags, &env).await;
    (proxy, upstream)
}

/// Has the upstream answer a few times; a time that is long beside what that took,
/// whatever else the machine is at.
async fn hanging(proxy: &Proxy, upstream: &mut ScriptedUpstream) -> Duration {
    let mut answers = Vec::new();
    for _ in 0..5 {
        let start = Instant::now();
        let caller = proxy.enqueue(JOB).await;
        upstream.next().await.echo();
        assert_eq!(caller.answer().await.status, 200);
        // No less than the proxy has seen.
        answers.push(start.elapsed());
    }
    answers.sort();
    Duration::from_millis(500).max(answers[2] * 11)
}

/// Waits until as many calls are counted, and none twice.
async fn calls(proxy: &Proxy, sample: &str, count: f64) -> Scrape {
    eventually(&format!("{sample} = {count}"), async || {
        let scrape = Scrape::of(proxy).await;
        assert!(scrape.get(sample) <= count, "{}", scrape.text);
        (scrape.get(sample) == count).then_some(scrape)
    })
    .await
}

#[tokio::test]
async fn a_hanging_upstream_opens_the_circuit_though_its_callers_give_up_first() {
    let (proxy, mut upstream) = setup(&[], "5").await;
    let given_up_after = hanging(&proxy, &mut upstream).await;
    for _ in 0..5 {
        let caller = proxy.enqueue(JOB).await;
        let mut call = upstream.next().await;
        // This is how long the caller waits, by its own clock.
        sleep(given_up_after).await;
        caller.leave();
        call.caller_gone().await;
    }
    proxy.log.nth("circuit open", 1).await;
    let abandoned = r#"upstream_duration_seconds_count{outcome="abandoned"}"#;
    let scrape = calls(&proxy, abandoned, 5.0).await;
    assert_eq!(scrape.get(r#"upstream_requests_total{status="none"}"#), 5.0);
    let answer = proxy.post(JOB).await;
    assert_eq!(answer.json()["code"], "circuit-open", "{answer:?}");
}

#[tokio::test]
async fn a_hanging_upstream_is_found_out_by_jobs_in_a_hurry() {
    let (proxy, mut upstream) = setup(&["--max-in-flight", "adaptive"], "6").await;
    let given_up_after = hanging(&proxy, &mut upstream).await;
    let seconds = given_up_after.as_secs_f64().ceil();
    let limit = Scrape::of(&proxy).await.get("in_flight_limit");
    let mut hung = Vec::new();
    for id in 0..6 {
        let request =
            Request::job(format!(r#"{{"id":{id}}}"#)).header("prefer", &format!("wait={seconds}"));
        let caller = proxy.enqueue_request(request).await;
        hung.push(upstream.next().await);
        let answer = caller.answer().await;
        answer.idempotent_problem(504, "deadline-exceeded", "unknown");
    }
    proxy.log.nth("circuit open", 1).await;
    let scrape = calls(&proxy, r#"upstream_requests_total{status="none"}"#, 6.0).await;
    let lowered = scrape.get("in_flight_limit");
    assert!(lowered < limit, "{lowered} after {limit}");
}

#[tokio::test]
async fn departed_callers_tell_nothing_of_an_unknown_upstream() {
    let (proxy, mut upstream) = setup(&[], "1").await;
    for _ in 0..3 {
        let caller = proxy.enqueue(JOB).await;
        let mut call = upstream.next().await;
        sleep(Duration::from_millis(200)).await;
        caller.leave();
        call.caller_gone().await;
    }
    // But they are counted.
    let abandoned = r#"upstream_duration_seconds_count{outcome="abandoned"}"#;
    let scrape = calls(&proxy, abandoned, 3.0).await;
    assert_eq!(scrape.get("circuit_open"), 0.0);
    // Nor does the operator hear anything else than that.
    let advice = proxy.admin("GET", "/advice").await.json();
    let first = advice[0]["text"].as_str().unwrap_or_default();
    assert!(first.starts_with("3 of 3 callers left"), "{advice:#}");
    assert_eq!(advice.as_array().map(Vec::len), Some(1), "{advice:#}");
    let caller = proxy.enqueue(JOB).await;
    upstream.next().await.echo();
    assert_eq!(caller.answer().await.status, 200);
}

#[tokio::test]
async fn refusals_count_though_their_callers_leave_during_the_pause() {
    let (proxy, mut upstream) = setup(&[], "3").await;
    let refuse = |call: crate::harness::Call| call.answer(503, &[("retry-after", "30")], "");
    for n in 1..=2 {
        let caller = proxy.enqueue(JOB).await;
        refuse(upstream.next().await);
        proxy.log.nth("batch is sent again", n).await;
        caller.leave();
        proxy.log.nth("caller left", n).await;
    }
    // The third opens the circuit, against which nothing is sent again.
    let caller = proxy.enqueue(JOB).await;
    refuse(upstream.next().await);
    let answer = caller.answer().await;
    answer.idempotent_problem(503, "upstream-overloaded", "yes");
    proxy.log.nth("circuit open", 1).await;
    let scrape = calls(&proxy, r#"upstream_requests_total{status="503"}"#, 3.0).await;
    // Nothing was sent again.
    assert_eq!(scrape.get("retries_total"), 0.0);
    assert!(upstream.arrived().is_none());
}

#[tokio::test]
async fn retries_are_the_calls_that_the_upstream_saw_again() {
    let upstream = ScriptedUpstream::start().await;
    let env = [
        ("MICROBATCH_UPSTREAM__IDEMPOTENT", "true"),
        ("MICROBATCH_RETRY__BASE", "1ms"),
        ("MICROBATCH_RETRY__BUDGET_MIN", "1000"),
    ];
    let proxy = Proxy::start(&upstream.url(), &ONE_BY_ONE, &env).await;
    let mut upstream = upstream;
    let (mut jobs, mut seen) = (0_u32, 0_u32);
    // Answered by the first, the second and the third call, and by none.
    for refusals in [0, 1, 2, 3, 1] {
        let caller = proxy.enqueue(JOB).await;
        jobs += 1;
        for attempt in 0..3.min(refusals + 1) {
            let call = upstream.next().await;
            seen += 1;
            match attempt < refusals {
                true => call.answer(503, &[], ""),
                false => call.echo(),
            }
        }
        let status = if refusals < 3 { 200 } else { 503 };
        assert_eq!(caller.answer().await.status, status);
    }
    // One leaves before it is sent again.
    let caller = proxy.enqueue(JOB).await;
    (jobs, seen) = (jobs + 1, seen + 1);
    let call = upstream.next().await;
    call.answer(503, &[("retry-after", "30")], "");
    let again = |line: &crate::harness::Line| line.message() == "batch is sent again";
    let retries = f64::from(seen - jobs);
    proxy
        .log
        .wait_for_nth("the last to pause", retries as usize + 1, again)
        .await;
    caller.leave();
    proxy.log.nth("caller left", 1).await;
    assert!(upstream.arrived().is_none());
    assert_eq!(Scrape::of(&proxy).await.get("retries_total"), retries);
}
