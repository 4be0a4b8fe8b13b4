//! Sections 4 and 5 of the contract: deadlines, and callers that leave.

use std::time::{Duration, Instant};

use crate::harness::{Caller, H2c, LONG_WAIT, Proxy, RawClient, Request, Scrape, ScriptedUpstream};

async fn start(flags: &[&str]) -> (Proxy, ScriptedUpstream) {
    let upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), flags, &[]).await;
    (proxy, upstream)
}

fn job(id: &str) -> Request {
    Request::job(format!(r#"{{"id":"{id}"}}"#))
}

/// A job whose caller waits one second and no more.
fn hasty(id: &str) -> Request {
    job(id).header("prefer", "wait=1")
}

fn echo(id: &str) -> String {
    format!(r#"{{"id":"{id}","result":null}}"#)
}

#[tokio::test]
async fn deadline_passed_while_queued() {
    let (proxy, mut upstream) = start(&["--max-wait", "0", "--max-in-flight", "1"]).await;
    let first = proxy.enqueue_request(job("first")).await;
    let busy = upstream.next().await;
    let start = Instant::now();
    let hasty = proxy.enqueue_request(hasty("hasty")).await;
    let patient = proxy.enqueue_request(job("patient")).await;
    let problem = hasty.answer().await.problem(503, "queue-timeout", "no");
    problem
        .has("id", "hasty")
        .has("retryable", true)
        .lacks("batch_id")
        .hides("patient");
    assert!(
        start.elapsed() >= Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    // The others are untouched.
    busy.echo();
    first.answer().await.is_result(&echo("first"));
    let call = upstream.next().await;
    assert_eq!(call.ids(), ["patient"]);
    call.echo();
    patient.answer().await.is_result(&echo("patient"));
}

#[tokio::test]
async fn a_near_deadline_has_the_batch_leave_in_time() {
    let (proxy, mut upstream) = start(&LONG_WAIT).await;
    let patient = proxy.enqueue_request(job("patient")).await;
    let hasty = proxy.enqueue_request(hasty("hasty")).await;
    let call = upstream.next().await;
    assert_eq!(call.ids(), ["patient", "hasty"]);
    call.echo();
    hasty.answer().await.is_result(&echo("hasty"));
    patient.answer().await.is_result(&echo("patient"));
    let scrape = Scrape::of(&proxy).await;
    let left = r#"batches_total{outcome="ok",reason="wait"}"#;
    assert_eq!(scrape.get(left), 1.0);
}

#[tokio::test]
async fn deadline_passed_after_the_batch_left() {
    let (proxy, mut upstream) = start(&[&LONG_WAIT[..], &["--max-size", "2"]].concat()).await;
    let hasty = proxy.enqueue_request(hasty("hasty")).await;
    let patient = proxy.enqueue_request(job("patient")).await;
    let call = upstream.next().await;
    let batch_id = call.header("x-batch-id").to_owned();
    let problem = hasty
        .answer()
        .await
        .problem(504, "deadline-exceeded", "unknown");
    problem
        .has("id", "hasty")
        .has("retryable", false)
        .has("batch_id", batch_id);
    problem.hides("patient").hides_upstream(&upstream);
    // Its mate is untouched: the batch lives as long as its latest member.
    assert_eq!(call.ids(), ["hasty", "patient"]);
    call.echo();
    patient.answer().await.is_result(&echo("patient"));
    proxy.log.nth("batch done", 1).await;
    // The upstream answered the hasty one as well, and can't be blamed for that.
    let blamed = proxy
        .log
        .count(|line| line.message() == "unmatched results");
    assert_eq!(blamed, 0, "{}", proxy.log);
}

#[tokio::test]
async fn a_batch_ends_with_its_last_deadline() {
    let (proxy, mut upstream) = start(&[&LONG_WAIT[..], &["--max-size", "2"]].concat()).await;
    let one = proxy.enqueue_request(hasty("one")).await;
    let other = proxy.enqueue_request(hasty("other")).await;
    let mut call = upstream.next().await;
    one.answer()
        .await
        .problem(504, "deadline-exceeded", "unknown");
    other
        .answer()
        .await
        .problem(504, "deadline-exceeded", "unknown");
    call.caller_gone().await;
}

#[tokio::test]
async fn request_timeout_bounds_every_job() {
    let flags = [
        "--request-timeout",
        "500ms",
        "--max-wait",
        "0",
        "--max-in-flight",
        "1",
    ];
    let (proxy, mut upstream) = start(&flags).await;
    let in_flight = Caller::spawn(proxy.jobs_addr, job("in-flight"));
    let mut call = upstream.next().await;
    let queued = Caller::spawn(proxy.jobs_addr, job("queued"));
    in_flight
        .answer()
        .await
        .problem(504, "deadline-exceeded", "unknown");
    call.caller_gone().await;
    // Its slot is free again: what waited either left or had expired as well.
    let answer = tokio::select! {
        answer = queued.answer() => answer,
        call = upstream.next() => {
            call.echo();
            return;
        }
    };
    assert!(matches!(answer.status, 503 | 504), "{answer:?}");
}

#[tokio::test]
async fn a_caller_only_shortens_its_stay() {
    let flags = ["--request-timeout", "1s", "--max-wait", "0"];
    let (proxy, _upstream) = start(&flags).await;
    let prefers = [
        "wait=9999",
        "wait=99999999999999999999999",
        "wait=-1",
        "wait=soon",
        "wait",
        "handling=lenient, wait=9999",
        "return=minimal; wait=0",
    ];
    // The upstream takes every job and answers none.
    let ask = |prefer| Caller::spawn(proxy.jobs_addr, job("a").header("prefer", prefer));
    for (caller, prefer) in prefers.map(ask).into_iter().zip(prefers) {
        let answer = caller.answer().await;
        assert_eq!(answer.status, 504, "{prefer}: {answer:?}");
        answer.problem(504, "deadline-exceeded", "unknown");
    }
}

#[tokio::test]
async fn prefer_is_read_among_other_preferences() {
    let (proxy, _upstream) = start(&LONG_WAIT).await;
    let prefers = [
        "return=minimal, wait=1",
        "Wait=1",
        "wait=\"1\"",
        "wait=1; x=y",
        "a; b, wait=1",
    ];
    let ask = |prefer| Caller::spawn(proxy.jobs_addr, job("a").header("prefer", prefer));
    for (caller, prefer) in prefers.map(ask).into_iter().zip(prefers) {
        let answer = caller.answer().await;
        assert_eq!(answer.status, 504, "{prefer}: {answer:?}");
        answer.problem(504, "deadline-exceeded", "unknown");
    }
}

#[tokio::test]
async fn when_every_member_has_left_the_call_is_aborted() {
    let (proxy, mut upstream) = start(&[&LONG_WAIT[..], &["--max-size", "2"]].concat()).await;
    let one = proxy.enqueue_request(job("one")).await;
    let other = proxy.enqueue_request(job("other")).await;
    let mut call = upstream.next().await;
    one.leave();
    let left = proxy.log.nth("caller left", 1).await;
    assert_eq!(
        (left.text("id"), left.text("when")),
        ("\"one\"", "in-flight")
    );
    other.leave();
    proxy.log.nth("caller left", 2).await;
    call.caller_gone().await;
}

#[tokio::test]
async fn a_member_that_left_harms_no_mate() {
    let (proxy, mut upstream) = start(&[&LONG_WAIT[..], &["--max-size", "2"]].concat()).await;
    let leaving = proxy.enqueue_request(job("leaving")).await;
    let staying = proxy.enqueue_request(job("staying")).await;
    let call = upstream.next().await;
    leaving.leave();
    proxy.log.nth("caller left", 1).await;
    call.echo();
    staying.answer().await.is_result(&echo("staying"));
}

#[tokio::test]
async fn the_slot_of_an_aborted_call_is_free_again() {
    let (proxy, mut upstream) = start(&["--max-wait", "0", "--max-in-flight", "1"]).await;
    let leaving = proxy.enqueue_request(job("leaving")).await;
    let mut call = upstream.next().await;
    let staying = proxy.enqueue_request(job("staying")).await;
    leaving.leave();
    call.caller_gone().await;
    upstream.next().await.echo();
    staying.answer().await.is_result(&echo("staying"));
}

#[tokio::test]
async fn a_caller_that_closes_its_sending_side_has_left() {
    let (proxy, mut upstream) = start(&LONG_WAIT).await;
    let mut client = RawClient::connect(proxy.jobs_addr).await;
    client.post("Content-Length: 8\r\n", r#"{"id":1}"#).await;
    proxy.log.nth("job queued", 1).await;
    client.half_close().await;
    let left = proxy.log.nth("caller left", 1).await;
    assert_eq!((left.text("id"), left.text("when")), ("1", "queued"));
    // Nobody is left to send anything for.
    proxy.flush().await;
    assert_eq!(proxy.post("{").await.status, 400);
    assert!(upstream.arrived().is_none());
}

#[tokio::test]
async fn an_http2_caller_leaves_by_resetting_its_stream() {
    let (proxy, mut upstream) = start(&[&LONG_WAIT[..], &["--max-size", "2"]].concat()).await;
    let connection = H2c::connect(proxy.jobs_addr).await;
    let leaving = tokio::spawn(connection.clone().send(job("leaving")));
    proxy.log.nth("job queued", 1).await;
    leaving.abort();
    let left = proxy.log.nth("caller left", 1).await;
    assert_eq!(
        (left.text("id"), left.text("when")),
        ("\"leaving\"", "queued")
    );
    // The other streams of the connection go on.
    let one = tokio::spawn(connection.clone().send(job("one")));
    proxy.log.nth("job queued", 2).await;
    let other = tokio::spawn(connection.send(job("other")));
    let call = upstream.next().await;
    assert_eq!(call.ids(), ["one", "other"]);
    call.echo();
    one.await.unwrap().is_result(&echo("one"));
    other.await.unwrap().is_result(&echo("other"));
}
