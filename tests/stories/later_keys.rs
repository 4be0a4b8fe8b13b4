//! Section 11 of the contract: handing in again does no harm where it has a key.

use crate::harness::{Caller, Handed, Proxy, Request, ScriptedUpstream};

const JOB: &str = r#"{"id":"a","body":1}"#;

async fn start(env: &[(&str, &str)]) -> (Proxy, ScriptedUpstream) {
    let upstream = ScriptedUpstream::start().await;
    let env = [&[("MICROBATCH_LATER__MAX_WAIT", "0")], env].concat();
    let proxy = Proxy::start(&upstream.url(), &[], &env).await;
    (proxy, upstream)
}

fn with_key(job: &str, key: &str) -> Request {
    Request::later(job.to_owned()).header("idempotency-key", key)
}

#[tokio::test]
async fn the_same_again_is_the_same_record() {
    let (proxy, mut upstream) = start(&[]).await;
    let first = Handed::of(&proxy.send(with_key(JOB, "\"k\"")).await);
    // The quotes are no part of it, nor is the space around the job.
    for (job, key) in [(JOB, "\"k\""), (JOB, "k"), (&format!(" {JOB}\n"), "k")] {
        let again = Handed::of(&proxy.send(with_key(job, key)).await);
        assert_eq!(again.handle, first.handle);
    }
    let call = upstream.next().await;
    assert_eq!(call.ids(), ["a"]);
    call.echo();
    let fetched = proxy.finished(&first).await;
    let again = proxy.send(with_key(JOB, "k")).await;
    again.is_result(r#"{"id":"a","result":1}"#);
    assert_eq!(again.header("location"), first.location);
    assert_eq!(again.header("x-job-state"), "");
    assert_eq!(again.header("x-batch-id"), fetched.header("x-batch-id"));
    assert!(upstream.arrived().is_none());
}

#[tokio::test]
async fn another_job_or_stream_by_the_same_key_is_refused() {
    let (proxy, mut upstream) = start(&[]).await;
    let first = Handed::of(&proxy.send(with_key(JOB, "k")).await);
    for request in [
        with_key(r#"{"id":"a","body":2}"#, "k"),
        with_key(r#"{"id":"a", "body":1}"#, "k"),
        with_key(JOB, "k").to("POST", "/jobs?stream=s"),
    ] {
        let answer = proxy.send(request).await;
        answer
            .problem(422, "idempotency-key-reused", "no")
            .has("id", "a");
        assert_eq!(answer.header("location"), "");
    }
    // Another key, or none, is another job.
    for request in [with_key(JOB, "K"), Request::later(JOB)] {
        assert_ne!(Handed::of(&proxy.send(request).await).handle, first.handle);
    }
    upstream.next().await.echo();
    proxy.finished(&first).await;
    let answer = proxy.send(with_key(r#"{"id":"a"}"#, "k")).await;
    answer.problem(422, "idempotency-key-reused", "no");
}

#[tokio::test]
async fn a_key_lives_as_long_as_its_record() {
    let (proxy, mut upstream) = start(&[]).await;
    let first = Handed::of(&proxy.send(with_key(JOB, "k")).await);
    upstream.next().await.echo();
    proxy.finished(&first).await;
    proxy.delete(&first).await;
    let second = Handed::of(&proxy.send(with_key(JOB, "k")).await);
    assert_ne!(second.handle, first.handle);
    upstream.next().await.echo();
    proxy.finished(&second).await;
}

#[tokio::test]
async fn of_many_at_once_one_job_comes_of_it() {
    let (proxy, mut upstream) = start(&[]).await;
    let callers: Vec<_> = (0..16)
        .map(|_| Caller::spawn(proxy.jobs_addr, with_key(JOB, "k")))
        .collect();
    let mut handles = Vec::new();
    for caller in callers {
        handles.push(Handed::of(&caller.answer().await).handle);
    }
    handles.dedup();
    assert_eq!(handles.len(), 1);
    let call = upstream.next().await;
    assert_eq!(call.ids(), ["a"]);
    call.echo();
    proxy.hand_in(r#"{"id":"b"}"#).await;
    assert_eq!(upstream.next().await.ids(), ["b"]);
}

#[tokio::test]
async fn one_that_is_waited_for_is_answered_where_it_was_finished_by_another() {
    let (proxy, mut upstream) = start(&[]).await;
    let first = Handed::of(&proxy.send(with_key(JOB, "k")).await);
    let call = upstream.next().await;
    let request = Request::job(JOB)
        .header("prefer", "respond-async, wait=50")
        .header("idempotency-key", "k");
    let again = Caller::spawn(proxy.jobs_addr, request);
    proxy.keep_alive().await;
    call.echo();
    let answer = again.answer().await;
    answer.is_result(r#"{"id":"a","result":1}"#);
    assert_eq!(answer.header("location"), first.location);
}
