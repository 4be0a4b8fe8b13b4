//! Section 11 of the contract, against callers who mean ill.

use crate::harness::{KeepAlive, LONG_WAIT, Proxy, RawClient, Request, ScriptedUpstream};

const JOB: &str = r#"{"id":"a"}"#;

async fn start(flags: &[&str]) -> (Proxy, ScriptedUpstream) {
    let upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(
        &upstream.url(),
        flags,
        &[("MICROBATCH_LATER__MAX_WAIT", "50s")],
    )
    .await;
    (proxy, upstream)
}

#[tokio::test]
async fn heads_without_end_are_refused_as_ever() {
    let (proxy, _upstream) = start(&LONG_WAIT).await;
    let long = "x".repeat(100_000);
    for line in [
        format!("Prefer: respond-async, {long}"),
        format!("Idempotency-Key: {long}"),
        format!("Last-Event-ID: {long}"),
    ] {
        let mut client = RawClient::connect(proxy.jobs_addr).await;
        client
            .post(&format!("{line}\r\nContent-Length: 10\r\n"), JOB)
            .await;
        let said = client.until_closed().await;
        assert!(
            said.starts_with(b"HTTP/1.1 431 "),
            "{}",
            said.escape_ascii()
        );
    }
    let mut client = RawClient::connect(proxy.jobs_addr).await;
    let head = format!("POST /jobs?stream={long} HTTP/1.1\r\nHost: localhost\r\n");
    client
        .write(format!("{head}Prefer: respond-async\r\n\r\n"))
        .await;
    let said = client.until_closed().await;
    let status = &said[..13.min(said.len())];
    assert!(
        [&b"HTTP/1.1 431 "[..], b"HTTP/1.1 414 "].contains(&status),
        "{}",
        said.escape_ascii()
    );
}

#[tokio::test]
async fn a_query_or_a_preference_of_many_parts_is_read_in_time() {
    let (proxy, _upstream) = start(&LONG_WAIT).await;
    let query = "a&".repeat(3_000);
    let request = Request::job(JOB)
        .to("POST", &format!("/jobs?{query}stream=s"))
        .header("prefer", &"x;".repeat(1_000))
        .header("prefer", &"\"".repeat(999))
        .header("prefer", &format!("{}respond-async", ",".repeat(1_000)));
    crate::harness::Handed::of(&proxy.send(request).await);
}

#[tokio::test]
async fn whoever_guesses_handles_does_not_flood_the_log() {
    let (mut proxy, _upstream) = start(&[&LONG_WAIT[..], &["--log-level", "info"]].concat()).await;
    let mut connection = KeepAlive::connect(proxy.jobs_addr).await;
    for guess in 0..2_000 {
        let handle = format!("{guess:012x}{}", "A".repeat(22));
        let request = Request::new("GET", &format!("/jobs/{handle}"));
        let answer = connection.send(request).await;
        assert_eq!(answer.status, 404);
    }
    proxy.signal(crate::harness::Signal::TERM);
    assert_eq!(proxy.exit_code().await, Some(0));
    let done = proxy.log.last().await;
    assert_eq!(done.text("refusals"), "job-unknown=2000");
    assert!(proxy.log.count(|_| true) < 20);
}

#[tokio::test]
async fn no_handle_is_in_the_log() {
    let (mut proxy, mut upstream) = start(&["--max-size", "1"]).await;
    let handed = proxy.hand_in_to("/jobs?stream=s", JOB).await;
    upstream.next().await.echo();
    proxy.finished(&handed).await;
    let other = proxy.hand_in(r#"{"id":"b"}"#).await;
    proxy.delete(&other).await;
    proxy.signal(crate::harness::Signal::TERM);
    drop(upstream);
    assert_eq!(proxy.exit_code().await, Some(0));
    proxy.log.last().await;
    for handle in [&handed.handle, &other.handle] {
        let secret = &handle[12..];
        assert_eq!(
            proxy.log.count(|line| line.0.to_string().contains(secret)),
            0
        );
    }
}

#[tokio::test]
async fn a_body_with_a_fetch_is_nobody_s_business() {
    let (proxy, _upstream) = start(&LONG_WAIT).await;
    let handed = proxy.hand_in(JOB).await;
    let mut connection = KeepAlive::connect(proxy.jobs_addr).await;
    for (method, status) in [("GET", 202), ("DELETE", 204), ("DELETE", 404)] {
        let request = Request::job("x".repeat(10_000)).to(method, &handed.location);
        assert_eq!(connection.send(request).await.status, status);
    }
}
