//! Each service over a real socket: batches, calls by themselves, and how it says errors.

use serde_json::{Value, json};

use super::tests::{Running, start};
use super::*;

impl Running {
    /// What is answered on a path to a body of a type.
    async fn ask(&self, path: &str, content_type: &str, body: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.address);
        let request = reqwest::Client::new().post(url);
        let request = request.header("content-type", content_type);
        let response = request.body(body.to_owned()).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn ask_json(&self, path: &str, body: &str) -> (u16, Value) {
        let (status, text) = self.ask(path, "application/json", body).await;
        (
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        )
    }

    async fn counted(&self) -> Value {
        let answer = reqwest::get(format!("http://{}/count", self.address)).await;
        serde_json::from_str(&answer.unwrap().text().await.unwrap()).unwrap()
    }
}

async fn service(shape: Service) -> Running {
    let args = Args {
        shape,
        ..Args::default()
    };
    start(args).await
}

async fn failing(shape: Service) -> Running {
    let args = Args {
        shape,
        job_error_rate: 1.0,
        ..Args::default()
    };
    start(args).await
}

async fn losing(shape: Service) -> Running {
    let args = Args {
        shape,
        drop_rate: 1.0,
        ..Args::default()
    };
    start(args).await
}

#[tokio::test]
async fn json_rpc_echoes_params_and_says_nothing_to_notifications() {
    let upstream = service(Service::JsonRpc).await;
    let batch = r#"[{"id":7,"method":"a","params":[1.0, "x"]},{"method":"n"},5,{"id":"b"}]"#;
    let (status, answer) = upstream.ask("/", "application/json", batch).await;
    let expected = concat!(
        r#"[{"jsonrpc":"2.0","id":7,"result":[1.0, "x"]},"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request"}},"#,
        r#"{"jsonrpc":"2.0","id":"b","result":null}]"#,
    );
    assert_eq!((status, answer.as_str()), (200, expected));
    let alone = upstream.ask_json("/rpc", r#"{"id":1,"params":{}}"#).await;
    let expected = json!({"jsonrpc": "2.0", "id": 1, "result": {}});
    assert_eq!(alone, (200, expected));
    for silent in [r#"{"method":"n"}"#, r#"[{"method":"n"}]"#] {
        assert_eq!(upstream.ask_json("/", silent).await.0, 204, "{silent}");
    }
    for odd in ["", "[", "[]"] {
        let (status, answer) = upstream.ask_json("/", odd).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(-32600)));
    }
    let failing = failing(Service::JsonRpc).await;
    let (status, answer) = failing.ask_json("/", r#"[{"id":1}]"#).await;
    assert_eq!((status, &answer[0]["error"]["code"]), (200, &json!(-32000)));
    let losing = losing(Service::JsonRpc).await;
    assert_eq!(
        losing.ask_json("/", r#"[{"id":1}]"#).await,
        (200, json!([]))
    );
    assert_eq!(losing.ask_json("/", r#"{"id":1}"#).await.0, 204);
}

#[tokio::test]
async fn kserve_predicts_each_instance() {
    let upstream = service(Service::KserveV1).await;
    let path = "/v1/models/m:predict";
    let body = r#"{"instances":[[1.0, 2],{"a":1}],"parameters":{}}"#;
    let answer = upstream.ask(path, "application/json", body).await;
    assert_eq!(
        answer,
        (200, r#"{"predictions":[[1.0, 2],{"a":1}]}"#.to_owned())
    );
    for odd in ["", "[]", "{}", r#"{"instances":1}"#] {
        let (status, answer) = upstream.ask_json(path, odd).await;
        assert!(status == 400 && answer["error"].is_string(), "{answer}");
    }
    let failing = failing(Service::KserveV1).await;
    let answer = failing.ask_json(path, body).await;
    assert_eq!(answer, (400, json!({"error": "sample error"})));
    let losing = losing(Service::KserveV1).await;
    assert_eq!(
        losing.ask_json(path, body).await,
        (200, json!({"predictions": []}))
    );
}

#[tokio::test]
async fn embeddings_are_of_their_inputs_alone() {
    let upstream = service(Service::OpenaiEmbeddings).await;
    let embed = async |input: &str, more: &str| {
        let body = format!(r#"{{"model":"m","input":{input}{more}}}"#);
        upstream.ask_json("/v1/embeddings", &body).await
    };
    let (status, both) = embed(r#"["ab","abcde"]"#, "").await;
    assert_eq!(status, 200);
    assert_eq!(
        both["usage"],
        json!({"prompt_tokens": 3, "total_tokens": 3})
    );
    let (_, one) = embed(r#""abcde""#, "").await;
    assert_eq!(both["data"][1]["index"], 1);
    assert_eq!(one["data"][0]["embedding"], both["data"][1]["embedding"]);
    assert_ne!(one["data"][0]["embedding"], both["data"][0]["embedding"]);
    for (input, inputs) in [
        ("[1,2,3]", 1),
        ("[[1,2],[3]]", 2),
        (r#"[{"role":"user"},{"role":"user"}]"#, 1),
        (r#"["a",1]"#, 2),
    ] {
        let (_, answer) = embed(input, r#","dimensions":1536"#).await;
        let data = answer["data"].as_array().unwrap();
        assert_eq!(data.len(), inputs, "{input}");
        assert_eq!(data[0]["embedding"].as_array().unwrap().len(), 1_536);
    }
    for (input, more) in [("[]", ""), ("1", r#","dimensions":0"#), ("", "")] {
        let (status, answer) = embed(input, more).await;
        assert_eq!(status, 400, "{answer}");
        assert_eq!(answer["error"]["type"], "invalid_request_error");
    }
    let shuffling = Args {
        shape: Service::OpenaiEmbeddings,
        shuffle: true,
        seed: Some(1),
        ..Args::default()
    };
    let shuffling = start(shuffling).await;
    let body = r#"{"model":"m","input":["a","b","c","d","e","f"]}"#;
    let (_, answer) = shuffling.ask_json("/v1/embeddings", body).await;
    let indices = answer["data"].as_array().unwrap().iter();
    let mut indices: Vec<u64> = indices.map(|it| it["index"].as_u64().unwrap()).collect();
    assert!(!indices.is_sorted(), "{indices:?}");
    indices.sort_unstable();
    assert_eq!(indices, [0, 1, 2, 3, 4, 5]);
    let failing = failing(Service::OpenaiEmbeddings).await;
    let (status, answer) = failing.ask_json("/v1/embeddings", body).await;
    assert_eq!(
        (status, &answer["error"]["message"]),
        (400, &json!("sample error"))
    );
}

#[tokio::test]
async fn graphql_echoes_the_operation() {
    let upstream = service(Service::Graphql).await;
    let data = json!({"data": {"query": "{a}", "variables": {"b": 1}}});
    let one = r#"{"query":"{a}","variables":{"b":1}}"#;
    assert_eq!(
        upstream.ask_json("/graphql", one).await,
        (200, data.clone())
    );
    let (status, answer) = upstream
        .ask_json("/graphql", &format!("[{one},{{}}]"))
        .await;
    assert_eq!((status, &answer[0]), (200, &data));
    assert!(answer[1]["errors"][0]["message"].is_string(), "{answer}");
    for odd in ["", "{}", "[]", "1"] {
        let (status, answer) = upstream.ask_json("/graphql", odd).await;
        assert!(status == 400 && answer["errors"].is_array(), "{answer}");
    }
    let failing = failing(Service::Graphql).await;
    let (status, answer) = failing.ask_json("/graphql", &format!("[{one}]")).await;
    let error = json!([{"errors": [{"message": "sample error"}], "data": null}]);
    assert_eq!((status, answer), (200, error));
}

#[tokio::test]
async fn elasticsearch_takes_many_documents_and_one() {
    let upstream = service(Service::ElasticsearchIndex).await;
    let bulk = "{\"index\":{\"_index\":\"logs\"}}\n{\"a\":1}\n{\"create\":{}}\n[1]\n";
    let (status, answer) = upstream.ask_json("/own/_bulk", bulk).await;
    assert_eq!((status, &answer["errors"]), (200, &json!(true)));
    let first = &answer["items"][0]["index"];
    assert_eq!(
        (&first["_index"], &first["status"]),
        (&json!("logs"), &json!(201))
    );
    let second = &answer["items"][1]["index"];
    assert_eq!(
        (&second["_index"], &second["status"]),
        (&json!("own"), &json!(400))
    );
    let (status, alone) = upstream.ask_json("/logs/_doc", "{\"a\":1}").await;
    assert_eq!((status, &alone["_id"]), (201, &first["_id"]));
    for odd in ["", "{}", "{}\n", "{\"index\":{}}\n", "{\"delete\":{}}\n"] {
        let (status, answer) = upstream.ask_json("/_bulk", odd).await;
        assert_eq!((status, &answer["status"]), (400, &json!(400)), "{answer}");
    }
    let failing = failing(Service::ElasticsearchIndex).await;
    let (status, answer) = failing.ask_json("/_bulk", bulk).await;
    assert_eq!(
        (status, &answer["items"][0]["index"]["status"]),
        (200, &json!(400))
    );
    let (status, answer) = failing.ask_json("/logs/_doc", "{}").await;
    assert_eq!(
        (status, &answer["error"]["reason"]),
        (400, &json!("sample error"))
    );
    let url = format!("http://{}/a/_doc", upstream.address);
    let answer = reqwest::Client::new()
        .post(url)
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["x-elastic-product"], "Elasticsearch");
}

#[tokio::test]
async fn sinks_count_what_they_take() {
    let events = service(Service::Cloudevents).await;
    let event = r#"{"specversion":"1.0","id":"1","source":"/","type":"t"}"#;
    let batch = format!("[{event},{event}]");
    for (content_type, body, status) in [
        ("application/cloudevents-batch+json", batch.as_str(), 202),
        ("Application/CloudEvents+JSON; charset=utf-8", event, 202),
        ("application/cloudevents+json", "{}", 400),
        ("application/json", event, 400),
    ] {
        let answer = events.ask("/sink", content_type, body).await;
        assert_eq!(answer.0, status, "{content_type}: {}", answer.1);
    }
    let url = format!("http://{}/", events.address);
    let binary = reqwest::Client::new()
        .post(url)
        .header("ce-specversion", "1.0");
    assert_eq!(binary.body("x").send().await.unwrap().status(), 202);
    assert_eq!(events.counted().await, json!({"requests": 3, "items": 4}));

    let lines = service(Service::Ndjson).await;
    let answer = lines
        .ask("/", "application/x-ndjson", "{\"a\":1}\n\n2\n")
        .await;
    assert_eq!(answer, (200, String::new()));
    let (status, sentence) = lines.ask("/", "application/x-ndjson", "1\n2 3\n").await;
    assert!(
        status == 400 && sentence.starts_with("line 2: "),
        "{sentence}"
    );
    assert_eq!(lines.counted().await, json!({"requests": 1, "items": 2}));

    let failing = failing(Service::Ndjson).await;
    let answer = failing.ask("/", "text/plain", "1\n2\n").await;
    assert_eq!(answer, (400, "sample error\n".to_owned()));
    let losing = losing(Service::Ndjson).await;
    assert_eq!(losing.ask("/", "text/plain", "1\n2\n").await.0, 200);
    assert_eq!(losing.counted().await, json!({"requests": 1, "items": 0}));
}

#[tokio::test]
async fn whole_failures_are_in_the_words_of_the_service() {
    for (shape, body, pointer) in [
        (Service::JsonRpc, r#"[{"id":1},{"id":2}]"#, "/error/message"),
        (Service::KserveV1, r#"{"instances":[1,2]}"#, "/error"),
        (
            Service::OpenaiEmbeddings,
            r#"{"model":"m","input":["a","b"]}"#,
            "/error/message",
        ),
        (
            Service::Graphql,
            r#"[{"query":"a"},{"query":"b"}]"#,
            "/errors/0/message",
        ),
        (
            Service::ElasticsearchIndex,
            "{\"index\":{}}\n{}\n{\"index\":{}}\n{}\n",
            "/error/reason",
        ),
    ] {
        let told = async |args: Args, status: u16, sentence: &str| {
            let upstream = start(args).await;
            let answer = upstream.ask_json("/i/_bulk", body).await;
            assert_eq!(answer.0, status, "{shape:?}");
            let said = answer.1.pointer(pointer).and_then(Value::as_str);
            assert_eq!(said, Some(sentence), "{shape:?}: {}", answer.1);
        };
        let failing = Args {
            shape,
            fail_rate: 1.0,
            status: StatusCode::BAD_GATEWAY,
            ..Args::default()
        };
        told(failing, 502, "A failure asked for with --fail-rate.").await;
        let small = Args {
            shape,
            max_batch: std::num::NonZeroUsize::new(1),
            ..Args::default()
        };
        told(small, 413, "A batch of 2 jobs is over --max-batch 1.").await;
    }
}
