//! Section 10 of the contract: shapes, by an upstream that was written for no proxy.
//!
//! | what is said | story |
//! |---|---|
//! | presets | `json_rpc`, `kserve`, `embeddings`, `graphql`, `elasticsearch`, `cloudevents`, `ndjson` |
//! | jobs in, another form out | `jobs_reach_a_service_that_takes_another_form` |
//! | several items in one call | `kserve`, `embeddings`; their limit in `shapes_alone` |
//! | one odd caller spoils no other | `one_odd_caller_spoils_no_other` |
//! | counts, indices, ids that disagree | `whoever_counts_wrong_gives_nobody_anything` |
//! | `nan` | `bare_nan_passes_where_the_shape_says_so` |
//! | a batch of one call, as it came | `a_call_that_is_alone_in_its_batch_has_all_of_the_answer` |
//! | only what a reply names leaves an answer | `embeddings`, `kserve` |

use serde_json::Value;

use crate::harness::{Answer, Routes, answers, call};

fn bodies(answers: &[Answer]) -> Vec<&str> {
    answers.iter().map(Answer::text).collect()
}

fn all_are(answers: &[Answer], status: u16) {
    for answer in answers {
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.header("x-batch-size"), answers.len().to_string());
        assert_eq!(answer.header("content-type"), "application/json");
    }
}

#[tokio::test]
async fn json_rpc() {
    let mut routes = Routes::of("/rpc", "json-rpc", "/").await;
    let request =
        |id: &str, method| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}"}}"#);
    // They all count from 1.
    let (a, b, c) = (
        request("1", "a"),
        request("1", "b"),
        request("\"x\\u0041\"", "c"),
    );
    let callers = routes.queue("/rpc", &[&a, &b, &c]).await;
    let batch = routes.flushed().await;
    let ids = batch.ids();
    assert!(ids.iter().all(Value::is_u64) && ids[0] != ids[1], "{ids:?}");
    batch.ok(format!(
        r#"[{{"jsonrpc":"2.0","id":{},"error":{{"code":-32000,"message":"no"}}}},{{"id":{},"result":"b"}},{{"id":{},"result":"a"}}]"#,
        ids[2], ids[1], ids[0]
    ));
    let told = answers(callers).await;
    all_are(&told, 200);
    assert_eq!(
        bodies(&told),
        [
            r#"{"id":1,"result":"a"}"#,
            r#"{"id":1,"result":"b"}"#,
            r#"{"jsonrpc":"2.0","id":"x\u0041","error":{"code":-32000,"message":"no"}}"#
        ]
    );
}

