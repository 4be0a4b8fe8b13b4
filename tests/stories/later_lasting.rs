//! Section 11 of the contract: what outlives a process that is killed, and one that ends.

use crate::harness::{Handed, Listening, Machine, Request, Scrape, Signal};

const JOB: &str = r#"{"id":"a","body":1}"#;
const RESULT: &str = r#"{"id":"a","result":1}"#;

/// Jobs for later that leave by themselves after longer than any wait.
const PATIENT: (&str, &str) = ("LATER__MAX_WAIT", "50s");

fn with_key(job: &str) -> Request {
    Request::later(job.to_owned()).header("idempotency-key", "k")
}

#[tokio::test]
async fn a_queued_job_survives_and_so_does_its_answer() {
    let mut machine = Machine::new(&[], &[PATIENT]).await;
    let proxy = machine.start().await;
    let handed = proxy.hand_in_to("/jobs?stream=s", JOB).await;
    proxy.crash().await;

    let proxy = machine.start().await;
    assert_eq!(proxy.state(&handed).await, "queued");
    assert_eq!(proxy.flush().await, 1);
    let call = machine.upstream.next().await;
    assert_eq!(call.ids(), ["a"]);
    call.echo();
    proxy.finished(&handed).await.is_result(RESULT);
    let mut listening = Listening::to_stream(&proxy, "s").await;
    let event = listening.event().await.unwrap();
    drop(listening);
    proxy.crash().await;

    let proxy = machine.start().await;
    let fetched = proxy.fetch(&handed).await;
    fetched.is_result(RESULT);
    assert_eq!(fetched.header("x-job-state"), "done");
    let mut listening = Listening::to_stream(&proxy, "s").await;
    assert_eq!(listening.event().await, Some(event.clone()));
    let next = proxy.hand_in_to("/jobs?stream=s", r#"{"id":2}"#).await;
    proxy.flush().await;
    machine.upstream.next().await.echo();
    let told = listening.event().await.unwrap();
    assert_eq!(told.json()["handle"], next.handle);
    assert!(told.id > event.id, "{told:?} after {event:?}");
    assert_eq!(proxy.delete(&handed).await.status, 204);
    proxy.crash().await;

    let proxy = machine.start().await;
    proxy.fetch(&handed).await.problem(404, "job-unknown", "");
    assert_eq!(proxy.fetch(&next).await.status, 200);
    assert!(machine.upstream.arrived().is_none(), "sent once");
}

#[tokio::test]
async fn a_job_that_was_sent_is_interrupted() {
    let mut machine = Machine::new(&["--max-size", "1"], &[PATIENT]).await;
    let proxy = machine.start().await;
    let handed = proxy.hand_in_to("/jobs?stream=s", JOB).await;
    let _call = machine.upstream.next().await;
    proxy.crash().await;

    let proxy = machine.start().await;
    let answer = proxy.finished(&handed).await;
    let problem = answer.problem(502, "interrupted", "unknown");
    problem.has("id", "a");
    let mut listening = Listening::to_stream(&proxy, "s").await;
    assert_eq!(listening.event().await.unwrap().event, "failed");
    let scrape = Scrape::of(&proxy).await;
    let recovered = scrape.get(r#"later_recovered_total{as="interrupted"}"#);
    assert_eq!(recovered, 1.0);
    assert!(machine.upstream.arrived().is_none(), "it is not sent twice");
}

#[tokio::test]
async fn an_idempotent_job_is_sent_again_alone_and_not_for_ever() {
    let env = [
        PATIENT,
        ("UPSTREAM__IDEMPOTENT", "true"),
        ("LATER__MAX_ATTEMPTS", "2"),
    ];
    let mut machine = Machine::new(&["--max-size", "2"], &env).await;
    let proxy = machine.start().await;
    let one = proxy.hand_in(r#"{"id":1,"body":1}"#).await;
    let two = proxy.hand_in(r#"{"id":2,"body":2}"#).await;
    assert_eq!(machine.upstream.next().await.ids().len(), 2);
    proxy.crash().await;

    let proxy = machine.start().await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let call = machine.upstream.next().await;
        assert_eq!(call.ids().len(), 1);
        match call.ids()[0] == 1 {
            true => call.echo(),
            // What ends the proxy.
            false => held.push(call),
        }
    }
    proxy
        .finished(&one)
        .await
        .is_result(r#"{"id":1,"result":1}"#);
    proxy.crash().await;

    let proxy = machine.start().await;
    let answer = proxy.finished(&two).await;
    match machine.upstream.arrived() {
        None => answer.problem(502, "attempts-exhausted", "unknown"),
        Some(call) => panic!("sent again: {:?}", call.ids()),
    };
    proxy.fetch(&one).await.is_result(r#"{"id":1,"result":1}"#);
}

#[tokio::test]
async fn a_key_survives() {
    let machine = Machine::new(&[], &[PATIENT]).await;
    let proxy = machine.start().await;
    let first = Handed::of(&proxy.send(with_key(JOB)).await);
    proxy.crash().await;
    let proxy = machine.start().await;
    let again = Handed::of(&proxy.send(with_key(JOB)).await);
    assert_eq!(again.handle, first.handle);
    let other = proxy.send(with_key(r#"{"id":"b"}"#)).await;
    other.problem(422, "idempotency-key-reused", "no");
}

#[tokio::test]
async fn at_the_end_what_is_queued_stays_and_what_is_sent_is_waited_for() {
    let flags = ["--max-size", "1", "--max-in-flight", "1"];
    let mut machine = Machine::new(&flags, &[PATIENT]).await;
    let mut proxy = machine.start().await;
    let sent = proxy.hand_in(JOB).await;
    let call = machine.upstream.next().await;
    let mut queued = Vec::new();
    for id in 1..=4 {
        queued.push(proxy.hand_in(&format!(r#"{{"id":{id}}}"#)).await);
    }
    proxy.signal(Signal::TERM);
    proxy.drains().await;
    call.echo();
    assert_eq!(proxy.exit_code().await, Some(0));
    let done = proxy.log.last().await;
    assert_eq!(done.text("later"), "accepted=5 ok=1 queued=4");
    assert!(machine.upstream.arrived().is_none(), "nothing else leaves");

    let proxy = machine.start().await;
    proxy.fetch(&sent).await.is_result(RESULT);
    for handed in &queued {
        // Never sent, and so not interrupted.
        machine.upstream.next().await.echo();
        assert_eq!(proxy.finished(handed).await.status, 200);
    }
    let scrape = Scrape::of(&proxy).await;
    assert_eq!(scrape.sum("later_recovered_total"), 0.0);
}

#[tokio::test]
async fn what_is_counted_adds_up_across_processes() {
    // What is deleted behind the one that is sent is never sent itself.
    let flags = ["--max-size", "1", "--max-in-flight", "1"];
    let mut machine = Machine::new(&flags, &[PATIENT]).await;
    let proxy = machine.start().await;
    let done = proxy.hand_in(JOB).await;
    machine.upstream.next().await.echo();
    proxy.finished(&done).await;
    let _sent = proxy.hand_in(JOB).await;
    let _call = machine.upstream.next().await;
    let deleted = proxy.hand_in(JOB).await;
    assert_eq!(proxy.delete(&deleted).await.status, 204);
    proxy.crash().await;
    let proxy = machine.start().await;
    let handed = proxy.hand_in(JOB).await;
    machine.upstream.next().await.echo();
    proxy.finished(&handed).await;
    let scrape = Scrape::of(&proxy).await;
    for (sample, value) in [
        ("later_accepted_total", 4.0),
        (r#"later_finished_total{outcome="ok"}"#, 2.0),
        (r#"later_finished_total{outcome="interrupted"}"#, 1.0),
        (r#"later_jobs{state="queued"}"#, 0.0),
        (r#"later_jobs{state="sent"}"#, 0.0),
        (r#"later_jobs{state="done"}"#, 2.0),
        (r#"later_jobs{state="failed"}"#, 1.0),
    ] {
        assert_eq!(scrape.get(sample), value, "{sample}: {}", scrape.text);
    }
    assert_eq!(scrape.sum("later_deleted_total"), 1.0);
}
