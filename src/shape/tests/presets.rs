//! Each preset, from calls to replies.

use super::*;

fn problem(shape: &Shape, id: Option<&str>) -> serde_json::Value {
    let body = shape.problem(Problem {
        detail: "a \"b\"",
        code: "queue-full",
        status: 503,
        id: id.map(str::as_bytes),
        document: br#"{"code":"queue-full"}"#,
    });
    serde_json::from_slice(&body.unwrap()).unwrap()
}

#[test]
fn jobs() {
    let shape = shape("like = 'jobs'");
    let calls = calls(&shape, &[r#"{"id":"a","body":1}"#, r#"{"id":2}"#]);
    assert_eq!(batch(&shape, &calls), r#"[{"id":"a","body":1},{"id":2}]"#);
    let with = r#"[{"id":2,"status":404},{"id":"a","error":"no","status":404}]"#;
    let expected = [
        Ok((404, r#"{"id":"a","error":"no","status":404}"#.to_owned())),
        Ok((200, r#"{"id":2,"status":404}"#.to_owned())),
    ];
    assert_eq!(replies(&shape, &calls, with), expected);
    assert!(!shape.lets_alone() && shape.keeps_apart());
    let none = shape.problem(Problem {
        detail: "",
        code: "",
        status: 503,
        id: None,
        document: b"{}",
    });
    assert_eq!((none, shape.problem_status()), (None, None));
}

#[test]
fn json_rpc() {
    let shape = shape("like = 'json-rpc'");
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#;
    let calls = calls(&shape, &[body, body]);
    let sent = body.replace("\"id\":1", "\"id\":7") + "," + &body.replace("\"id\":1", "\"id\":8");
    assert_eq!(batch(&shape, &calls), format!("[{sent}]"));
    let with = r#"[{"jsonrpc":"2.0","id":8,"error":{"code":-32000,"message":"m"}},{"jsonrpc":"2.0","id":7,"result":"0x1"}]"#;
    let expected = [
        r#"{"jsonrpc":"2.0","id":1,"result":"0x1"}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"m"}}"#,
    ];
    assert_eq!(bodies(&shape, &calls, with), expected);
    for alone in [
        r#"{"method":"a"}"#,
        r#"{"id":null}"#,
        r#"{"id":1,"id":2}"#,
        r#"[{"id":1}]"#,
    ] {
        assert_eq!(
            read(&shape, alone).unwrap_err(),
            NotMerged::Alone(Why::Form)
        );
    }
    assert!(shape.write(calls[..1].iter(), FIRST).as_is);
    assert_eq!(shape.problem_status(), Some(200));
    let told = problem(
        &shape,
        calls[0].raw_id().map(|it| str::from_utf8(it).unwrap()),
    );
    let error =
        serde_json::json!({"code": -32603, "message": "a \"b\"", "data": {"code": "queue-full"}});
    assert_eq!(
        told,
        serde_json::json!({"jsonrpc": "2.0", "id": 1, "error": error})
    );
}

#[test]
fn kserve_v1() {
    let shape = shape("like = 'kserve-v1'");
    let calls = calls(
        &shape,
        &[
            r#"{"instances":[[1.0, 2],[3]],"p":1}"#,
            r#"{"instances":[{"x":4}],"p":1}"#,
        ],
    );
    assert_eq!(calls[0].frame(), calls[1].frame());
    let sent = r#"{"instances":[[1.0, 2],[3],{"x":4}],"p":1}"#;
    assert_eq!(batch(&shape, &calls), sent);
    let with = r#"{"predictions": [ [0.1,NaN] , {"error":0.5,"id":3},"c"],"trace":"t"}"#;
    let expected = [
        r#"{"predictions":[[0.1,NaN],{"error":0.5,"id":3}]}"#,
        r#"{"predictions":["c"]}"#,
    ];
    assert_eq!(bodies(&shape, &calls, with), expected);
    assert_eq!(
        problem(&shape, None),
        serde_json::json!({"error": "a \"b\""})
    );
}

#[test]
fn openai_embeddings() {
    let shape = shape("like = 'openai-embeddings'");
    let calls = calls(
        &shape,
        &[
            r#"{"model":"m","input":["ab","cd"]}"#,
            r#"{"model":"m","input":"efgh"}"#,
        ],
    );
    assert_eq!(
        batch(&shape, &calls),
        r#"{"model":"m","input":["ab","cd","efgh"]}"#
    );
    let with = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1]},{"object":"embedding","index":1,"embedding":[2]},{"object":"embedding","index":2,"embedding":[3]}],"model":"m-1","usage":{"prompt_tokens":7,"total_tokens":7}}"#;
    let expected = [
        r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1]},{"object":"embedding","index":1,"embedding":[2]}],"model":"m-1","usage":{"prompt_tokens":4,"total_tokens":4}}"#,
        r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[3]}],"model":"m-1","usage":{"prompt_tokens":3,"total_tokens":3}}"#,
    ];
    assert_eq!(bodies(&shape, &calls, with), expected);
    let error = serde_json::json!({"message": "a \"b\"", "type": "queue-full", "param": null, "code": "queue-full"});
    assert_eq!(problem(&shape, None), serde_json::json!({"error": error}));
}

