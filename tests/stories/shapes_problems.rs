//! Section 10 of the contract: what the proxy says itself on a route is in the form that its
//! callers understand, refusals included.

use serde_json::json;

use crate::harness::{Peer, PeerUpstream, Proxy, Routes, answers, call, route};

const RPC: &str = r#"{"jsonrpc":"2.0","id":"a","method":"m"}"#;
const CALL: &str = r#"{"instances":[1]}"#;

#[tokio::test]
async fn a_failure_is_told_in_the_shapes_form() {
    let settings = [
        route("rpc", "/rpc", "json-rpc", "/rpc"),
        route("predict", "/predict", "kserve-v1", "/predict"),
        route("embed", "/embed", "openai-embeddings", "/embed"),
        route("graphql", "/graphql", "graphql", "/graphql"),
        route("index", "/{index}/_doc", "elasticsearch-index", "/_bulk"),
    ];
    let mut routes = Routes::start(&settings.concat()).await;
    for (path, body, status, form) in [
        (
            "/rpc",
            RPC,
            200,
            json!({"jsonrpc": "2.0", "id": "a", "error": {"code": -32603, "message": "DETAIL", "data": "PROBLEM"}}),
        ),
        ("/predict", CALL, 502, json!({"error": "DETAIL"})),
        (
            "/embed",
            r#"{"input":"a"}"#,
            502,
            json!({"error": {"message": "DETAIL", "type": "upstream-error", "param": null, "code": "upstream-error"}}),
        ),
        (
            "/graphql",
            r#"{"query":"{a}"}"#,
            // 500 may have results, and this has none: it is a failure like any other.
            502,
            json!({"errors": [{"message": "DETAIL", "extensions": {"code": "upstream-error"}}]}),
        ),
        (
            "/x/_doc",
            "{}",
            502,
            json!({"error": {"type": "upstream-error", "reason": "DETAIL"}, "status": 502}),
        ),
    ] {
        let callers = routes.queue(path, &[body, body]).await;
        routes.flushed().await.answer(500, &[], "<html>");
        for answer in answers(callers).await {
            assert_eq!(answer.status, status, "{path}: {answer:?}");
            assert_eq!(answer.header("content-type"), "application/json");
            assert_eq!(answer.header("x-batch-size"), "2");
            let mut told = answer.json();
            for place in [
                "/error/message",
                "/error",
                "/errors/0/message",
                "/error/reason",
            ] {
                if let Some(detail) = told.pointer_mut(place).filter(|it| it.is_string()) {
                    assert!(detail.as_str().unwrap().contains("upstream"), "{answer:?}");
                    *detail = json!("DETAIL");
                }
            }
            if let Some(data) = told.pointer_mut("/error/data") {
                assert_eq!(data["code"], "upstream-error");
                assert_eq!((&data["status"], &data["id"]), (&json!(502), &json!("a")));
                *data = json!("PROBLEM");
            }
            assert_eq!(told, form);
        }
    }
}

#[tokio::test]
async fn a_refusal_is_too_and_keeps_its_headers() {
    let settings = [
        "[batch]\nmax_size = 1\n[queue]\nmax_jobs = 1\n[upstream]\nmax_in_flight = 1\n",
        &route("rpc", "/rpc", "json-rpc", "/rpc"),
        "max_in_flight = 1\n",
        &route("predict", "/predict", "kserve-v1", "/predict"),
        "max_in_flight = 1\n",
    ];
    let mut routes = Routes::start(&settings.concat()).await;
    for (path, body, status) in [("/rpc", RPC, 200), ("/predict", CALL, 503)] {
        let first = routes.queue_one(call(path, body)).await;
        let under_way = routes.upstream.next().await;
        let second = routes.queue_one(call(path, body)).await;
        let refused = routes.proxy.send(call(path, body)).await;
        assert_eq!(refused.status, status, "{refused:?}");
        assert_eq!(refused.header("content-type"), "application/json");
        assert!(!refused.header("retry-after").is_empty());
        assert!(refused.text().contains("too many jobs are waiting"));
        under_way.ok("{}");
        routes.upstream.next().await.ok("{}");
        for answer in answers(vec![first, second]).await {
            assert_eq!((answer.status, answer.text()), (200, "{}"));
        }
    }
}

