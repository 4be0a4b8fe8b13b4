//! An outage from beginning to end: answers, failures, answers again.

use std::time::Instant;

use crate::harness::{Answer, Caller, Proxy, Request, ScriptedUpstream, Signal};

const JOBS: usize = 20;

async fn answers(proxy: &Proxy, upstream: &mut ScriptedUpstream) {
    for n in 0..JOBS {
        let caller = proxy.enqueue(&format!(r#"{{"id":{n}}}"#)).await;
        upstream.next().await.echo();
        let answer = caller.answer().await;
        answer.is_result(&format!(r#"{{"id":{n},"result":null}}"#));
    }
}

async fn one(proxy: &Proxy) -> Answer {
    proxy.post(r#"{"id":"now"}"#).await
}

#[tokio::test]
async fn answers_then_failures_then_answers_again() {
    let mut upstream = ScriptedUpstream::start().await;
    let mut proxy = Proxy::start(&upstream.url(), &["--max-wait", "0"], &[]).await;
    answers(&proxy, &mut upstream).await;

    // It goes in the middle of a call, with everything that it has.
    let caller = proxy.enqueue(r#"{"id":"cut"}"#).await;
    let call = upstream.next().await;
    upstream.kill().await;
    drop(call);
    let answer = caller.answer().await;
    answer.problem(502, "upstream-disconnected", "unknown");
    for _ in 0..JOBS {
        let answer = one(&proxy).await;
        answer.problem(502, "upstream-unreachable", "no");
    }

    // The first job after it is back is answered: nothing has to recover.
    upstream.restart();
    answers(&proxy, &mut upstream).await;

    // Nothing is stuck and nothing is lost.
    assert_eq!(proxy.flush().await, 0);
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit_code().await, Some(0));
    let done = proxy.log.last().await;
    assert_eq!(done.number("accepted"), 3 * JOBS as u64 + 1);
    assert_eq!(done.number("answered"), 3 * JOBS as u64 + 1);
    assert_eq!(done.outcome("ok"), 2 * JOBS as u64);
    assert_eq!(done.outcome("upstream-unreachable"), JOBS as u64);
}

#[tokio::test]
async fn the_same_with_a_circuit() {
    let mut upstream = ScriptedUpstream::start().await;
    let env = [
        ("MICROBATCH_RETRY__MAX_ATTEMPTS", "1"),
        ("MICROBATCH_CIRCUIT__FAILURES", "5"),
        ("MICROBATCH_CIRCUIT__OPEN_FOR", "500ms"),
    ];
    let mut proxy = Proxy::start(&upstream.url(), &["--max-wait", "0"], &env).await;
    answers(&proxy, &mut upstream).await;
    upstream.kill().await;
    for _ in 0..5 {
        let answer = one(&proxy).await;
        answer.problem(502, "upstream-unreachable", "no");
    }
    proxy.log.nth("circuit open", 1).await;
    let answer = one(&proxy).await;
    answer.problem(503, "circuit-open", "no");

    upstream.restart();
    let back = Instant::now();
    let first = loop {
        let caller = Caller::spawn(proxy.jobs_addr, Request::job(r#"{"id":1}"#));
        let mut answer = std::pin::pin!(caller.answer());
        let answer = tokio::select! {
            answer = &mut answer => answer,
            call = upstream.next() => {
                call.echo();
                answer.await
            }
        };
        if answer.status == 200 {
            break answer;
        }
        answer.problem(503, "circuit-open", "no");
    };
    first.is_result(r#"{"id":1,"result":null}"#);
    println!("answered {:?} after the upstream was back", back.elapsed());
    answers(&proxy, &mut upstream).await;
    assert_eq!(proxy.flush().await, 0);
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit_code().await, Some(0));
    let done = proxy.log.last().await;
    assert_eq!(done.number("accepted"), done.number("answered"));
}

#[tokio::test]
async fn an_outage_is_a_few_lines_and_a_count() {
    const FAILURES: u64 = 300;
    let mut upstream = ScriptedUpstream::start().await;
    let env = [("MICROBATCH_RETRY__MAX_ATTEMPTS", "1")];
    let flags = ["--max-wait", "0", "--log-level", "info"];
    let mut proxy = Proxy::start(&upstream.url(), &flags, &env).await;
    upstream.kill().await;
    let start = Instant::now();
    let mut connection = proxy.keep_alive().await;
    for _ in 0..FAILURES {
        let answer = connection.post(r#"{"id":1}"#).await;
        answer.problem(502, "upstream-unreachable", "no");
    }
    drop(connection);
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit_code().await, Some(0));
    // What was only counted is told at the end, before the last line.
    let done = proxy.log.last().await;
    assert_eq!(done.outcome("upstream-unreachable"), FAILURES);
    let counted = std::cell::Cell::new(0);
    let lines = proxy.log.count(|line| {
        if line.message() == "more batches failed" {
            counted.set(counted.get() + line.number("batches"));
            assert_eq!(line.outcomes().len(), 1, "{line:?}");
        }
        true
    }) as u64;
    let counted = counted.get();
    let told = proxy.log.count(|line| line.message() == "batch failed") as u64;
    assert_eq!(told + counted, FAILURES);
    let windows = start.elapsed().as_secs() / 10 + 1;
    assert!(told <= 10 * windows, "{told} in {windows}");
    assert!(lines <= 20 * windows + 10, "{lines} in {windows}");
}
