//! Section 11 of the contract on every route: the delayed answer is the same answer.

use serde_json::Value;

use crate::harness::{Handed, Listening, Request, Routes, answers, call, route};

fn later(path: &str, body: &str) -> Request {
    call(path, body).header("prefer", "respond-async")
}

#[tokio::test]
async fn the_delayed_answer_is_the_same_answer() {
    let settings = route("embed", "/embed", "openai-embeddings", "/embed");
    let mut routes = Routes::start(&settings).await;
    let mut listening = Listening::to_stream(&routes.proxy, "s").await;
    // The stream is the proxy's own word; the rest of the query is the frame's.
    let path = "/embed?a=1&stream=s&b";
    let answer = routes.proxy.send(later(path, r#"{"input":"a"}"#)).await;
    assert_eq!(answer.json()["id"], Value::Null);
    let handed = Handed::of(&answer);
    let caller = routes.queue("/embed?a=1&b", &[r#"{"input":"a"}"#]).await;
    let batch = routes.flushed().await;
    assert_eq!(batch.path, "/embed?a=1&b");
    assert_eq!(batch.body, r#"{"input":["a","a"]}"#);
    batch.ok(r#"{"data":[{"index":0,"e":1},{"index":1,"e":1}],"model":"m","usage":null}"#);
    let told = answers(caller).await;
    let fetched = routes.proxy.finished(&handed).await;
    assert_eq!((fetched.status, fetched.text()), (200, told[0].text()));
    assert_eq!(fetched.header("x-batch-size"), "2");
    let event = listening.event().await.unwrap();
    assert_eq!(event.json()["id"], Value::Null);
    assert_eq!(event.json()["body"].to_string(), {
        let body: Value = told[0].json();
        body.to_string()
    });
}

#[tokio::test]
async fn a_failure_is_kept_in_the_shapes_form() {
    let settings = route("predict", "/predict", "kserve-v1", "/predict");
    let mut routes = Routes::start(&settings).await;
    let body = r#"{"instances":[1]}"#;
    let handed = Handed::of(&routes.proxy.send(later("/predict", body)).await);
    let callers = routes.queue("/predict", &[body]).await;
    routes.flushed().await.ok(r#"{"predictions":[1]}"#);
    let told = answers(callers).await;
    let fetched = routes.proxy.finished(&handed).await;
    assert_eq!(
        (fetched.status, fetched.header("x-job-state")),
        (502, "failed")
    );
    assert_eq!(fetched.text(), told[0].text());
    assert!(fetched.json()["error"].is_string(), "{fetched:?}");
}

#[tokio::test]
async fn what_goes_alone_ignores_the_preference() {
    let settings = route("predict", "/predict", "kserve-v1", "/predict");
    let mut routes = Routes::start(&settings).await;
    // What would be wrong with it is nobody's business then.
    let request = later(
        "/predict?stream=not a name".replace(' ', "+").as_str(),
        r#"{"other":1}"#,
    );
    let (passed, caller) = routes.alone(request.header("idempotency-key", "")).await;
    assert_eq!(passed.path, "/predict?stream=not+a+name");
    assert_eq!(passed.header("prefer"), "respond-async");
    passed.answer(422, &[], "no instances");
    let answer = caller.answer().await;
    assert_eq!((answer.status, answer.text()), (422, "no instances"));
    assert_eq!(answer.header("location"), "");
    // Where it is merged it is told, in the shape's form.
    let request = later("/predict?stream=a+b", r#"{"instances":[1]}"#);
    let answer = routes.proxy.send(request).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.json()["error"].as_str().unwrap().contains("stream"));
}

#[tokio::test]
async fn a_key_does_not_make_a_call_for_later_go_alone() {
    let settings = route("predict", "/predict", "kserve-v1", "/predict");
    let mut routes = Routes::start(&settings).await;
    let body = r#"{"instances":[1]}"#;
    let request = later("/predict", body).header("idempotency-key", "k");
    let first = Handed::of(&routes.proxy.send(request.clone()).await);
    let again = Handed::of(&routes.proxy.send(request).await);
    assert_eq!(first.handle, again.handle);
    let sent = routes.flushed().await;
    assert_eq!(sent.body, body);
    sent.ok("{}");
    routes.proxy.finished(&first).await;
}