#[tokio::test]
async fn so_are_a_broken_wait_and_a_body_that_never_came() {
    let settings = [
        "[server]\nread_timeout = \"100ms\"\n",
        &route("predict", "/predict", "kserve-v1", "/p"),
    ];
    let mut routes = Routes::start(&settings.concat()).await;
    let impatient = call("/predict", CALL).header("prefer", "wait=0");
    let answer = routes.proxy.send(impatient).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(
        answer.json()["error"]
            .as_str()
            .unwrap()
            .contains("deadline")
    );
    let mut client = crate::harness::RawClient::connect(routes.proxy.jobs_addr).await;
    client
        .write("POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\n{")
        .await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 408, "{answer:?}");
    assert!(answer.json()["error"].is_string());
    assert!(routes.upstream.arrived().is_none());
}

#[tokio::test]
async fn so_is_an_open_circuit() {
    let settings = [
        "[circuit]\nfailures = 1\nopen_for = \"1h\"\n[retry]\nmax_attempts = 1\n",
        &route("rpc", "/rpc", "json-rpc", "/rpc"),
        &route("predict", "/predict", "kserve-v1", "/predict"),
    ];
    let mut routes = Routes::start(&settings.concat()).await;
    for (path, body, status, place) in [
        ("/rpc", RPC, 200, "/error/message"),
        ("/predict", CALL, 503, "/error"),
    ] {
        let callers = routes.queue(path, &[body, body]).await;
        routes.flushed().await.answer(500, &[], "");
        answers(callers).await;
        let refused = routes.proxy.send(call(path, body)).await;
        assert_eq!(refused.status, status, "{refused:?}");
        assert!(!refused.header("retry-after").is_empty());
        let told = refused.json().pointer(place).cloned();
        let told = told.unwrap_or_default().to_string();
        assert!(told.contains("is left alone"), "{refused:?}");
    }
    assert!(routes.upstream.arrived().is_none());
}

#[tokio::test]
async fn the_id_in_a_problem_is_the_one_that_was_sent_byte_for_byte() {
    let mut routes = Routes::of("/rpc", "json-rpc", "/rpc").await;
    for id in [r#""\u00e9\/""#, r#""\u0061""#, r#""a""#, "-7"] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"m"}}"#);
        let other = r#"{"jsonrpc":"2.0","id":"other","method":"m"}"#;
        let callers = routes.queue("/rpc", &[&body, other]).await;
        routes.flushed().await.answer(500, &[], "<html>");
        let answers = answers(callers).await;
        let form = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32603,"#);
        let told = answers[0].text();
        assert!(told.starts_with(&form), "{told}");
    }
}

#[tokio::test]
async fn an_upstream_that_changes_protocols_unasked_has_failed() {
    let upstream = PeerUpstream::start().await;
    let url = upstream.url("/predict");
    let env = [
        ("MICROBATCH_ROUTES__PREDICT__PATH", "/predict"),
        ("MICROBATCH_ROUTES__PREDICT__SHAPE", "kserve-v1"),
        ("MICROBATCH_ROUTES__PREDICT__UPSTREAM__URL", &url),
    ];
    let proxy = Proxy::start(&url, &["--max-wait", "0"], &env).await;
    let mut caller = Peer::connect(proxy.jobs_addr).await;
    let length = CALL.len();
    caller
        .write(format!(
            "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{CALL}"
        ))
        .await;
    let mut wire = upstream.accept().await;
    wire.until(CALL).await;
    wire.write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        .await;
    let answer = caller.until("\"}").await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert!(
        answer.contains(r#"{"error":"the upstream failed"#),
        "{answer}"
    );
}
