//! `log.access`: a line of JSON on standard output for each call, and never a body.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::harness::{H2c, Log, Request, ScriptedUpstream, TokenFile, command, send, within};

const TOKEN: &str = "mbt_s3cret-token";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A proxy whose standard output is read.
struct Logged {
    jobs: std::net::SocketAddr,
    lines: Lines<BufReader<ChildStdout>>,
    log: Log,
    child: Child,
}

impl Logged {
    async fn start(upstream: &ScriptedUpstream, env: &[(&str, &str)]) -> Self {
        let mut command = command();
        command.args(["--upstream", &upstream.url(), "--listen", "127.0.0.1:0"]);
        command.args(["--admin-listen", "", "--log-level", "trace"]);
        command.envs(env.iter().copied());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let log = Log::read(child.stderr.take().expect("a pipe"));
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let listening = log.nth("listening", 1).await;
        log.nth("ready", 1).await;
        Self {
            jobs: listening.text("listen").parse().expect("an address"),
            lines,
            log,
            child,
        }
    }

    /// The next line.
    async fn line(&mut self) -> Value {
        let line = within("a line of the access log", self.lines.next_line()).await;
        let line = line.expect("standard output").expect("a line");
        assert!(!line.contains("s3cret"), "{line}");
        serde_json::from_str(&line).expect("JSON")
    }
}

fn job(body: &str) -> Request {
    Request::job(body.to_owned()).header("authorization", &format!("Bearer {TOKEN}"))
}

