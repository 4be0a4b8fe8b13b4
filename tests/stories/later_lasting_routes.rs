//! Section 11 of the contract: jobs of any route outlive the process as they came; and what
//! becomes of them where the settings have changed meanwhile.

use serde_json::Value;

use crate::harness::{Handed, Machine, Request, call, route};

fn later(path: &str, body: &str) -> Request {
    call(path, body).header("prefer", "respond-async")
}

const PATIENT: (&str, &str) = ("LATER__MAX_WAIT", "50s");

/// A route with a header that travels.
fn embed() -> String {
    let route = route(
        "embed",
        "/embed/{model}",
        "openai-embeddings",
        "/up/{model}",
    );
    let header = "forward_headers = [\"x-tenant\"]\n[routes.embed.upstream]";
    route.replace("[routes.embed.upstream]", header)
}

#[tokio::test]
async fn frames_and_what_travels_with_a_batch_survive() {
    let mut machine = Machine::new(&[], &[PATIENT]).await;
    let proxy = machine.start_with(&embed()).await;
    let mut handed = Vec::new();
    for (path, tenant, input) in [
        ("/embed/m%20n?x=1", "a", "\"one\""),
        ("/embed/m%20n?x=1", "b", "\"two\""),
        ("/embed/m%20n?x=2", "a", "\"three\""),
        ("/embed/m%20n?x=1", "a", "[\"four\",\"five\"]"),
    ] {
        let body = format!(r#"{{"input":{input},"model":"m"}}"#);
        let request = later(path, &body).header("x-tenant", tenant);
        let request = request.header(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        );
        handed.push(Handed::of(&proxy.send(request).await));
    }
    proxy.crash().await;

    let proxy = machine.start_with(&embed()).await;
    assert_eq!(proxy.flush().await, 4);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let call = machine.upstream.next().await;
        let body: Value = serde_json::from_slice(&call.body).unwrap();
        let inputs = body["input"].as_array().map_or(1, Vec::len);
        seen.push(format!(
            "{} {} {}",
            call.path,
            call.header("x-tenant"),
            body["input"]
        ));
        let data: Vec<_> = (0..inputs)
            .map(|it| format!(r#"{{"index":{it},"e":{it}}}"#))
            .collect();
        call.ok(format!(
            r#"{{"data":[{}],"model":"m","usage":null}}"#,
            data.join(",")
        ));
    }
    seen.sort();
    assert_eq!(
        seen,
        [
            r#"/up/m%20n?x=1 a ["one","four","five"]"#,
            r#"/up/m%20n?x=1 b "two""#,
            r#"/up/m%20n?x=2 a "three""#,
        ]
    );
    for handed in &handed {
        assert_eq!(proxy.finished(handed).await.status, 200);
    }
}

#[tokio::test]
async fn jobs_of_a_route_that_is_gone_wait_for_it() {
    let env = [PATIENT, ("LATER__JOB_TIMEOUT", "60s")];
    let mut machine = Machine::new(&[], &env).await;
    let proxy = machine.start_with(&embed()).await;
    let handed = Handed::of(&proxy.send(later("/embed/m", r#"{"input":"a"}"#)).await);
    proxy.crash().await;

    let proxy = machine.start().await;
    let told = |line: &crate::harness::Line| line.message().contains("not in the settings");
    let line = proxy.log.wait_for("a route that is gone", told).await;
    assert_eq!((line.text("route"), line.number("jobs")), ("embed", 1));
    assert_eq!(proxy.state(&handed).await, "queued");
    proxy.flush().await;
    assert_eq!(proxy.state(&handed).await, "queued");
    proxy.crash().await;

    let proxy = machine.start_with(&embed()).await;
    assert_eq!(proxy.flush().await, 1);
    let call = machine.upstream.next().await;
    call.ok(r#"{"data":[{"index":0,"e":1}],"model":"m","usage":null}"#);
    assert_eq!(proxy.finished(&handed).await.status, 200);
}

#[tokio::test]
async fn a_job_that_its_route_reads_no_longer_is_answered_so() {
    let machine = Machine::new(&[], &[PATIENT]).await;
    let proxy = machine.start_with(&embed()).await;
    let handed = Handed::of(&proxy.send(later("/embed/m", r#"{"input":"a"}"#)).await);
    proxy.crash().await;

    let changed = embed().replace("openai-embeddings", "jobs");
    let proxy = machine.start_with(&changed).await;
    proxy.flush().await;
    let answer = proxy.finished(&handed).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    let told = |line: &crate::harness::Line| line.message().contains("can't be read again");
    let line = proxy.log.wait_for("an unreadable job", told).await;
    assert_eq!(line.text("route"), "embed");
}

#[tokio::test]
async fn what_was_not_sent_in_time_says_so_after_a_restart() {
    let env = [("LATER__MAX_WAIT", "2900ms"), ("LATER__JOB_TIMEOUT", "3s")];
    let machine = Machine::new(&[], &env).await;
    let proxy = machine.start_with(&embed()).await;
    let handed = Handed::of(&proxy.send(later("/embed/m", r#"{"input":"a"}"#)).await);
    proxy.crash().await;

    // Its route is gone, so that nobody sends it.
    let proxy = machine.start().await;
    let answer = proxy.finished(&handed).await;
    answer.problem(503, "queue-timeout", "no");
}
