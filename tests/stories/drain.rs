//! Section 6 of the contract: what connections hear of the end of a proxy.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::harness::h2::{self, DATA, GOAWAY};
use crate::harness::{KeepAlive, Proxy, RawClient, Request, ScriptedUpstream, Signal, within};

const JOB: &str = r#"{"id":1}"#;

/// More than what idle callers may delay the end by, and less than the shutdown's
/// own timeout, on a machine that is busy with something else.
const SOON: Duration = Duration::from_secs(20);

async fn echoing(env: &[(&str, &str)]) -> (Proxy, JoinSet<()>) {
    let mut upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), &["--max-wait", "0"], env).await;
    let mut echoing = JoinSet::new();
    echoing.spawn(async move {
        loop {
            upstream.next_ever().await.echo();
        }
    });
    (proxy, echoing)
}

const DELAY: (&str, &str) = ("MICROBATCH_SHUTDOWN__DELAY", "60s");

#[tokio::test]
async fn from_the_signal_on_every_answer_closes_its_connection() {
    let (proxy, _upstream) = echoing(&[DELAY]).await;
    let mut known = proxy.keep_alive().await;
    proxy.signal(Signal::TERM);
    proxy.log.nth("draining", 1).await;
    let answer = known.post(JOB).await;
    assert_eq!((answer.status, answer.header("connection")), (200, "close"));
    let mut new = KeepAlive::connect(proxy.jobs_addr).await;
    for request in [Request::job(JOB), Request::new("GET", "/healthz")] {
        let answer = new.send(request).await;
        assert_eq!((answer.status, answer.header("connection")), (200, "close"));
        new = KeepAlive::connect(proxy.jobs_addr).await;
    }
    let answer = proxy.admin("GET", "/livez").await;
    assert_eq!((answer.status, answer.header("connection")), (200, "close"));
}

#[tokio::test]
async fn from_the_signal_on_http2_is_told_to_go_away() {
    let (proxy, _upstream) = echoing(&[DELAY]).await;
    let mut known = RawClient::connect(proxy.jobs_addr).await;
    known.write([h2::hello(), h2::job(1, JOB)].concat()).await;
    known.frame_of(DATA).await;
    let mut silent = RawClient::connect(proxy.jobs_addr).await;
    silent.write(h2::hello()).await;
    silent.frame_of(h2::SETTINGS).await;
    proxy.signal(Signal::TERM);
    known.frame_of(GOAWAY).await;
    silent.frame_of(GOAWAY).await;
    // What is opened before it has heard of that is served.
    known.write(h2::job(3, JOB)).await;
    assert_eq!(known.frame_of(DATA).await.0, 3);
    let mut new = RawClient::connect(proxy.jobs_addr).await;
    new.write([h2::hello(), h2::job(1, JOB)].concat()).await;
    let (mut told, mut answered) = (false, false);
    while !(told && answered) {
        let (kind, ..) = new.frame().await.expect("an open connection");
        told |= kind == GOAWAY;
        answered |= kind == DATA;
    }
}

/// Callers that send their next job as soon as they have an answer, until one says
/// that it is the last: none ends by a closed connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_that_was_sent_goes_unanswered() {
    for round in 0..3 {
        let (mut proxy, _upstream) = echoing(&[]).await;
        let mut callers = JoinSet::new();
        for n in 0..60 {
            let mut connection = proxy.keep_alive().await;
            callers.spawn(async move {
                for k in 0.. {
                    let job = Request::job(format!(r#"{{"id":"{n} {k}"}}"#));
                    let answer = connection.try_send(job).await;
                    let answer = answer.unwrap_or_else(|error| panic!("{n} {k}: {error}"));
                    if answer.status != 200 {
                        answer.problem(503, "shutting-down", "no");
                    }
                    if answer.header("connection") == "close" {
                        return;
                    }
                }
            });
        }
        let begun = |line: &crate::harness::Line| line.message() == "batch left";
        proxy.log.wait_for_nth("batches", 100 + round, begun).await;
        proxy.signal(Signal::TERM);
        within("the callers", callers.join_all()).await;
        assert_eq!(proxy.exit_code().await, Some(0));
    }
}

/// Neither an idle connection nor half a request, nor an HTTP/2 caller that says
/// nothing, holds up the end until the shutdown's timeout, which is longer than
/// this story may take.
#[tokio::test]
async fn idle_connections_do_not_hold_up_the_end() {
    for start in [
        Vec::new(),
        b"P".to_vec(),
        b"POST /jobs HTTP/1.1\r\nHost: localhost\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n".to_vec(),
        h2::hello(),
        [h2::hello(), h2::job(1, JOB)].concat(),
    ] {
        let (mut proxy, _upstream) = echoing(&[("MICROBATCH_SERVER__READ_TIMEOUT", "60s")]).await;
        let mut client = RawClient::connect(proxy.jobs_addr).await;
        client.write(&start).await;
        if start.starts_with(&h2::hello()) {
            client.frame_of(h2::SETTINGS).await;
        }
        let _after_it = proxy.keep_alive().await;
        proxy.signal(Signal::TERM);
        let code = timeout(SOON, proxy.exit_code()).await;
        assert_eq!(code, Ok(Some(0)), "{start:?}");
    }
}

/// Half a body would be refused when it is whole: so it is told so at once.
#[tokio::test]
async fn half_a_body_is_refused_and_does_not_hold_up_the_end() {
    let head = "POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{\"id\"";
    let stream = h2::frame(DATA, 0, 1, b"{\"id\"");
    let stream = [h2::hello(), h2::post(1, 4), stream].concat();
    let env = [
        ("MICROBATCH_SERVER__READ_TIMEOUT", "1h"),
        ("MICROBATCH_SHUTDOWN__TIMEOUT", "1h"),
    ];
    for start in [head.as_bytes(), &stream] {
        let mut upstream = ScriptedUpstream::start().await;
        let mut proxy = Proxy::start(&upstream.url(), &["--max-wait", "0"], &env).await;
        // What came on the connection before is served by the time this is.
        let mut client = RawClient::connect(proxy.jobs_addr).await;
        client.write(start).await;
        let held = proxy.enqueue(JOB).await;
        let call = upstream.next().await;
        proxy.signal(Signal::TERM);
        let said = match start.starts_with(b"POST") {
            true => String::from_utf8(client.until_closed().await).unwrap(),
            false => String::from_utf8(client.frame_of(DATA).await.1).unwrap(),
        };
        assert!(said.contains("shutting-down"), "{said}");
        call.echo();
        assert_eq!(held.answer().await.status, 200);
        assert_eq!(proxy.exit_code().await, Some(0));
    }
}

/// A job whose caller was idle when the drain began, and who is quick.
#[tokio::test]
async fn a_job_that_comes_while_others_are_answered_is_refused_in_words() {
    let mut upstream = ScriptedUpstream::start().await;
    let mut proxy = Proxy::start(&upstream.url(), &["--max-wait", "0"], &[]).await;
    let caller = proxy.enqueue(JOB).await;
    let call = upstream.next().await;
    let mut idle = proxy.keep_alive().await;
    proxy.signal(Signal::TERM);
    proxy.drains().await;
    let answer = idle.post(JOB).await;
    answer.problem(503, "shutting-down", "no");
    assert_eq!(answer.header("connection"), "close");
    call.echo();
    let answer = caller.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (200, "close"));
    assert_eq!(proxy.exit_code().await, Some(0));
}
