//! Section 11 of the contract: an answer is come back for.

use serde_json::json;

use crate::harness::{
    Caller, H2c, Handed, LONG_WAIT, Proxy, RawClient, Request, Scrape, ScriptedUpstream, eventually,
};

const JOB: &str = r#"{"id":"a","body":1}"#;
const RESULT: &str = r#"{"id":"a","result":1}"#;

async fn start(flags: &[&str]) -> (Proxy, ScriptedUpstream) {
    let upstream = ScriptedUpstream::start().await;
    let env = [("MICROBATCH_LATER__MAX_WAIT", "0")];
    let proxy = Proxy::start(&upstream.url(), flags, &env).await;
    (proxy, upstream)
}

#[tokio::test]
async fn a_job_is_queued_then_sent_then_done() {
    // The only slot is another's.
    let (proxy, mut upstream) = start(&["--max-in-flight", "1", "--max-wait", "0"]).await;
    let caller = proxy.enqueue(r#"{"id":"other"}"#).await;
    let other = upstream.next().await;
    let handed = proxy.hand_in(JOB).await;
    assert_eq!(proxy.state(&handed).await, "queued");
    other.echo();
    caller.answer().await;
    let call = upstream.next().await;
    assert_eq!(proxy.state(&handed).await, "sent");
    call.echo();
    let answer = proxy.finished(&handed).await;
    answer.is_result(RESULT);
    assert_eq!(answer.header("x-job-state"), "done");
    assert_eq!(answer.header("location"), "");
    assert_eq!(answer.header("x-batch-size"), "1");
}

#[tokio::test]
async fn it_is_queued_again_during_a_pause() {
    let upstream = ScriptedUpstream::start().await;
    let env = [
        ("MICROBATCH_LATER__MAX_WAIT", "0"),
        ("MICROBATCH_UPSTREAM__IDEMPOTENT", "true"),
        ("MICROBATCH_RETRY__BASE", "1ms"),
    ];
    let proxy = Proxy::start(&upstream.url(), &[], &env).await;
    let mut upstream = upstream;
    let handed = proxy.hand_in(JOB).await;
    let call = upstream.next().await;
    assert_eq!(proxy.state(&handed).await, "sent");
    call.answer(503, &[("retry-after", "3")], "");
    eventually("a pause", || async {
        (proxy.state(&handed).await == "queued").then_some(())
    })
    .await;
    let call = upstream.next().await;
    assert_eq!(proxy.state(&handed).await, "sent");
    call.echo();
    proxy.finished(&handed).await.is_result(RESULT);
}

#[tokio::test]
async fn reading_removes_nothing() {
    let (proxy, mut upstream) = start(&[]).await;
    let handed = proxy.hand_in(JOB).await;
    upstream.next().await.echo();
    proxy.finished(&handed).await.is_result(RESULT);
    let h2 = H2c::connect(proxy.jobs_addr).await;
    for _ in 0..3 {
        proxy.fetch(&handed).await.is_result(RESULT);
        let request = Request::new("GET", &handed.location);
        h2.clone().send(request).await.is_result(RESULT);
    }
    // Nor is it done again.
    assert!(upstream.arrived().is_none());
}

#[tokio::test]
async fn head_has_no_body() {
    let (proxy, mut upstream) = start(&[]).await;
    let handed = proxy.hand_in(JOB).await;
    let call = upstream.next().await;
    for finished in [false, true] {
        let mut client = RawClient::connect(proxy.jobs_addr).await;
        let head = format!(
            "HEAD {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            handed.location
        );
        client.write(head).await;
        let said = String::from_utf8(client.until_closed().await).unwrap();
        let (head, body) = said.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "", "{said}");
        let (status, length) = match finished {
            false => ("HTTP/1.1 202 ", proxy.fetch(&handed).await.body.len()),
            true => ("HTTP/1.1 200 ", RESULT.len()),
        };
        assert!(head.starts_with(status), "{said}");
        assert!(
            head.contains(&format!("content-length: {length}")),
            "{said}"
        );
        if !finished {
            break;
        }
    }
    call.echo();
    proxy.finished(&handed).await;
    let answer = proxy.send(Request::new("HEAD", &handed.location)).await;
    assert_eq!((answer.status, answer.header("x-job-state")), (200, "done"));
    assert_eq!(answer.header("content-length"), RESULT.len().to_string());
    let h2 = H2c::connect(proxy.jobs_addr).await;
    let answer = h2.send(Request::new("HEAD", &handed.location)).await;
    assert_eq!((answer.status, answer.text()), (200, ""));
    assert_eq!(answer.header("content-length"), RESULT.len().to_string());
}

