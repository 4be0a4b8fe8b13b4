//! Section 2 of the contract: when a batch leaves, and who is in it.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Caller, LONG_WAIT, Proxy, Request, ScriptedUpstream};

pub async fn start(flags: &[&str], env: &[(&str, &str)]) -> (Proxy, ScriptedUpstream) {
    let upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), flags, env).await;
    (proxy, upstream)
}

/// Only size, bytes, a flush or a drain lets a batch leave.
pub async fn patient(flags: &[&str], env: &[(&str, &str)]) -> (Proxy, ScriptedUpstream) {
    start(&[&LONG_WAIT, flags].concat(), env).await
}

pub fn job(id: &str) -> String {
    format!(r#"{{"id":"{id}"}}"#)
}

/// Queues these jobs one after the other, so that their order is known.
pub async fn enqueue<const N: usize>(proxy: &Proxy, ids: [&str; N]) -> Vec<Caller> {
    let mut callers = Vec::new();
    for id in ids {
        callers.push(proxy.enqueue(&job(id)).await);
    }
    callers
}

pub async fn all_ok(callers: Vec<Caller>) {
    for caller in callers {
        let answer = caller.answer().await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

/// Asserts the `n`-th batch's reason and size, as the log says it.
async fn left(proxy: &Proxy, n: usize, reason: &str, size: u64) {
    let line = proxy.log.nth("batch left", n).await;
    assert_eq!(
        (line.text("reason"), line.number("size")),
        (reason, size),
        "{line:?}"
    );
}

#[tokio::test]
async fn reason_size() {
    let (proxy, mut upstream) = patient(&["--max-size", "2"], &[]).await;
    // One pair after the other: two batches on their way may overtake each other.
    for ids in [["a", "b"], ["c", "d"]] {
        let callers = enqueue(&proxy, ids).await;
        let call = upstream.next().await;
        assert_eq!(call.ids(), ids);
        call.echo();
        all_ok(callers).await;
    }
    left(&proxy, 1, "size", 2).await;
    left(&proxy, 2, "size", 2).await;
}

#[tokio::test]
async fn reason_bytes() {
    let flags = ["--max-body", "98", "--max-bytes", "100"];
    let (proxy, mut upstream) = patient(&flags, &[]).await;
    // Three of 32 bytes, two commas and two brackets: exactly 100.
    let sized = |id: u32| format!(r#"{{"id":{id},"body":"{}"}}"#, "x".repeat(14));
    assert_eq!(sized(1).len(), 32);
    let mut callers = Vec::new();
    for id in 1..=4 {
        callers.push(proxy.enqueue(&sized(id)).await);
    }
    let call = upstream.next().await;
    assert_eq!(
        (call.ids(), call.body.len()),
        (vec![json!(1), json!(2), json!(3)], 100)
    );
    call.echo();
    left(&proxy, 1, "bytes", 3).await;
    assert_eq!(proxy.log.nth("batch left", 1).await.number("bytes"), 100);

    assert_eq!(proxy.flush().await, 1);
    upstream.next().await.echo();
    all_ok(callers).await;
    left(&proxy, 2, "flush", 1).await;
}

#[tokio::test]
async fn the_largest_job_alone_fills_a_batch() {
    let flags = ["--max-body", "98", "--max-bytes", "100"];
    let (proxy, mut upstream) = patient(&flags, &[]).await;
    let largest = format!(r#"{{"id":1,"body":"{}"}}"#, "x".repeat(98 - 18));
    let first = proxy.enqueue(&largest).await;
    let second = proxy.enqueue(r#"{"id":2}"#).await;
    let call = upstream.next().await;
    assert_eq!(call.body, format!("[{largest}]"));
    call.echo();
    all_ok(vec![first]).await;
    left(&proxy, 1, "bytes", 1).await;
    proxy.flush().await;
    upstream.next().await.echo();
    all_ok(vec![second]).await;
}

#[tokio::test]
async fn reason_wait_measured_from_the_oldest_jobs_arrival() {
    let (proxy, mut upstream) = start(&["--max-wait", "300ms"], &[]).await;
    let start = Instant::now();
    let callers = enqueue(&proxy, ["a", "b"]).await;
    let call = upstream.next().await;
    assert!(
        start.elapsed() >= Duration::from_millis(300),
        "{:?}",
        start.elapsed()
    );
    call.echo();
    left(
        &proxy,
        1,
        "wait",
        proxy.log.nth("batch left", 1).await.number("size"),
    )
    .await;
    // On a very slow machine the second may have missed the first batch.
    if proxy.log.nth("batch left", 1).await.number("size") == 1 {
        upstream.next().await.echo();
    }
    all_ok(callers).await;
}

#[tokio::test]
async fn no_wait_at_all() {
    let (proxy, mut upstream) = start(&["--max-wait", "0"], &[]).await;
    let caller = Caller::spawn(proxy.jobs_addr, Request::job(job("a")));
    upstream.next().await.echo();
    all_ok(vec![caller]).await;
    left(&proxy, 1, "wait", 1).await;
}

#[tokio::test]
async fn reason_flush() {
    let (proxy, mut upstream) = patient(&[], &[]).await;
    assert_eq!(proxy.flush().await, 0);
    let callers = enqueue(&proxy, ["a", "b", "c"]).await;
    assert_eq!(proxy.log.count(|line| line.message() == "batch left"), 0);
    assert_eq!(proxy.flush().await, 3);
    let call = upstream.next().await;
    assert_eq!(call.ids(), ["a", "b", "c"]);
    call.echo();
    all_ok(callers).await;
    left(&proxy, 1, "flush", 3).await;

    // The flush is spent: what comes later waits again.
    let later = enqueue(&proxy, ["d"]).await;
    assert_eq!(proxy.log.count(|line| line.message() == "batch left"), 1);
    assert_eq!(proxy.flush().await, 1);
    upstream.next().await.echo();
    all_ok(later).await;
}

#[tokio::test]
async fn a_flush_takes_as_many_batches_as_it_needs() {
    let (proxy, mut upstream) = patient(&["--max-size", "2", "--max-in-flight", "1"], &[]).await;
    let first = enqueue(&proxy, ["x", "y"]).await;
    let busy = upstream.next().await;
    let callers = enqueue(&proxy, ["a", "b", "c", "d", "e"]).await;
    // Answered at once, though no slot is free.
    assert_eq!(proxy.flush().await, 5);
    busy.echo();
    for ids in [&["a", "b"][..], &["c", "d"], &["e"]] {
        let call = upstream.next().await;
        assert_eq!(call.ids(), ids);
        call.echo();
    }
    all_ok(first).await;
    all_ok(callers).await;
    left(&proxy, 4, "flush", 1).await;
}

#[tokio::test]
async fn a_flush_takes_jobs_that_cannot_share_a_batch() {
    let (proxy, mut upstream) = patient(&[], &[]).await;
    let callers = enqueue(&proxy, ["a", "a", "b", "a"]).await;
    assert_eq!(proxy.flush().await, 4);
    let mut batches = Vec::new();
    for _ in 0..3 {
        let call = upstream.next().await;
        batches.push(call.ids());
        call.echo();
    }
    all_ok(callers).await;
    batches.sort_by_key(|ids| std::cmp::Reverse(ids.len()));
    assert_eq!(batches, [vec!["a", "b"], vec!["a"], vec!["a"]]);
}

#[tokio::test]
async fn the_same_id_never_shares_a_batch_and_others_pass_it() {
    let (proxy, mut upstream) = patient(&["--max-size", "3"], &[]).await;
    let texts = [
        r#"{"id":"a","body":1}"#,
        r#"{"id":"\u0061","body":2}"#,
        r#"{"id":"a","body":3}"#,
        r#"{"id":"b"}"#,
        r#"{"id":"c"}"#,
    ];
    let mut callers = Vec::new();
    for text in texts {
        callers.push(proxy.enqueue(text).await);
    }
    // Three jobs were waiting after the third, but no three that could share a
    // batch: it left with the fifth.
    let call = upstream.next().await;
    assert_eq!(
        call.body,
        format!("[{},{},{}]", texts[0], texts[3], texts[4])
    );
    call.echo();
    left(&proxy, 1, "size", 3).await;
    assert_eq!(proxy.flush().await, 2);
    let (second, third) = (upstream.next().await, upstream.next().await);
    let mut bodies = [second.body.clone(), third.body.clone()];
    bodies.sort();
    assert_eq!(
        bodies,
        [format!("[{}]", texts[1]), format!("[{}]", texts[2])]
    );
    second.echo();
    third.echo();
    for (caller, body) in callers.into_iter().zip(["1", "2", "3", "null", "null"]) {
        let answer = caller.answer().await;
        assert_eq!(
            (answer.status, answer.json()["result"].to_string()),
            (200, body.to_owned())
        );
    }
}
