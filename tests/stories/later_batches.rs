//! Section 11 of the contract: jobs for later travel with those of callers, and callers
//! do not notice.

use crate::harness::{Caller, Proxy, Request, Scrape, ScriptedUpstream};

const JOB: &str = r#"{"id":"a","body":1}"#;

async fn start(flags: &[&str], env: &[(&str, &str)]) -> (Proxy, ScriptedUpstream) {
    let upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), flags, env).await;
    (proxy, upstream)
}

/// Jobs for later that leave by themselves after longer than any wait.
const PATIENT: (&str, &str) = ("MICROBATCH_LATER__MAX_WAIT", "50s");

#[tokio::test]
async fn they_take_the_free_places_of_a_callers_batch() {
    let (proxy, mut upstream) = start(&["--max-wait", "0"], &[PATIENT]).await;
    let riders = [
        proxy.hand_in(r#"{"id":"x"}"#).await,
        proxy.hand_in(r#"{"id":"y"}"#).await,
    ];
    let caller = Caller::spawn(proxy.jobs_addr, Request::job(JOB));
    let call = upstream.next().await;
    assert_eq!(call.header("x-batch-size"), "3");
    let mut ids: Vec<_> = call.ids().iter().map(|id| id.to_string()).collect();
    ids.sort();
    assert_eq!(ids, ["\"a\"", "\"x\"", "\"y\""]);
    let batch = call.header("x-batch-id").to_owned();
    call.echo();
    let answer = caller.answer().await;
    answer.is_result(r#"{"id":"a","result":1}"#);
    assert_eq!(answer.header("x-batch-size"), "3");
    for rider in &riders {
        let answer = proxy.finished(rider).await;
        assert_eq!(answer.header("x-batch-id"), batch);
        assert_eq!(answer.header("x-batch-size"), "3");
    }
}

#[tokio::test]
async fn a_callers_batch_has_room_for_no_more_of_them_than_it_has_places() {
    let (proxy, mut upstream) = start(&["--max-wait", "0", "--max-size", "3"], &[PATIENT]).await;
    // One less than fill a batch of their own.
    for id in [1, 2] {
        proxy.hand_in(&format!(r#"{{"id":{id}}}"#)).await;
    }
    let caller = Caller::spawn(proxy.jobs_addr, Request::job(JOB));
    let call = upstream.next().await;
    assert_eq!(call.ids().len(), 3);
    call.echo();
    caller.answer().await;
}

#[tokio::test]
async fn a_full_batch_of_them_leaves_by_itself() {
    let (proxy, mut upstream) = start(&["--max-size", "2", "--max-wait", "50s"], &[PATIENT]).await;
    let first = proxy.hand_in(r#"{"id":1}"#).await;
    let second = proxy.hand_in(r#"{"id":2}"#).await;
    let call = upstream.next().await;
    assert_eq!(call.ids(), [1, 2]);
    call.echo();
    proxy
        .finished(&first)
        .await
        .is_result(r#"{"id":1,"result":null}"#);
    proxy
        .finished(&second)
        .await
        .is_result(r#"{"id":2,"result":null}"#);
}

#[tokio::test]
async fn one_that_has_waited_leaves_alone() {
    let env = [("MICROBATCH_LATER__MAX_WAIT", "10ms")];
    let (proxy, mut upstream) = start(&["--max-wait", "5s"], &env).await;
    let handed = proxy.hand_in(JOB).await;
    let call = upstream.next().await;
    assert_eq!(call.ids(), ["a"]);
    call.echo();
    proxy
        .finished(&handed)
        .await
        .is_result(r#"{"id":"a","result":1}"#);
}

#[tokio::test]
async fn flush_speaks_of_them() {
    let (proxy, mut upstream) = start(&["--max-wait", "50s"], &[PATIENT]).await;
    let handed = proxy.hand_in(JOB).await;
    let caller = proxy.enqueue(r#"{"id":"direct"}"#).await;
    assert_eq!(proxy.flush().await, 2);
    let mut ids = 0;
    while ids < 2 {
        let call = upstream.next().await;
        ids += call.ids().len();
        call.echo();
    }
    caller.answer().await;
    proxy.finished(&handed).await;
    assert_eq!(proxy.flush().await, 0);
}

#[tokio::test]
async fn what_is_counted_of_callers_leaves_them_out() {
    let (proxy, mut upstream) = start(&["--max-wait", "0"], &[PATIENT]).await;
    let handed = proxy.hand_in(r#"{"id":"x"}"#).await;
    let scrape = Scrape::of(&proxy).await;
    assert_eq!(scrape.get("jobs_accepted_total"), 0.0);
    assert_eq!(scrape.get("queue_jobs"), 0.0);
    let caller = Caller::spawn(proxy.jobs_addr, Request::job(JOB));
    upstream.next().await.echo();
    caller.answer().await;
    proxy.finished(&handed).await;
    let scrape = Scrape::of(&proxy).await;
    assert_eq!(scrape.get("jobs_accepted_total"), 1.0);
    assert_eq!(scrape.sum("jobs_total"), 1.0);
    assert_eq!(scrape.get("job_duration_seconds_count"), 1.0);
    assert_eq!(scrape.get("queue_wait_seconds_count"), 1.0);
    assert_eq!(scrape.unanswered(), 0.0);
    // A batch counts what is in it.
    assert_eq!(scrape.get("batch_size_jobs_sum"), 2.0);
}

#[tokio::test]
async fn they_do_not_fill_the_queue_for_callers() {
    let flags = [
        "--max-wait",
        "0",
        "--queue-max-jobs",
        "2",
        "--max-in-flight",
        "1",
    ];
    let (proxy, mut upstream) =
        start(&flags, &[PATIENT, ("MICROBATCH_BATCH__MAX_SIZE", "2")]).await;
    let first = proxy.enqueue(r#"{"id":"first"}"#).await;
    let call = upstream.next().await;
    for id in 0..10 {
        proxy.hand_in(&format!(r#"{{"id":{id}}}"#)).await;
    }
    let callers = [
        proxy.enqueue(r#"{"id":"x"}"#).await,
        proxy.enqueue(r#"{"id":"y"}"#).await,
    ];
    let full = proxy.post(r#"{"id":"z"}"#).await;
    full.problem(503, "queue-full", "no");
    call.echo();
    first.answer().await;
    // Those who wait go first.
    let call = upstream.next().await;
    assert_eq!(call.ids(), ["x", "y"]);
    call.echo();
    for caller in callers {
        assert_eq!(caller.answer().await.status, 200);
    }
}

#[tokio::test]
async fn while_the_circuit_is_open_they_wait() {
    let env = [
        ("MICROBATCH_LATER__MAX_WAIT", "0"),
        ("MICROBATCH_CIRCUIT__FAILURES", "1"),
        ("MICROBATCH_CIRCUIT__OPEN_FOR", "300ms"),
        ("MICROBATCH_RETRY__MAX_ATTEMPTS", "1"),
    ];
    let (proxy, mut upstream) = start(&["--max-wait", "0"], &env).await;
    let caller = Caller::spawn(proxy.jobs_addr, Request::job(JOB));
    upstream.next().await.answer(500, &[], "");
    caller.answer().await.problem(502, "upstream-error", "yes");
    proxy.log.nth("circuit open", 1).await;
    // A job for later is not refused, as one is that is waited for.
    let handed = proxy.hand_in(r#"{"id":"x"}"#).await;
    let call = upstream.next().await;
    assert_eq!(call.ids(), ["x"]);
    call.echo();
    proxy
        .finished(&handed)
        .await
        .is_result(r#"{"id":"x","result":null}"#);
}

#[tokio::test]
async fn one_id_may_be_handed_in_many_times() {
    let env = [("MICROBATCH_LATER__MAX_WAIT", "0")];
    let (proxy, mut upstream) = start(&["--queue-max-jobs", "10"], &env).await;
    let mut all = Vec::new();
    for _ in 0..30 {
        all.push(proxy.hand_in(JOB).await);
    }
    for _ in 0..30 {
        let call = upstream.next().await;
        assert_eq!(call.ids(), ["a"], "two of one id never share a batch");
        call.echo();
    }
    for handed in &all {
        proxy
            .finished(handed)
            .await
            .is_result(r#"{"id":"a","result":1}"#);
    }
}
