//! Section 11 of the contract: finished jobs are told on a stream.

use serde_json::{Value, json};

use crate::harness::{Event, H2c, Handed, Listening, Proxy, Request, ScriptedUpstream, eventually};

async fn start(env: &[(&str, &str)]) -> (Proxy, ScriptedUpstream) {
    let upstream = ScriptedUpstream::start().await;
    let env = [&[("MICROBATCH_LATER__MAX_WAIT", "0")], env].concat();
    let proxy = Proxy::start(&upstream.url(), &[], &env).await;
    (proxy, upstream)
}

/// Hands a job in to the stream `s`, and has it finished.
async fn done(proxy: &Proxy, upstream: &mut ScriptedUpstream, id: u32) -> Handed {
    let handed = proxy
        .hand_in_to("/jobs?stream=s", &format!(r#"{{"id":{id}}}"#))
        .await;
    upstream.next().await.echo();
    proxy.finished(&handed).await;
    handed
}

fn told(event: &Event) -> (String, Value) {
    (event.event.clone(), event.json())
}

fn line(handed: &Handed, id: u32) -> Value {
    let body = json!({"id": id, "result": null});
    json!({"handle": handed.handle, "id": id, "status": 200, "body": body})
}

fn after(last: &str) -> Request {
    Request::new("GET", "/streams/s").header("last-event-id", last)
}

#[tokio::test]
async fn whoever_listens_hears_of_each_in_the_order_of_finishing() {
    let (proxy, mut upstream) = start(&[("MICROBATCH_BATCH__MAX_SIZE", "1")]).await;
    // Before there is any record of that name.
    let mut early = Listening::to_stream(&proxy, "s").await;
    assert_eq!(early.head.status, 200);
    assert_eq!(early.head.header("content-type"), "text/event-stream");
    assert_eq!(early.head.header("cache-control"), "no-store");
    assert_eq!(early.head.header("x-content-type-options"), "nosniff");
    let first = proxy.hand_in_to("/jobs?stream=s", r#"{"id":1}"#).await;
    let call_of_first = upstream.next().await;
    let second = proxy.hand_in_to("/jobs?stream=s", r#"{"id":2}"#).await;
    // One of no stream, and one of another, are not told here.
    let others = [
        proxy.hand_in(r#"{"id":3}"#).await,
        proxy.hand_in_to("/jobs?stream=other", r#"{"id":4}"#).await,
    ];
    for _ in 0..3 {
        upstream.next().await.echo();
    }
    for other in &others {
        proxy.finished(other).await;
    }
    proxy.finished(&second).await;
    call_of_first.answer(500, &[], "");
    proxy.finished(&first).await;
    let mut late = Listening::to_stream(&proxy, "s").await;
    for listening in [&mut early, &mut late] {
        let heard = [
            listening.event().await.unwrap(),
            listening.event().await.unwrap(),
        ];
        assert_eq!(told(&heard[0]), ("done".to_owned(), line(&second, 2)));
        assert!(heard[0].id.unwrap() < heard[1].id.unwrap(), "{heard:?}");
        let (event, failed) = told(&heard[1]);
        assert_eq!((&event[..], &failed["status"]), ("failed", &json!(502)));
        assert_eq!(failed["handle"], first.handle);
        // The body is that of the answer.
        assert_eq!(failed["body"], proxy.fetch(&first).await.json());
    }
}

#[tokio::test]
async fn it_goes_on_after_the_last_event_that_was_heard() {
    let (proxy, mut upstream) = start(&[]).await;
    for id in 1..=3 {
        done(&proxy, &mut upstream, id).await;
    }
    let mut listening = Listening::to_stream(&proxy, "s").await;
    let first = listening.event().await.unwrap();
    assert_eq!(first.json()["id"], 1);
    let last = first.id.unwrap().to_string();
    let mut again = Listening::to(&proxy, after(&last)).await;
    for id in [2, 3] {
        let event = again.event().await.unwrap();
        assert_eq!(
            (event.json()["id"].clone(), event.event),
            (json!(id), "done".to_owned())
        );
    }
    let fourth = done(&proxy, &mut upstream, 4).await;
    assert_eq!(again.event().await.unwrap().json(), line(&fourth, 4));
}

#[tokio::test]
async fn what_was_deleted_is_no_gap() {
    let (proxy, mut upstream) = start(&[]).await;
    done(&proxy, &mut upstream, 1).await;
    let deleted = done(&proxy, &mut upstream, 2).await;
    let third = done(&proxy, &mut upstream, 3).await;
    let mut listening = Listening::to_stream(&proxy, "s").await;
    let first = listening.event().await.unwrap();
    proxy.delete(&deleted).await;
    let mut again = Listening::to(&proxy, after(&first.id.unwrap().to_string())).await;
    assert_eq!(again.event().await.unwrap().json(), line(&third, 3));
}

#[tokio::test]
async fn what_has_expired_is_a_gap() {
    let (proxy, mut upstream) = start(&[("MICROBATCH_LATER__KEEP", "1s")]).await;
    let mut listening = Listening::to_stream(&proxy, "s").await;
    proxy.hand_in_to("/jobs?stream=s", r#"{"id":1}"#).await;
    upstream.next().await.echo();
    let first = listening.event().await.unwrap();
    drop(listening);
    let missed = proxy.hand_in_to("/jobs?stream=s", r#"{"id":2}"#).await;
    upstream.next().await.echo();
    eventually("the answer to expire", || async {
        (proxy.fetch(&missed).await.status == 404).then_some(())
    })
    .await;
    let last = first.id.unwrap().to_string();
    let mut again = Listening::to(&proxy, after(&last)).await;
    let gap = again.event().await.unwrap();
    assert_eq!((&gap.event[..], &gap.data[..], gap.id), ("gap", "", None));
    let mut lines = Listening::to(
        &proxy,
        after(&last).header("accept", "application/x-ndjson"),
    )
    .await;
    assert_eq!(lines.line().await.unwrap(), json!({"gap": true}));
    // Both go on from there.
    let third = proxy.hand_in_to("/jobs?stream=s", r#"{"id":3}"#).await;
    upstream.next().await.echo();
    assert_eq!(again.event().await.unwrap().json(), line(&third, 3));
    assert_eq!(lines.line().await.unwrap(), line(&third, 3));
}

#[tokio::test]
async fn a_last_event_id_that_cannot_be_read_is_answered_by_a_gap() {
    let (proxy, mut upstream) = start(&[]).await;
    let first = done(&proxy, &mut upstream, 1).await;
    for last in ["x", "-1", "+1", "1.5", "99999999999999999999999", "1 2"] {
        let mut listening = Listening::to(&proxy, after(last)).await;
        let gap = listening.event().await.unwrap();
        assert_eq!(gap.event, "gap", "{last}");
        assert_eq!(listening.event().await.unwrap().json(), line(&first, 1));
    }
    let twice = after("1").header("last-event-id", "1");
    let mut listening = Listening::to(&proxy, twice).await;
    assert_eq!(listening.event().await.unwrap().event, "gap");
}

#[tokio::test]
async fn one_that_was_heard_before_a_restart_is_answered_by_a_gap() {
    let (proxy, mut upstream) = start(&[]).await;
    done(&proxy, &mut upstream, 1).await;
    let mut listening = Listening::to_stream(&proxy, "s").await;
    let last = listening.event().await.unwrap().id.unwrap().to_string();
    drop((listening, proxy));
    let (proxy, mut upstream) = start(&[]).await;
    // Also where nothing has happened since, or on another stream alone.
    let mut early = Listening::to(&proxy, after(&last)).await;
    assert_eq!(early.event().await.unwrap().event, "gap");
    let second = done(&proxy, &mut upstream, 2).await;
    let mut late = Listening::to(&proxy, after(&last)).await;
    assert_eq!(late.event().await.unwrap().event, "gap");
    for listening in [&mut early, &mut late] {
        let event = listening.event().await.unwrap();
        assert_eq!(event.json(), line(&second, 2));
        assert!(
            event.id.unwrap() > last.parse().unwrap(),
            "{event:?} after {last}"
        );
    }
}

#[tokio::test]
async fn a_line_each_for_those_who_ask_for_lines() {
    let (proxy, mut upstream) = start(&[]).await;
    let first = done(&proxy, &mut upstream, 1).await;
    for accept in [
        "application/x-ndjson",
        "text/html, Application/X-NDJSON;q=0.5",
    ] {
        let request = Request::new("GET", "/streams/s").header("accept", accept);
        let mut listening = Listening::to(&proxy, request).await;
        assert_eq!(
            listening.head.header("content-type"),
            "application/x-ndjson"
        );
        assert_eq!(listening.line().await.unwrap(), line(&first, 1));
    }
    for accept in ["*/*", "application/x-ndjson;q=0", "application/json"] {
        let request = Request::new("GET", "/streams/s").header("accept", accept);
        let listening = Listening::to(&proxy, request).await;
        assert_eq!(listening.head.header("content-type"), "text/event-stream");
    }
}

#[tokio::test]
async fn an_answer_is_told_on_one_line_whatever_it_is() {
    let (proxy, mut upstream) = start(&[]).await;
    let mut events = Listening::to_stream(&proxy, "s").await;
    let lines = Request::new("GET", "/streams/s").header("accept", "application/x-ndjson");
    let mut lines = Listening::to(&proxy, lines).await;
    let json = ("content-type", "application/json");
    let text = ("content-type", "text/plain");
    for (status, content_type, body, expected) in [
        (
            200,
            json,
            "[{\"id\":1,\r\n\n \"n\":[1,\n2]}]",
            json!({"id": 1, "n": [1, 2]}),
        ),
        (400, json, "[\n1\n]", json!([1])),
        (
            400,
            text,
            "one\ndata: two\r\n\r\n",
            json!("one\ndata: two\r\n\r\n"),
        ),
        (400, text, "1", json!("1")),
    ] {
        proxy.hand_in_to("/jobs?stream=s", r#"{"id":1}"#).await;
        upstream.next().await.answer(status, &[content_type], body);
        let event = events.event().await.unwrap();
        assert!(!event.data.contains('\n'), "{event:?}");
        assert_eq!(event.json()["body"], expected);
        assert_eq!(event.json()["status"], status);
        assert_eq!(lines.line().await.unwrap()["body"], expected);
    }
}

#[tokio::test]
async fn a_job_without_a_result_has_no_body() {
    let (proxy, mut upstream) = start(&[("MICROBATCH_SHAPE__RESULTS", "none")]).await;
    let handed = proxy.hand_in_to("/jobs?stream=s", r#"{"id":"a"}"#).await;
    upstream.next().await.answer(200, &[], "");
    let mut listening = Listening::to_stream(&proxy, "s").await;
    let event = listening.event().await.unwrap();
    let expected = json!({"handle": handed.handle, "id": "a", "status": 204, "body": null});
    assert_eq!(told(&event), ("done".to_owned(), expected));
}

#[tokio::test]
async fn numbers_travel_as_they_are_written() {
    let (proxy, mut upstream) = start(&[]).await;
    proxy
        .hand_in_to("/jobs?stream=s", r#"{"id":18446744073709551615}"#)
        .await;
    let element = r#"{"id":18446744073709551615,"n":1.00,"n":123456789012345678901234567890}"#;
    upstream.next().await.ok(format!("[{element}]"));
    let mut listening = Listening::to_stream(&proxy, "s").await;
    let data = listening.event().await.unwrap().data;
    assert!(
        data.contains(r#""id":18446744073709551615,"status":200"#),
        "{data}"
    );
    assert!(data.ends_with(&format!("\"body\":{element}}}")), "{data}");
}

#[tokio::test]
async fn the_head_alone_and_bad_names() {
    let (proxy, _upstream) = start(&[]).await;
    let answer = proxy.send(Request::new("HEAD", "/streams/s")).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, "text/event-stream")
    );
    let h2 = H2c::connect(proxy.jobs_addr).await;
    let answer = h2.send(Request::new("HEAD", "/streams/s")).await;
    assert_eq!((answer.status, answer.text()), (200, ""));
    for name in ["a%20b", "%FF", "a,b", &"a".repeat(65), "%2F"] {
        let answer = proxy
            .send(Request::new("GET", &format!("/streams/{name}")))
            .await;
        answer.problem(400, "invalid-parameter", "no");
    }
}
