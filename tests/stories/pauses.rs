//! Section 5 of the contract: while a batch pauses before it is sent again, it
//! has no slot, and its members wait like any others.

use crate::harness::{Call, Request, Signal};
use crate::retries::{ECHO, IDEMPOTENT, JOB, again, setup};

/// One slot for batches of one.
const ONE_BY_ONE: [&str; 4] = ["--max-size", "1", "--max-in-flight", "1"];
/// One slot for batches of two.
const PAIRS: [&str; 6] = [
    "--max-size",
    "2",
    "--max-in-flight",
    "1",
    "--max-wait",
    "50s",
];

fn job(id: &str) -> Request {
    Request::job(format!(r#"{{"id":"{id}"}}"#))
}

fn echo(id: &str) -> String {
    format!(r#"{{"id":"{id}","result":null}}"#)
}

#[tokio::test]
async fn the_slot_is_free_meanwhile() {
    let (proxy, mut upstream) = setup(&ONE_BY_ONE, &[IDEMPOTENT]).await;
    let pausing = proxy.enqueue(JOB).await;
    let call = upstream.next().await;
    let other = proxy.enqueue(r#"{"id":"b"}"#).await;
    call.answer(503, &[("retry-after", "1")], "");
    let call = upstream.next().await;
    assert_eq!(call.ids(), ["b"]);
    call.echo();
    other.answer().await.is_result(&echo("b"));
    let call = upstream.next().await;
    assert_eq!(call.ids(), ["a"]);
    call.echo();
    pausing.answer().await.is_result(ECHO);
}

#[tokio::test]
async fn a_pausing_job_takes_up_room_in_the_queue_until_it_is_sent() {
    let flags = [&ONE_BY_ONE[..], &["--queue-max-jobs", "2"]].concat();
    let (proxy, mut upstream) = setup(&flags, &[IDEMPOTENT]).await;
    let pausing = proxy.enqueue(JOB).await;
    upstream
        .next()
        .await
        .answer(503, &[("retry-after", "30")], "");
    // Its slot is free by the time that another batch is there.
    let other = proxy.enqueue(r#"{"id":"b"}"#).await;
    let call = upstream.next().await;
    assert_eq!(call.ids(), ["b"]);
    let mut waiting = vec![proxy.enqueue(r#"{"id":"c"}"#).await];
    let answer = proxy.send(job("over")).await;
    answer.problem(503, "queue-full", "no");
    pausing.leave();
    proxy.log.nth("caller left", 1).await;
    waiting.push(proxy.enqueue(r#"{"id":"d"}"#).await);
    call.echo();
    other.answer().await.is_result(&echo("b"));
    for (caller, id) in waiting.into_iter().zip(["c", "d"]) {
        upstream.next().await.echo();
        caller.answer().await.is_result(&echo(id));
    }
}

#[tokio::test]
async fn a_departed_callers_job_is_not_sent_again() {
    let (proxy, mut upstream) = setup(&PAIRS, &[IDEMPOTENT]).await;
    let leaving = proxy.enqueue(JOB).await;
    let staying = proxy.enqueue(r#"{"id":"b"}"#).await;
    let call = upstream.next().await;
    let batch_id = call.header("x-batch-id").to_owned();
    call.answer(503, &[("retry-after", "1")], "");
    proxy.log.nth("batch is sent again", 1).await;
    leaving.leave();
    let call = upstream.next().await;
    assert_eq!(call.ids(), ["b"]);
    assert_eq!(call.header("x-batch-size"), "1");
    assert_eq!(call.header("x-batch-id"), batch_id);
    call.echo();
    let answer = staying.answer().await;
    answer.is_result(&echo("b"));
    assert_eq!(answer.header("x-batch-size"), "1");
}

#[tokio::test]
async fn nothing_is_sent_again_when_all_callers_departed() {
    let (mut proxy, mut upstream) = setup(&PAIRS, &[IDEMPOTENT]).await;
    let one = proxy.enqueue(JOB).await;
    let other = proxy.enqueue(r#"{"id":"b"}"#).await;
    upstream
        .next()
        .await
        .answer(503, &[("retry-after", "30")], "");
    proxy.log.nth("batch is sent again", 1).await;
    one.leave();
    other.leave();
    let done = proxy.log.nth("batch done", 1).await;
    assert_eq!(done.text("outcome"), "abandoned");
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit_code().await, Some(0));
    let done = proxy.log.last().await;
    assert_eq!((done.number("accepted"), done.number("cancelled")), (2, 2));
    assert!(upstream.arrived().is_none());
}

#[tokio::test]
async fn a_job_that_would_expire_before_the_retry_is_answered_at_once() {
    let (proxy, mut upstream) = setup(&PAIRS, &[IDEMPOTENT]).await;
    let hasty = proxy
        .enqueue_request(job("hasty").header("prefer", "wait=2"))
        .await;
    let patient = proxy.enqueue(r#"{"id":"patient"}"#).await;
    upstream
        .next()
        .await
        .answer(503, &[("retry-after", "3")], "");
    // Not with its deadline: nothing could still come of waiting for that.
    let answer = hasty.answer().await;
    answer.idempotent_problem(503, "upstream-overloaded", "yes");
    let call = upstream.next().await;
    assert_eq!(call.ids(), ["patient"]);
    call.echo();
    patient.answer().await.is_result(&echo("patient"));
}

#[tokio::test]
async fn a_deadline_that_passes_meanwhile_is_answered_at_once() {
    // The pause is over, but the next batch may not leave for a long time.
    let env = [IDEMPOTENT, ("MICROBATCH_UPSTREAM__MIN_INTERVAL", "50s")];
    let deeds: [Option<fn(Call)>; 3] = [
        None,
        Some(Call::hang_up),
        Some(|call| call.answer(503, &[], "")),
    ];
    for deed in deeds {
        let (proxy, mut upstream) = setup(&ONE_BY_ONE, &env).await;
        if deed.is_none() {
            upstream.kill().await;
        }
        let hasty = proxy
            .enqueue_request(job("hasty").header("prefer", "wait=2"))
            .await;
        if let Some(does) = deed {
            does(upstream.next().await);
        }
        let answer = hasty.answer().await;
        let dispatched = deed.map_or("no", |_| "unknown");
        let problem = answer.idempotent_problem(504, "deadline-exceeded", dispatched);
        problem.has("id", "hasty");
        // It tells of the deadline, whatever came before.
        let detail = problem.get("detail").as_str().unwrap();
        assert!(detail.starts_with("the deadline passed"), "{detail}");
    }
}

#[tokio::test]
async fn when_the_proxy_drains_nothing_is_retried_any_more() {
    let (mut proxy, mut upstream) = setup(&PAIRS, &[IDEMPOTENT]).await;
    let pausing = [
        proxy.enqueue(JOB).await,
        proxy.enqueue(r#"{"id":"b"}"#).await,
    ];
    upstream
        .next()
        .await
        .answer(503, &[("retry-after", "30")], "");
    proxy.log.nth("batch is sent again", 1).await;
    let in_flight = [
        proxy.enqueue(r#"{"id":"c"}"#).await,
        proxy.enqueue(r#"{"id":"d"}"#).await,
    ];
    let call = upstream.next().await;
    proxy.signal(Signal::TERM);
    // Who pauses hears of the failure that it paused for.
    for caller in pausing {
        let answer = caller.answer().await;
        answer.idempotent_problem(503, "upstream-overloaded", "yes");
    }
    call.answer(503, &[("retry-after", "1")], "");
    for caller in in_flight {
        let answer = caller.answer().await;
        answer.idempotent_problem(503, "upstream-overloaded", "yes");
    }
    assert_eq!(proxy.exit_code().await, Some(0));
    assert!(upstream.arrived().is_none());
    // Nor did it mean to.
    assert_eq!(again(&proxy), 1);
}
