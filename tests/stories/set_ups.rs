//! The whole set-ups in `config/`: each is right as it is, and does what it is there for.

use std::collections::BTreeSet;
use std::fs;

use crate::harness::{Call, Request, Routes, ScriptedUpstream, SetUp, answers, command, set_up};
use crate::later_set_ups;

/// Two calls that become one batch, and what each is told.
struct Story {
    /// The file, without its ending.
    name: &'static str,
    path: &'static str,
    content_type: &'static str,
    calls: [&'static str; 2],
    /// Where the batch goes, and its body; `#0` is the first one's number on the wire.
    batch: (&'static str, &'static str),
    answer: &'static str,
    /// Everybody's status, and each one's body.
    status: u16,
    replies: [&'static str; 2],
}

const JSON: &str = "application/json";

/// One for each file, but for `microbatch.toml`, which shows every setting and sets up nothing, and
/// those that have stories of their own.
const STORIES: [Story; 11] = [
    Story {
        name: "clickhouse",
        path: "/?query=INSERT%20INTO%20t%20FORMAT%20JSONEachRow",
        content_type: JSON,
        calls: ["{\"a\":\n1}", r#"{"a":2}"#],
        batch: (
            "/?query=INSERT%20INTO%20t%20FORMAT%20JSONEachRow",
            "{\"a\": 1}\n{\"a\":2}\n",
        ),
        answer: "",
        status: 204,
        replies: ["", ""],
    },
    Story {
        name: "cloudevents",
        path: "/events",
        content_type: "application/cloudevents+json; charset=utf-8",
        calls: [
            r#"{"specversion":"1.0","id":"1","source":"/","type":"t"}"#,
            r#"{"specversion":"1.0","id":"2","source":"/","type":"t"}"#,
        ],
        batch: (
            "/events",
            r#"[{"specversion":"1.0","id":"1","source":"/","type":"t"},{"specversion":"1.0","id":"2","source":"/","type":"t"}]"#,
        ),
        answer: "taken",
        status: 204,
        replies: ["", ""],
    },
    Story {
        name: "couchdb",
        path: "/things/_bulk_docs",
        content_type: JSON,
        calls: [
            r#"{"docs":[{"_id":"a"},{"_id":"b"}],"new_edits":true}"#,
            r#"{"docs":[{"n":3}],"new_edits":true}"#,
        ],
        batch: (
            "/things/_bulk_docs",
            r#"{"docs":[{"_id":"a"},{"_id":"b"},{"n":3}],"new_edits":true}"#,
        ),
        answer: r#"[{"ok":true,"id":"a","rev":"1-x"},{"id":"b","error":"conflict","reason":"No."},{"ok":true,"id":"7f","rev":"1-z"}]"#,
        status: 200,
        replies: [
            r#"[{"ok":true,"id":"a","rev":"1-x"},{"id":"b","error":"conflict","reason":"No."}]"#,
            r#"[{"ok":true,"id":"7f","rev":"1-z"}]"#,
        ],
    },
    Story {
        name: "elasticsearch",
        path: "/logs/_doc",
        content_type: JSON,
        calls: [r#"{"a":1}"#, r#"{"a":2}"#],
        batch: (
            "/_bulk",
            "{\"index\":{\"_index\":\"logs\"}}\n{\"a\":1}\n{\"index\":{\"_index\":\"logs\"}}\n{\"a\":2}\n",
        ),
        answer: r#"{"took":3,"errors":false,"items":[{"index":{"_id":"x","status":201}},{"index":{"_id":"y","status":201}}]}"#,
        status: 201,
        replies: [r#"{"_id":"x","status":201}"#, r#"{"_id":"y","status":201}"#],
    },
    Story {
        name: "event-sink",
        path: "/jobs",
        content_type: JSON,
        calls: [r#"{"id":"a","event":1}"#, r#"{"id":"b","event":2}"#],
        batch: ("/batch", r#"[{"id":"a","event":1},{"id":"b","event":2}]"#),
        answer: "",
        status: 204,
        replies: ["", ""],
    },
    Story {
        name: "fastapi-model",
        path: "/predict",
        content_type: JSON,
        calls: [r#"{"text":"a","id":1}"#, "[1, 2]"],
        batch: ("/predict", r#"[{"text":"a","id":1},[1, 2]]"#),
        answer: r#"[{"id":7,"error":"a label","status":500},0.50]"#,
        status: 200,
        replies: [r#"{"id":7,"error":"a label","status":500}"#, "0.50"],
    },
    Story {
        name: "graphql",
        path: "/graphql",
        content_type: JSON,
        calls: [r#"{"query":"{a}"}"#, r#"{"query":"{b}"}"#],
        batch: ("/graphql", r#"[{"query":"{a}"},{"query":"{b}"}]"#),
        answer: r#"[{"data":{"a":1}},{"errors":[{"message":"no"}]}]"#,
        status: 200,
        replies: [r#"{"data":{"a":1}}"#, r#"{"errors":[{"message":"no"}]}"#],
    },
    Story {
        name: "json-rpc",
        path: "/",
        content_type: JSON,
        calls: [
            r#"{"jsonrpc":"2.0","id":7,"method":"a"}"#,
            r#"{"method":"b","id":7,"jsonrpc":"2.0"}"#,
        ],
        batch: (
            "/",
            r#"[{"jsonrpc":"2.0","id":#0,"method":"a"},{"method":"b","id":#1,"jsonrpc":"2.0"}]"#,
        ),
        answer: r#"[{"jsonrpc":"2.0","id":#1,"error":{"code":-32601,"message":"no"}},{"jsonrpc":"2.0","id":#0,"result":"0x1"}]"#,
        status: 200,
        replies: [
            r#"{"jsonrpc":"2.0","id":7,"result":"0x1"}"#,
            r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32601,"message":"no"}}"#,
        ],
    },
    Story {
        name: "kserve",
        path: "/v1/models/m:predict",
        content_type: JSON,
        calls: [r#"{"instances":[1,2]}"#, r#"{"instances":[3]}"#],
        batch: ("/v1/models/m:predict", r#"{"instances":[1,2,3]}"#),
        answer: r#"{"predictions":[[1.0],NaN,"c"],"model":"m"}"#,
        status: 200,
        replies: [r#"{"predictions":[[1.0],NaN]}"#, r#"{"predictions":["c"]}"#],
    },
    Story {
        name: "model-server",
        path: "/jobs",
        content_type: JSON,
        calls: [r#"{"id":"a","body":1}"#, r#"{"id":"b","body":2}"#],
        batch: ("/batch", r#"[{"id":"a","body":1},{"id":"b","body":2}]"#),
        answer: r#"[{"id":"b","label":"dog"},{"id":"a","label":"cat"}]"#,
        status: 200,
        replies: [r#"{"id":"a","label":"cat"}"#, r#"{"id":"b","label":"dog"}"#],
    },
    Story {
        name: "openai-embeddings",
        path: "/v1/embeddings",
        content_type: JSON,
        calls: [
            r#"{"model":"m","input":"aa"}"#,
            r#"{"model":"m","input":["bb"]}"#,
        ],
        batch: ("/v1/embeddings", r#"{"model":"m","input":["aa","bb"]}"#),
        answer: r#"{"object":"list","data":[{"object":"embedding","index":1,"embedding":"AAAA"},{"object":"embedding","index":0,"embedding":[0.5]}],"model":"m","usage":{"prompt_tokens":4,"total_tokens":6}}"#,
        status: 200,
        replies: [
            r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5]}],"model":"m","usage":{"prompt_tokens":2,"total_tokens":3}}"#,
            r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":"AAAA"}],"model":"m","usage":{"prompt_tokens":2,"total_tokens":3}}"#,
        ],
    },
];

/// A proxy as the file sets it up, where a batch leaves when the story says so.
async fn begun(name: &str) -> Routes {
    let upstream = ScriptedUpstream::start().await;
    let origin = format!("http://{}", upstream.addr());
    let set_up = SetUp::before(&origin, name);
    let waits = [("BATCH__MAX_WAIT", "50s"), ("BATCH__WAIT", "fixed")];
    let proxy = set_up.start(&waits).await;
    Routes { proxy, upstream }
}

impl Story {
    fn call(&self, body: &'static str) -> Request {
        let request = Request::untyped(body).to("POST", self.path);
        request.header("content-type", self.content_type)
    }

    /// With the numbers that the proxy has given the calls on the wire, if it has.
    fn numbered(&self, text: &str, batch: &Call) -> String {
        if !text.contains('#') {
            return text.to_owned();
        }
        let ids = batch.ids();
        assert_ne!(ids[0], ids[1], "{}", self.name);
        let first = text.replace("#0", &ids[0].to_string());
        first.replace("#1", &ids[1].to_string())
    }

    fn is(&self, batch: &Call) {
        let (path, body) = self.batch;
        assert_eq!(batch.body, self.numbered(body, batch), "{}", self.name);
        assert_eq!(batch.path, path, "{}", self.name);
        assert_eq!(batch.header("x-batch-size"), self.items(), "{}", self.name);
    }

    /// CouchDB's and KServe's first caller have two.
    fn items(&self) -> &'static str {
        match self.name {
            "couchdb" | "kserve" => "3",
            _ => "2",
        }
    }
}

#[tokio::test]
async fn two_calls_become_one_batch_and_each_gets_its_own_reply() {
    for story in STORIES {
        let name = story.name;
        let mut routes = begun(name).await;
        let mut callers = Vec::new();
        for body in story.calls {
            callers.push(routes.queue_one(story.call(body)).await);
        }
        let batch = routes.flushed().await;
        story.is(&batch);
        let answer = story.numbered(story.answer, &batch);
        batch.ok(answer);
        let told = answers(callers).await;
        for (told, reply) in told.iter().zip(story.replies) {
            assert_eq!(told.text(), reply, "{name}");
            assert_eq!(told.status, story.status, "{name}");
        }
    }
}

/// Where a set-up says that callers with different credentials share no batch, they don't, and
/// each batch has its own.
#[tokio::test]
async fn callers_with_different_credentials_share_no_batch() {
    let mut kept_apart = Vec::new();
    for story in STORIES {
        let name = story.name;
        let text = fs::read_to_string(set_up::folder().join(format!("{name}.toml"))).unwrap();
        if !text.contains("forward_headers = [\"authorization\"") {
            continue;
        }
        let mut routes = begun(name).await;
        let mut callers = Vec::new();
        for (body, who) in story.calls.into_iter().zip(["Basic YQ==", "Basic Yg=="]) {
            let request = story.call(body).header("authorization", who);
            callers.push(routes.queue_one(request).await);
        }
        routes.proxy.flush().await;
        let (one, other) = (routes.upstream.next().await, routes.upstream.next().await);
        let mut seen = [one.header("authorization"), other.header("authorization")];
        seen.sort_unstable();
        assert_eq!(seen, ["Basic YQ==", "Basic Yg=="], "{name}");
        kept_apart.push(name);
    }
    assert_eq!(kept_apart.len(), 8, "{kept_apart:?}");
}

#[tokio::test]
async fn every_set_up_is_right_as_it_is_and_says_how_it_is_used() {
    let mut files = BTreeSet::new();
    for file in fs::read_dir(set_up::folder()).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|it| it != "toml") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut check = command();
        check.arg("check").arg("--config").arg(&path);
        let checked = check.output().await.unwrap();
        assert!(checked.status.success(), "{name}: {checked:?}");
        assert_eq!(checked.stderr, b"", "{name}: {checked:?}");
        if name != "microbatch" {
            let text = fs::read_to_string(&path).unwrap();
            let (head, _) = text.split_once("\n\n").unwrap();
            let run = format!("#   microbatch --config {name}.toml\n");
            assert!(head.contains(&run), "{name}: {head}");
            for said in ["\n# To change: ", "\n# Not "] {
                assert!(head.contains(said), "{name} does not say{said}");
            }
            files.insert(name);
        }
    }
    let names = STORIES.iter().map(|it| it.name).chain(later_set_ups::NAMES);
    let told: BTreeSet<_> = names.map(str::to_owned).collect();
    assert_eq!(files, told, "files in config/, and those that have a story");
}