#[tokio::test]
async fn each_call_is_a_line_without_its_body() {
    let mut upstream = ScriptedUpstream::start().await;
    let tokens = TokenFile::of(&[("ci", TOKEN)]);
    let env = [
        ("MICROBATCH_LOG__ACCESS", "true"),
        ("MICROBATCH_BATCH__MAX_WAIT", "0"),
        ("MICROBATCH_LATER__STORE", "memory"),
        ("MICROBATCH_SERVER__AUTH__TOKENS", tokens.path()),
    ];
    let mut logged = Logged::start(&upstream, &env).await;
    let jobs = logged.jobs;
    assert_eq!(
        send(jobs, Request::new("GET", "/healthz")).await.status,
        200
    );

    // A job that is done.
    let body = r#"{"id":"\u202ea","body":"s3cret"}"#;
    let request = job(body).header("traceparent", &format!("00-{TRACE}-00f067aa0ba902b7-01"));
    let request = request.to("POST", "/jobs?key=s3cret");
    let (answer, ()) = tokio::join!(send(jobs, request), async { upstream.next().await.echo() });
    let line = logged.line().await;
    let batch = answer.header("x-batch-id");
    for (member, value) in [
        ("method", Value::from("POST")),
        ("path", "/jobs".into()),
        ("http", "1.1".into()),
        ("status", 200.into()),
        ("code", "ok".into()),
        ("route", "jobs".into()),
        ("id", "\u{202e}a".into()),
        ("batch_id", batch.into()),
        ("batch_size", 1.into()),
        ("token", "ci".into()),
        ("trace_id", TRACE.into()),
        ("bytes_in", body.len().into()),
        ("bytes_out", answer.body.len().into()),
        ("complete", Value::Null),
        ("way", Value::Null),
    ] {
        assert_eq!(line[member], value, "{member}: {line}");
    }
    for member in ["duration_ms", "queue_ms", "upstream_ms"] {
        assert!(line[member].is_number(), "{member}: {line}");
    }
    let time = line["time"].as_str().expect("a time");
    humantime::parse_rfc3339(time).expect("a time of RFC 3339");

    // One that fails, by HTTP/2; one that is refused; one that nobody lets in.
    let connection = H2c::connect(jobs).await;
    let failing = connection.send(job(r#"{"id":2}"#));
    let (answer, ()) = tokio::join!(failing, async {
        upstream.next().await.answer(500, &[], "s3cret");
    });
    assert_eq!(answer.status, 502);
    let line = logged.line().await;
    assert_eq!((&line["status"], &line["http"]), (&502.into(), &"2".into()));
    assert_eq!(
        (&line["code"], &line["id"]),
        (&"upstream-error".into(), &2.into())
    );
    assert_eq!(send(jobs, job("{s3cret")).await.status, 400);
    let line = logged.line().await;
    assert_eq!(
        (&line["code"], &line["route"]),
        (&"malformed-json".into(), &"jobs".into())
    );
    send(jobs, Request::job("s3cret")).await;
    let line = logged.line().await;
    assert_eq!(
        (&line["code"], &line["token"]),
        (&"unauthorized".into(), &Value::Null)
    );

    // One for later: its address is nowhere.
    let later = job(r#"{"id":3}"#).header("prefer", "respond-async");
    let (answer, ()) = tokio::join!(send(jobs, later), async { upstream.next().await.echo() });
    let address = answer.header("location").to_owned();
    let line = logged.line().await;
    assert_eq!(
        (&line["status"], &line["way"]),
        (&202.into(), &"later".into())
    );
    assert_eq!(line["id"], 3);
    send(jobs, job("").to("GET", &address)).await;
    let line = logged.line().await;
    assert_eq!(line["path"], "/jobs/{handle}");
    assert!(!line.to_string().contains(&address), "{line}");
    drop(logged.child);
}

#[tokio::test]
async fn a_caller_that_departs_is_told_as_such() {
    let mut upstream = ScriptedUpstream::start().await;
    let env = [
        ("MICROBATCH_LOG__ACCESS", "true"),
        ("MICROBATCH_BATCH__MAX_WAIT", "0"),
    ];
    let mut logged = Logged::start(&upstream, &env).await;
    let caller = crate::harness::Caller::spawn(logged.jobs, Request::job(r#"{"id":1}"#));
    let call = upstream.next().await;
    caller.leave();
    let line = logged.line().await;
    assert_eq!((&line["complete"], &line["id"]), (&false.into(), &1.into()));
    assert_eq!(
        (&line["status"], &line["code"]),
        (&Value::Null, &Value::Null)
    );
    drop(call);
}

#[tokio::test]
async fn without_it_there_is_no_line() {
    let mut upstream = ScriptedUpstream::start().await;
    let mut logged = Logged::start(&upstream, &[("MICROBATCH_BATCH__MAX_WAIT", "0")]).await;
    let posted = crate::harness::post(logged.jobs, r#"{"id":1}"#);
    let (answer, ()) = tokio::join!(posted, async { upstream.next().await.echo() });
    assert_eq!(answer.status, 200);
    let id = logged.child.id().expect("a process");
    let id = rustix::process::Pid::from_raw(id.cast_signed()).expect("an id");
    rustix::process::kill_process(id, crate::harness::Signal::TERM).expect("a process");
    let line = within("the end of the output", logged.lines.next_line()).await;
    assert_eq!(line.expect("standard output"), None);
}

/// Nobody reads standard output, and callers notice nothing.
#[tokio::test]
async fn a_reader_that_stops_holds_nobody_up() {
    let mut upstream = ScriptedUpstream::start().await;
    let env = [
        ("MICROBATCH_LOG__ACCESS", "true"),
        ("MICROBATCH_BATCH__MAX_WAIT", "0"),
    ];
    let logged = Logged::start(&upstream, &env).await;
    let mut caller = crate::harness::KeepAlive::connect(logged.jobs).await;
    // More than the pipe and what is kept of lines hold: some 250 bytes each and more.
    let id = "x".repeat(250);
    for _ in 0..4_000 {
        let posted = caller.post(format!(r#"{{"id":"{id}"}}"#));
        let (answer, ()) = tokio::join!(posted, async { upstream.next().await.echo() });
        assert_eq!(answer.status, 200);
    }
    drop((logged.lines, logged.log));
}