#[test]
fn graphql() {
    let shape = shape("like = 'graphql'");
    let calls = calls(
        &shape,
        &[r#"{"query":"{a}"}"#, r#"{"query":"{b}","variables":{}}"#],
    );
    assert_eq!(
        batch(&shape, &calls),
        r#"[{"query":"{a}"},{"query":"{b}","variables":{}}]"#
    );
    let with = r#"[{"data":{"a":1}},{"errors":[{"message":"m"}]}]"#;
    let expected = [r#"{"data":{"a":1}}"#, r#"{"errors":[{"message":"m"}]}"#];
    assert_eq!(bodies(&shape, &calls, with), expected);
    assert!(shape.holds_results(400) && shape.holds_results(500) && !shape.holds_results(302));
    for alone in [
        "{}",
        "3",
        r#"{"query":3}"#,
        r#"{"query":""}"#,
        r#"[{"query":"{a}"}]"#,
        r#"{"query":"{a}","Query":"{b}"}"#,
        r#"{"query":"{a}","query":"{b}"}"#,
    ] {
        let found = read(&shape, alone).unwrap_err();
        assert_eq!(found, NotMerged::Alone(Why::Form), "{alone}");
    }
    assert!(shape.write(calls[..1].iter(), FIRST).as_is);
    let error = serde_json::json!({"message": "a \"b\"", "extensions": {"code": "queue-full"}});
    assert_eq!(
        problem(&shape, None),
        serde_json::json!({"errors": [error]})
    );
}

#[test]
fn elasticsearch_index() {
    let shape = shape_of_path("like = 'elasticsearch-index'", &["index"]);
    let request = Request {
        content_type: Some("application/json"),
        captures: &["logs"],
    };
    let bodies = [&b"{\"a\":1}"[..], b"{\n \"a\":2}"];
    let calls = bodies.map(|body| {
        let body = Bytes::from_static(body);
        shape.read(body, request, LIMITS).unwrap()
    });
    let sent = "{\"index\":{\"_index\":\"logs\"}}\n{\"a\":1}\n{\"index\":{\"_index\":\"logs\"}}\n{  \"a\":2}\n";
    assert_eq!(batch(&shape, &calls), sent);
    let with = r#"{"took":3,"errors":true,"items":[{"index":{"_index":"logs","_id":"x","status":201}},{"index":{"status":400,"error":{"type":"t"}}}]}"#;
    let expected = [
        Ok((
            201,
            r#"{"_index":"logs","_id":"x","status":201}"#.to_owned(),
        )),
        Ok((400, r#"{"status":400,"error":{"type":"t"}}"#.to_owned())),
    ];
    assert_eq!(replies(&shape, &calls, with), expected);
    for no_document in [&b"3"[..], b"[{\"a\":1}]", b"\"a\""] {
        let found = shape.read(Bytes::from_static(no_document), request, LIMITS);
        assert_eq!(found.unwrap_err(), NotMerged::Alone(Why::Form));
    }
    assert_eq!(shape.reply_headers(), ["x-elastic-product"]);
    assert_eq!(shape.content_type(), "application/x-ndjson");
    let error = serde_json::json!({"type": "queue-full", "reason": "a \"b\""});
    assert_eq!(
        problem(&shape, None),
        serde_json::json!({"error": error, "status": 503})
    );
}

#[test]
fn cloudevents_and_ndjson() {
    let events = shape("like = 'cloudevents'");
    let request = Request {
        content_type: Some("application/cloudevents+json"),
        captures: &[],
    };
    let half = Bytes::from_static(br#"{"specversion":"1.0","id":"1"}"#);
    let found = events.read(half, request, LIMITS);
    assert_eq!(found.unwrap_err(), NotMerged::Alone(Why::Form));
    let sent = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#;
    let event = Bytes::from_static(sent.as_bytes());
    let event = events.read(event, request, LIMITS).unwrap();
    let calls = [event.clone(), event];
    assert_eq!(batch(&events, &calls), format!("[{sent},{sent}]"));
    assert_eq!(events.content_type(), "application/cloudevents-batch+json");
    assert!(events.has_no_results() && !events.keeps_apart());
    let lines = shape("like = 'ndjson'");
    let calls = super::calls(&lines, &[r#"{"a":1}"#, "2"]);
    assert_eq!(batch(&lines, &calls), "{\"a\":1}\n2\n");
    assert!(lines.has_no_results());
}

#[test]
fn jobs_in_and_another_form_out() {
    let table = "item = '$body'\nbatch = '{\"instances\":[$items]}'\nresults = '/predictions'\n\
        match = 'position'\nreply = '{\"id\":$id,\"body\":$result}'";
    let shape = shape(table);
    let calls = calls(
        &shape,
        &[r#"{"id":"a","body":[1]}"#, r#"{"id":2,"body":{"id":9}}"#],
    );
    assert_eq!(batch(&shape, &calls), r#"{"instances":[[1],{"id":9}]}"#);
    let found = bodies(&shape, &calls, r#"{"predictions":[0.5,{"id":9}]}"#);
    assert_eq!(
        found,
        [r#"{"id":"a","body":0.5}"#, r#"{"id":2,"body":{"id":9}}"#]
    );
}