#[tokio::test]
async fn kserve() {
    let mut routes = Routes::of("/v1/models/{model}", "kserve-v1", "/v1/models/{model}").await;
    let (a, b) = (
        r#"{"instances":[[1.0, 2]]}"#,
        r#"{"instances":[ [3] ,[4]]}"#,
    );
    let callers = routes.queue("/v1/models/m:predict", &[a, b]).await;
    let batch = routes.flushed().await;
    assert_eq!(batch.path, "/v1/models/m:predict");
    assert_eq!(batch.header("x-batch-size"), "3");
    assert_eq!(batch.body, r#"{"instances":[[1.0, 2],[3],[4]]}"#);
    batch.ok(r#"{"predictions":[1.50,{"a":2},"c"],"secret":"of all"}"#);
    let told = answers(callers).await;
    assert_eq!(
        bodies(&told),
        [
            r#"{"predictions":[1.50]}"#,
            r#"{"predictions":[{"a":2},"c"]}"#
        ]
    );
    assert_eq!(told[1].header("x-batch-size"), "3");
}

#[tokio::test]
async fn embeddings() {
    let mut routes = Routes::of("/v1/embeddings", "openai-embeddings", "/v1/embeddings").await;
    let one = r#"{"model":"m","input":"aa"}"#;
    let two = r#"{"model":"m","input":["bb","cc"]}"#;
    let callers = routes.queue("/v1/embeddings", &[one, two]).await;
    let batch = routes.flushed().await;
    assert_eq!(batch.body, r#"{"model":"m","input":["aa","bb","cc"]}"#);
    let element = |n| format!(r#"{{"object":"embedding","index":{n},"embedding":[0.{n}]}}"#);
    batch.ok(format!(
        r#"{{"object":"list","data":[{},{},{}],"model":"m","usage":{{"prompt_tokens":9,"total_tokens":12}}}}"#,
        element(2), element(0), element(1)
    ));
    let told = answers(callers).await;
    let told: Vec<_> = told.iter().map(Answer::json).collect();
    let indices = |told: &Value| -> Vec<String> {
        let data = told["data"].as_array().unwrap().iter();
        data.map(|it| format!("{} {}", it["index"], it["embedding"]))
            .collect()
    };
    assert_eq!(indices(&told[0]), ["0 [0.0]"]);
    assert_eq!(indices(&told[1]), ["0 [0.1]", "1 [0.2]"]);
    let usage = |at: usize| told[at]["usage"].to_string();
    assert_eq!(usage(0), r#"{"prompt_tokens":3,"total_tokens":4}"#);
    assert_eq!(usage(1), r#"{"prompt_tokens":6,"total_tokens":8}"#);
}

#[tokio::test]
async fn graphql() {
    let mut routes = Routes::of("/graphql", "graphql", "/graphql").await;
    let (a, b) = (r#"{"query":"{a}"}"#, r#"{"query":"{b"}"#);
    let callers = routes.queue("/graphql", &[a, b]).await;
    let batch = routes.flushed().await;
    assert_eq!(batch.body, format!("[{a},{b}]"));
    let json = [("content-type", "application/json")];
    batch.answer(
        400,
        &json,
        r#"[{"data":{"a":1}},{"errors":[{"message":"syntax"}]}]"#,
    );
    let told = answers(callers).await;
    all_are(&told, 200);
    let syntax = r#"{"errors":[{"message":"syntax"}]}"#;
    assert_eq!(bodies(&told), [r#"{"data":{"a":1}}"#, syntax]);
}

#[tokio::test]
async fn elasticsearch() {
    let mut routes = Routes::of("/{index}/_doc", "elasticsearch-index", "/_bulk").await;
    let callers = routes
        .queue("/a%22b/_doc", &["{\"n\":\n1}", r#"{"n":2}"#])
        .await;
    let batch = routes.flushed().await;
    assert_eq!(batch.path, "/_bulk");
    assert_eq!(batch.header("content-type"), "application/x-ndjson");
    let action = r#"{"index":{"_index":"a\"b"}}"#;
    assert_eq!(
        batch.body,
        format!("{action}\n{{\"n\": 1}}\n{action}\n{{\"n\":2}}\n")
    );
    let headers = [
        ("content-type", "application/json"),
        ("x-elastic-product", "Elasticsearch"),
        ("x-other", "1"),
    ];
    let created = r#"{"_id":"1","status":201}"#;
    let failed = r#"{"_id":"2","status":400,"error":{"type":"t"}}"#;
    let items = format!(r#"{{"took":1,"items":[{{"index":{created}}},{{"index":{failed}}}]}}"#);
    batch.answer(200, &headers, items);
    let told = answers(callers).await;
    assert_eq!(bodies(&told), [created, failed]);
    assert_eq!((told[0].status, told[1].status), (201, 400));
    assert_eq!(told[0].header("x-elastic-product"), "Elasticsearch");
    assert_eq!(told[0].header("x-other"), "");
}

#[tokio::test]
async fn cloudevents() {
    let mut routes = Routes::of("/events", "cloudevents", "/sink").await;
    let mut callers = Vec::new();
    let event = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#;
    for event in [event, event] {
        let event = crate::harness::Request::untyped(event).to("POST", "/events");
        let event = event.header(
            "content-type",
            "application/cloudevents+json; charset=UTF-8",
        );
        callers.push(routes.queue_one(event).await);
    }
    let batch = routes.flushed().await;
    let batched = "application/cloudevents-batch+json";
    assert_eq!(batch.header("content-type"), batched);
    assert_eq!(batch.body, format!("[{event},{event}]"));
    batch.answer(202, &[], "whatever");
    for answer in answers(callers).await {
        assert_eq!((answer.status, answer.text()), (204, ""));
        assert_eq!(answer.header("content-type"), "");
    }
}

#[tokio::test]
async fn ndjson() {
    let mut routes = Routes::of("/insert", "ndjson", "/?query=INSERT").await;
    let callers = routes.queue("/insert?db=x", &["{\"a\":\n1}", "[2]"]).await;
    let batch = routes.flushed().await;
    assert_eq!(batch.path, "/?query=INSERT&db=x");
    assert_eq!(batch.body, "{\"a\": 1}\n[2]\n");
    batch.answer(200, &[], "");
    for answer in answers(callers).await {
        assert_eq!((answer.status, answer.text()), (204, ""));
    }
}

#[tokio::test]
async fn jobs_reach_a_service_that_takes_another_form() {
    let settings = r#"
        [routes.work]
        path = "/work"
        [routes.work.shape]
        item = "$body"
        batch = '{"instances":[$items]}'
        results = "/predictions"
        match = "position"
        id = ""
        reply = '{"id":$id,"body":$result}'
        [routes.work.upstream]
        url = "URL/v1/models/m:predict"
    "#;
    let mut routes = Routes::start(settings).await;
    let (a, b) = (r#"{"id":"a","body":[1]}"#, r#"{"body": 2 ,"id":7}"#);
    let callers = routes.queue("/work", &[a, b]).await;
    let batch = routes.flushed().await;
    assert_eq!(batch.body, r#"{"instances":[[1],2]}"#);
    batch.ok(r#"{"predictions":["x","y"]}"#);
    let told = answers(callers).await;
    assert_eq!(
        bodies(&told),
        [r#"{"id":"a","body":"x"}"#, r#"{"id":7,"body":"y"}"#]
    );
    // What is wrong with a job stays an error on this route.
    for (request, status, code) in [
        (call("/work", "[]"), 422, "invalid-job"),
        (call("/work", "{"), 400, "malformed-json"),
        (
            call("/work", a).to("PUT", "/work"),
            405,
            "method-not-allowed",
        ),
        (
            call("/work", a).header("content-encoding", "gzip"),
            415,
            "unsupported-media-type",
        ),
    ] {
        routes.proxy.send(request).await.problem(status, code, "no");
    }
}

#[tokio::test]
async fn one_odd_caller_spoils_no_other() {
    let mut routes = Routes::of("/e", "openai-embeddings", "/e").await;
    let callers = routes
        .queue(
            "/e",
            &[
                r#"{"input":"a"}"#,
                r#"{"input":[1,2]}"#,
                r#"{"input":["b"]}"#,
            ],
        )
        .await;
    routes.proxy.flush().await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let batch = routes.upstream.next().await;
        seen.push(String::from_utf8(batch.body.to_vec()).unwrap());
        match seen.last().unwrap().contains("[1,2]") {
            true => batch.answer(400, &[("content-type", "application/json")], "\"tokens?\""),
            false => batch.ok(r#"{"data":[{"index":0},{"index":1}]}"#),
        }
    }
    seen.sort();
    assert_eq!(seen, [r#"{"input":["a","b"]}"#, r#"{"input":[1,2]}"#]);
    let told = answers(callers).await;
    let statuses: Vec<_> = told.iter().map(|it| it.status).collect();
    assert_eq!(statuses, [200, 400, 200]);
    assert_eq!(told[1].text(), "\"tokens?\"");
}

#[tokio::test]
async fn whoever_counts_wrong_gives_nobody_anything() {
    for (shape, call, wrong) in [
        (
            "kserve-v1",
            r#"{"instances":[1]}"#,
            r#"{"predictions":[1]}"#,
        ),
        (
            "kserve-v1",
            r#"{"instances":[1]}"#,
            r#"{"predictions":[1,2,3]}"#,
        ),
        (
            "openai-embeddings",
            r#"{"input":"a"}"#,
            r#"{"data":[{"index":0},{"index":0}]}"#,
        ),
        (
            "openai-embeddings",
            r#"{"input":"a"}"#,
            r#"{"data":[{"index":0},{"index":2}]}"#,
        ),
        (
            "openai-embeddings",
            r#"{"input":"a"}"#,
            r#"{"data":[{"index":0},{}]}"#,
        ),
        ("graphql", r#"{"query":"{a}"}"#, r#"[{"data":1}]"#),
    ] {
        let mut routes = Routes::of("/c", shape, "/c").await;
        let callers = routes.queue("/c", &[call, call]).await;
        routes.flushed().await.ok(wrong);
        for answer in answers(callers).await {
            assert_eq!(answer.status, 502, "{shape} {wrong}: {answer:?}");
            assert!(!answer.text().contains("data\":1"), "{answer:?}");
            if shape != "kserve-v1" {
                assert!(answer.text().contains("result-count"), "{answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn bare_nan_passes_where_the_shape_says_so() {
    for (shape, call, answer, status) in [
        (
            "kserve-v1",
            r#"{"instances":[1]}"#,
            r#"{"predictions":[NaN,[-Infinity]]}"#,
            200,
        ),
        (
            "openai-embeddings",
            r#"{"input":"a"}"#,
            r#"{"data":[{"index":0,"e":NaN},{"index":1,"e":NaN}]}"#,
            502,
        ),
    ] {
        let mut routes = Routes::of("/c", shape, "/c").await;
        let callers = routes.queue("/c", &[call, call]).await;
        routes.flushed().await.ok(answer);
        let told = answers(callers).await;
        assert_eq!(
            (told[0].status, told[1].status),
            (status, status),
            "{told:?}"
        );
        if status == 200 {
            assert_eq!(told[0].text(), r#"{"predictions":[NaN]}"#);
        }
    }
}

#[tokio::test]
async fn a_call_that_is_alone_in_its_batch_has_all_of_the_answer() {
    let mut routes = Routes::of("/v1/models/{m}", "kserve-v1", "/{m}").await;
    for (status, headers, body) in [
        (
            200,
            [
                ("content-type", "text/event-stream"),
                ("x-own", "1"),
                ("set-cookie", "a=b"),
            ],
            "data: 1\n\n",
        ),
        (
            418,
            [
                ("content-type", "text/html"),
                ("x-own", "1"),
                ("set-cookie", "a=b"),
            ],
            "<p>no</p>",
        ),
    ] {
        let whole = r#"{ "signature_name":"s", "instances" : [ 1 ] }"#;
        let callers = routes.queue("/v1/models/m", &[whole]).await;
        let sent = routes.flushed().await;
        assert_eq!(sent.body, whole);
        sent.answer(status, &headers, body);
        let told = answers(callers).await;
        assert_eq!((told[0].status, told[0].text()), (status, body));
        assert_eq!(told[0].header("content-type"), headers[0].1);
        assert_eq!(told[0].header("x-own"), "1");
        assert_eq!(told[0].header("set-cookie"), "");
        assert_eq!(told[0].header("x-batch-size"), "1");
    }
}
