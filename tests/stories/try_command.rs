//! `microbatch try` shows what a route makes of calls, and sends them if it is asked to.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Child;

use crate::harness::{Log, command, within};

/// A folder with a configuration, in which `try` runs.
struct Trial {
    folder: TempDir,
}

struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Trial {
    fn with(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("m.toml"), settings).unwrap();
        Self { folder }
    }

    /// A route of this shape at this path before that upstream.
    fn of(shape: &str, path: &str, upstream: &str) -> Self {
        Self::with(&format!(
            "[routes.it]\npath = '{path}'\nshape = '{shape}'\n[routes.it.upstream]\nurl = '{upstream}'\n"
        ))
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Each text in a file of its own: `1`, `2`, ….
    fn calls(&self, texts: &[&str]) -> Vec<String> {
        let files = texts.iter().enumerate().map(|(at, text)| {
            let name = (at + 1).to_string();
            fs::write(self.path().join(&name), text).unwrap();
            name
        });
        files.collect()
    }

    async fn run(&self, args: &[&str], files: &[String], stdin: &str) -> Said {
        let mut command = command();
        command.current_dir(self.path());
        command.args(["try", "--config", "m.toml"]).args(args);
        command.args(files).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let mut input = child.stdin.take().expect("stdin is piped");
        // It may have ended before it reads.
        let _ = input.write_all(stdin.as_bytes()).await;
        drop(input);
        let output = within("the end of try", child.wait_with_output()).await;
        let output = output.expect("an output");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Said {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

async fn sample(shape: &str) -> (Child, String) {
    let mut command = command();
    command.args(["upstream", "--listen", "127.0.0.1:0", "--shape", shape]);
    command.env("MICROBATCH_LOG__FORMAT", "json");
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let log = Log::read(child.stderr.take().expect("stderr is piped"));
    let listening = log.nth("sample upstream listening", 1).await;
    (child, format!("http://{}", listening.text("listen")))
}

/// A preset, and what becomes of calls to it.
struct Story {
    shape: &'static str,
    path: &'static str,
    called: &'static str,
    upstream: &'static str,
    content_type: &'static str,
    calls: [&'static str; 2],
    batch: &'static str,
    replies: &'static str,
}

const JSON: &str = "application/json";

const STORIES: [Story; 8] = [
    Story {
        shape: "jobs",
        path: "/x",
        called: "/x",
        upstream: "/batch",
        content_type: JSON,
        calls: [r#"{"id":"a","body":1}"#, r#"{"id":2}"#],
        batch: r#"[{"id":"a","body":1},{"id":2}]"#,
        replies: "{\"id\":\"a\",\"result\":1}\n{\"id\":2,\"result\":null}\n",
    },
    Story {
        shape: "json-rpc",
        path: "/x",
        called: "/x",
        upstream: "/",
        content_type: JSON,
        calls: [
            r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[1]}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[2]}"#,
        ],
        batch: r#"[{"jsonrpc":"2.0","id":1,"method":"m","params":[1]},{"jsonrpc":"2.0","id":2,"method":"m","params":[2]}]"#,
        replies: "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[1]}\n{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[2]}\n",
    },
    Story {
        shape: "kserve-v1",
        path: "/v1/models/{model}",
        called: "/v1/models/m:predict",
        upstream: "/v1/models/{model}",
        content_type: JSON,
        calls: [r#"{"instances":[1,[2]]}"#, r#"{"instances":["c"]}"#],
        batch: r#"{"instances":[1,[2],"c"]}"#,
        replies: "{\"predictions\":[1,[2]]}\n{\"predictions\":[\"c\"]}\n",
    },
    Story {
        shape: "openai-embeddings",
        path: "/v1/embeddings",
        called: "/v1/embeddings",
        upstream: "/v1/embeddings",
        content_type: JSON,
        calls: [
            r#"{"model":"m","input":"abcd","dimensions":1}"#,
            r#"{"model":"m","input":["abcd"],"dimensions":1}"#,
        ],
        batch: r#"{"model":"m","input":["abcd","abcd"],"dimensions":1}"#,
        replies: "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":[0.5856019]}],\"model\":\"m\",\"usage\":{\"prompt_tokens\":2,\"total_tokens\":2}}\n{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":[0.5856019]}],\"model\":\"m\",\"usage\":{\"prompt_tokens\":2,\"total_tokens\":2}}\n",
    },
    Story {
        shape: "graphql",
        path: "/graphql",
        called: "/graphql",
        upstream: "/graphql",
        content_type: JSON,
        calls: [r#"{"query":"{a}"}"#, r#"{"query":"{b}"}"#],
        batch: r#"[{"query":"{a}"},{"query":"{b}"}]"#,
        replies: "{\"data\":{\"query\":\"{a}\",\"variables\":null}}\n{\"data\":{\"query\":\"{b}\",\"variables\":null}}\n",
    },
    Story {
        shape: "elasticsearch-index",
        path: "/{index}/_doc",
        called: "/lo%20gs/_doc",
        upstream: "/_bulk",
        content_type: JSON,
        calls: [r#"{"a":1}"#, "{\n\"a\":2}"],
        batch: "{\"index\":{\"_index\":\"lo gs\"}}\n{\"a\":1}\n{\"index\":{\"_index\":\"lo gs\"}}\n{ \"a\":2}\n",
        replies: "{\"_index\":\"lo gs\",\"_id\":\"9c3e82dd6fcae8b1\",\"_version\":1,\"result\":\"created\",\"_shards\":{\"total\":1,\"successful\":1,\"failed\":0},\"_seq_no\":0,\"_primary_term\":1,\"status\":201}\n{\"_index\":\"lo gs\",\"_id\":\"77a74c48d7eb80d6\",\"_version\":1,\"result\":\"created\",\"_shards\":{\"total\":1,\"successful\":1,\"failed\":0},\"_seq_no\":0,\"_primary_term\":1,\"status\":201}\n",
    },
    Story {
        shape: "cloudevents",
        path: "/",
        called: "/",
        upstream: "/",
        content_type: "application/cloudevents+json",
        calls: [
            r#"{"specversion":"1.0","id":"1","source":"/","type":"t"}"#,
            r#"{"specversion":"1.0","id":"2","source":"/","type":"t"}"#,
        ],
        batch: r#"[{"specversion":"1.0","id":"1","source":"/","type":"t"},{"specversion":"1.0","id":"2","source":"/","type":"t"}]"#,
        replies: "",
    },
    Story {
        shape: "ndjson",
        path: "/rows",
        called: "/rows",
        upstream: "/",
        content_type: JSON,
        calls: [r#"{"a":1}"#, "2"],
        batch: "{\"a\":1}\n2\n",
        replies: "",
    },
];

#[tokio::test]
async fn what_would_be_sent_is_shown_byte_for_byte() {
    for story in STORIES {
        let upstream = format!(
            "http://user:s3cret@h:1{}{}key=s3cret",
            story.upstream,
            if story.upstream.contains('?') {
                "&"
            } else {
                "?"
            }
        );
        let trial = Trial::of(story.shape, story.path, &upstream);
        let files = trial.calls(&story.calls);
        let content_type = format!("Content-Type: {}", story.content_type);
        let args = ["--path", story.called, "-H", &content_type];
        let said = trial.run(&args, &files, "").await;
        let shape = story.shape;
        assert_eq!(said.stdout, story.batch, "{shape}: {}", said.stderr);
        assert_eq!(said.code, Some(0), "{shape}: {}", said.stderr);
        assert!(
            said.stderr.starts_with("# POST http://h:1/"),
            "{}",
            said.stderr
        );
        assert!(
            said.stderr.ends_with("# the calls of 1, 2\n"),
            "{}",
            said.stderr
        );
        assert!(!said.stderr.contains("s3cret"), "{}", said.stderr);
    }
}

#[tokio::test]
async fn what_is_sent_comes_back_to_each_call() {
    for story in STORIES {
        let (_sample, at) = sample(story.shape).await;
        let trial = Trial::of(story.shape, story.path, &format!("{at}{}", story.upstream));
        let files = trial.calls(&story.calls);
        let content_type = format!("Content-Type: {}", story.content_type);
        let args = ["--path", story.called, "-H", &content_type, "--send"];
        let said = trial.run(&args, &files, "").await;
        let shape = story.shape;
        assert_eq!(said.code, Some(0), "{shape}: {}", said.stderr);
        assert_eq!(said.stdout, story.replies, "{shape}");
        let lines: Vec<&str> = said.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{shape}: {}", said.stderr);
        for (at, line) in lines.iter().enumerate() {
            assert!(
                line.starts_with(&format!("# {}: 20", at + 1)),
                "{shape}: {line}"
            );
            assert!(line.contains(", batch of "), "{shape}: {line}");
        }
    }
}

#[tokio::test]
async fn what_is_not_merged_is_told_with_its_reason() {
    let trial = Trial::of(
        "kserve-v1",
        "/v1/models/{model}",
        "http://h/v1/models/{model}",
    );
    let files = trial.calls(&[
        "",
        "no",
        r#"{"instances":[]}"#,
        r#"{"instances":[1],"stream":true}"#,
        r#"{"instances":[1],"p":1}"#,
        r#"{"instances":[2],"p":2}"#,
        r#"{"instances":[3],"p":1}"#,
    ]);
    let args = ["--path", "/v1/models/m:predict?a=1"];
    let said = trial.run(&args, &files, "").await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let bodies = [
        "{\"instances\":[1,3],\"p\":1}",
        "{\"instances\":[2],\"p\":2}",
    ];
    assert_eq!(said.stdout, bodies.join("\n"));
    let url = "http://h/v1/models/m:predict?a=1";
    for (file, why) in [(1, "form"), (2, "form"), (3, "form"), (4, "stream")] {
        let line = format!("# {file}: goes alone, as it came, to {url}: {why}, ");
        assert!(said.stderr.contains(&line), "{}", said.stderr);
    }
    let frame = "# batch 2 of 2: another frame, {\"instances\":…,\"p\":2}\n";
    assert!(said.stderr.contains(frame), "{}", said.stderr);
}

#[tokio::test]
async fn jobs_that_are_none_are_refused_as_the_proxy_refuses_them() {
    let trial = Trial::with("[upstream]\nurl = 'http://h/batch'\n");
    let lines = "{\"id\":1}\n\n{\"id\":1}\n{\"x\":1}\n[]";
    let said = trial.run(&["--lines", "-"], &[], lines).await;
    assert_eq!(said.code, Some(1));
    assert_eq!(said.stdout, "[{\"id\":1}]\n[{\"id\":1}]");
    assert!(
        said.stderr.contains("# -:4: refused with 422 "),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("\"code\":\"invalid-job\""),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("an id that is in it"),
        "{}",
        said.stderr
    );
}

#[tokio::test]
async fn what_can_not_be_tried_says_what_to_do() {
    let two = "[upstream]\nurl = 'http://h/'\n[routes.it]\npath = '/{a}/b'\nshape = 'ndjson'\n\
        [routes.it.upstream]\nurl = 'http://h/'\n";
    let trial = Trial::with(two);
    let files = trial.calls(&["{}"]);
    for (args, code, expected) in [
        (&[][..], 1, "Say --route NAME; there are jobs, it"),
        (
            &["--route", "its"],
            1,
            "there is no route its; there are jobs, it",
        ),
        (
            &["--route", "it"],
            1,
            "the route it is at /{a}/b: say --path",
        ),
        (
            &["--route", "it", "--path", "/c"],
            1,
            "/c is no path of the route it",
        ),
        (
            &["--route", "it", "--path", "/../b"],
            1,
            "/../b is no path of",
        ),
        (
            &["--route", "jobs", "--lines", "missing"],
            1,
            "can't read missing: ",
        ),
        (&["-H", "no header"], 2, "a header is written 'Name: value'"),
    ] {
        let said = trial.run(args, &files, "").await;
        assert_eq!(said.code, Some(code), "{args:?}: {}", said.stderr);
        assert!(said.stderr.contains(expected), "{args:?}: {}", said.stderr);
        assert_eq!(said.stdout, "");
    }
    let none = trial
        .run(&["--route", "jobs", "--lines", "-"], &[], "\n")
        .await;
    assert!(none.stderr.contains("there is no call"), "{}", none.stderr);
    let many = "1\n".repeat(10_001);
    let many = trial
        .run(&["--route", "jobs", "--lines", "-"], &[], &many)
        .await;
    assert!(
        many.stderr.contains("more than 10000 calls"),
        "{}",
        many.stderr
    );
}
