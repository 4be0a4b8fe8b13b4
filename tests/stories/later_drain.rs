//! Sections 6 and 11 of the contract: the end of a proxy with jobs for later in memory.

use crate::harness::{KeepAlive, Listening, Proxy, Request, ScriptedUpstream, Signal};

const JOB: &str = r#"{"id":"a"}"#;
const RESULT: &str = r#"{"id":"a","result":null}"#;

async fn start(flags: &[&str]) -> (Proxy, ScriptedUpstream) {
    let upstream = ScriptedUpstream::start().await;
    let env = [("MICROBATCH_LATER__MAX_WAIT", "50s")];
    let proxy = Proxy::start(&upstream.url(), flags, &env).await;
    (proxy, upstream)
}

/// A long poll on a connection that is open before the end begins.
async fn poll(proxy: &Proxy, location: &str) -> tokio::task::JoinHandle<crate::harness::Answer> {
    let mut connection = proxy.keep_alive().await;
    let request = Request::new("GET", location).header("prefer", "wait=50");
    let task = tokio::spawn(async move { connection.send(request).await });
    proxy.keep_alive().await;
    task
}

#[tokio::test]
async fn what_is_queued_leaves_and_whoever_waits_has_the_answer() {
    let (mut proxy, mut upstream) = start(&["--max-wait", "50s"]).await;
    let handed = proxy.hand_in_to("/jobs?stream=s", JOB).await;
    let poll = poll(&proxy, &handed.location).await;
    let mut listening = Listening::to_stream(&proxy, "s").await;
    proxy.signal(Signal::TERM);
    let call = upstream.next().await;
    assert_eq!(call.ids(), ["a"]);
    call.echo();
    let answer = poll.await.unwrap();
    answer.is_result(RESULT);
    assert_eq!(answer.header("x-job-state"), "done");
    let event = listening.event().await.unwrap();
    assert_eq!(event.json()["handle"], handed.handle);
    assert_eq!(listening.event().await, None, "it ends in order");
    assert_eq!(proxy.exit_code().await, Some(0));
    let done = proxy.log.last().await;
    assert_eq!(done.message(), "done");
    assert_eq!(done.text("later"), "accepted=1 ok=1");
    assert_eq!((done.number("accepted"), done.number("answered")), (0, 0));
}

#[tokio::test]
async fn what_cannot_finish_is_answered_as_a_caller_is() {
    let (mut proxy, mut upstream) =
        start(&["--max-size", "1", "--shutdown-timeout", "200ms"]).await;
    let sent = proxy.hand_in_to("/jobs?stream=s", JOB).await;
    let poll = poll(&proxy, &sent.location).await;
    let _call = upstream.next().await;
    let mut listening = Listening::to_stream(&proxy, "s").await;
    proxy.signal(Signal::TERM);
    let answer = poll.await.unwrap();
    answer
        .problem(504, "deadline-exceeded", "unknown")
        .has("id", "a");
    let event = listening.event().await.unwrap();
    assert_eq!(
        (&event.event[..], &event.json()["status"]),
        ("failed", &504.into())
    );
    assert_eq!(listening.event().await, None);
    assert_eq!(proxy.exit_code().await, Some(0));
    assert_eq!(
        proxy.log.last().await.text("later"),
        "accepted=1 deadline-exceeded=1"
    );
}

#[tokio::test]
async fn what_was_never_sent_says_so() {
    // The only slot is another's.
    let flags = [
        "--max-in-flight",
        "1",
        "--max-wait",
        "0",
        "--shutdown-timeout",
        "200ms",
    ];
    let (mut proxy, mut upstream) = start(&flags).await;
    let other = proxy.enqueue(r#"{"id":"other"}"#).await;
    let _call = upstream.next().await;
    let queued = proxy.hand_in_to("/jobs?stream=s", JOB).await;
    let poll = poll(&proxy, &queued.location).await;
    proxy.signal(Signal::TERM);
    let answer = poll.await.unwrap();
    answer.problem(503, "shutting-down", "no").has("id", "a");
    assert_eq!(other.answer().await.status, 504);
    assert_eq!(proxy.exit_code().await, Some(0));
}

#[tokio::test]
async fn nothing_is_handed_in_any_more() {
    let (mut proxy, mut upstream) = start(&["--max-size", "1"]).await;
    let handed = proxy.hand_in(JOB).await;
    let call = upstream.next().await;
    let mut open = proxy.keep_alive().await;
    let poll = poll(&proxy, &handed.location).await;
    proxy.signal(Signal::TERM);
    proxy.log.nth("draining", 1).await;
    proxy.drains().await;
    let answer = open.send(Request::later(r#"{"id":"late"}"#)).await;
    answer.problem(503, "shutting-down", "no").has("id", "late");
    assert_eq!(answer.header("connection"), "close");
    call.echo();
    poll.await.unwrap().is_result(RESULT);
    assert_eq!(proxy.exit_code().await, Some(0));
    assert_eq!(proxy.log.last().await.text("later"), "accepted=1 ok=1");
}

#[tokio::test]
async fn what_is_kept_can_be_fetched_until_the_listener_closes() {
    let upstream = ScriptedUpstream::start().await;
    let env = [
        ("MICROBATCH_LATER__MAX_WAIT", "0"),
        ("MICROBATCH_SHUTDOWN__DELAY", "60s"),
    ];
    let proxy = Proxy::start(&upstream.url(), &[], &env).await;
    let mut upstream = upstream;
    let handed = proxy.hand_in(JOB).await;
    upstream.next().await.echo();
    proxy.finished(&handed).await;
    proxy.signal(Signal::TERM);
    proxy.log.nth("draining", 1).await;
    let mut new = KeepAlive::connect(proxy.jobs_addr).await;
    let answer = new.send(Request::new("GET", &handed.location)).await;
    answer.is_result(RESULT);
    assert_eq!(answer.header("connection"), "close");
    // And handed in as ever, until then.
    let second = proxy.hand_in(r#"{"id":"b"}"#).await;
    upstream.next().await.echo();
    proxy.finished(&second).await;
}