#[tokio::test]
async fn no_such_job() {
    let (proxy, _upstream) = start(&LONG_WAIT).await;
    let handed = proxy.hand_in(JOB).await;
    let (time, random) = handed.handle.split_at(12);
    let other_case: String = random
        .chars()
        .map(|it| match it.is_ascii_lowercase() {
            true => it.to_ascii_uppercase(),
            false => it.to_ascii_lowercase(),
        })
        .collect();
    for handle in [
        "a",
        "1",
        "%FF",
        "%2F",
        "0123456789abcdef",
        &"0".repeat(10_000),
        &format!("{time}{other_case}"),
        &handed.handle[1..],
        &format!("{}A", handed.handle),
        &format!("{time}{}", "A".repeat(22)),
    ] {
        for method in ["GET", "HEAD", "DELETE"] {
            let request = Request::new(method, &format!("/jobs/{handle}"));
            let answer = proxy.send(request.header("prefer", "wait=60")).await;
            match method {
                "HEAD" => assert_eq!((answer.status, answer.text()), (404, "")),
                _ => {
                    answer.problem(404, "job-unknown", "").lacks("id");
                }
            }
        }
    }
    // It is written in any way that is the same.
    let handle = handed.handle.replacen('0', "%30", 1);
    let same = proxy
        .send(Request::new("GET", &format!("/jobs/{handle}?x=y")))
        .await;
    assert_eq!(same.json()["handle"], json!(handed.handle));
    let scrape = Scrape::of(&proxy).await;
    assert_eq!(scrape.get("jobs_refused_total{code=\"job-unknown\"}"), 30.0);
}

#[tokio::test]
async fn a_long_poll_hears_of_the_end_at_once() {
    let (proxy, mut upstream) = start(&[]).await;
    let handed = proxy.hand_in(JOB).await;
    let call = upstream.next().await;
    let polls: Vec<_> = (0..10)
        .map(|_| {
            let request = Request::new("GET", &handed.location).header("prefer", "wait=50");
            Caller::spawn(proxy.jobs_addr, request)
        })
        .collect();
    // That one has asked is seen in no way from outside; those that have not by then get
    // the same answer.
    proxy.keep_alive().await;
    call.echo();
    for poll in polls {
        let answer = poll.answer().await;
        answer.is_result(RESULT);
        assert_eq!(answer.header("x-job-state"), "done");
    }
}

#[tokio::test]
async fn a_long_poll_ends_with_its_time_and_with_that_of_requests() {
    let (proxy, _upstream) = start(&["--request-timeout", "50ms", "--max-wait", "1ms"]).await;
    let handed = proxy.hand_in(JOB).await;
    for wait in ["wait=0", "wait=1000", "wait=18446744073709551615", "wait=x"] {
        let request = Request::new("GET", &handed.location).header("prefer", wait);
        let answer = proxy.send(request).await;
        assert_eq!(answer.status, 202, "{wait}: {answer:?}");
    }
}

#[tokio::test]
async fn a_long_poll_ends_when_its_job_is_deleted() {
    let (proxy, mut upstream) = start(&[]).await;
    let handed = proxy.hand_in(JOB).await;
    let _call = upstream.next().await;
    let request = Request::new("GET", &handed.location).header("prefer", "wait=50");
    let poll = Caller::spawn(proxy.jobs_addr, request);
    proxy.keep_alive().await;
    assert_eq!(proxy.delete(&handed).await.status, 204);
    poll.answer().await.problem(404, "job-unknown", "");
}

#[tokio::test]
async fn the_gate_is_the_same_for_what_is_fetched() {
    let (proxy, _upstream) = start(&LONG_WAIT).await;
    let handed = proxy.hand_in(JOB).await;
    for (method, path) in [
        ("GET", &handed.location[..]),
        ("DELETE", &handed.location),
        ("GET", "/streams/a"),
    ] {
        let request = Request::new(method, path).for_host("evil.example");
        proxy.send(request).await.problem(421, "misdirected", "no");
    }
    // A page of another origin has to ask first, and is not answered.
    let request = Request::new("OPTIONS", &handed.location)
        .header("origin", "https://evil.example")
        .header("access-control-request-method", "DELETE");
    let answer = proxy.send(request).await;
    answer.problem(405, "method-not-allowed", "no");
    assert!(
        !answer
            .headers
            .keys()
            .any(|it| it.as_str().starts_with("access-control"))
    );
    Handed::of(&proxy.send(Request::later(r#"{"id":2}"#)).await);
}
