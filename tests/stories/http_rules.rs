//! Section 1 of the contract: paths, methods, types, sizes, and what one
//! connection may carry.

use crate::harness::{Answer, H2c, Problem, Proxy, RawClient, Request, ScriptedUpstream, within};

pub const JOB: &str = r#"{"id":1}"#;

/// A proxy that sends each job at once, before an upstream that echoes.
pub struct Setup {
    pub proxy: Proxy,
    _upstream: tokio::task::JoinSet<()>,
}

impl Setup {
    pub async fn start(flags: &[&str], env: &[(&str, &str)]) -> Self {
        let mut upstream = ScriptedUpstream::start().await;
        let flags = [&["--max-wait", "0"], flags].concat();
        let proxy = Proxy::start(&upstream.url(), &flags, env).await;
        let mut echoing = tokio::task::JoinSet::new();
        echoing.spawn(async move {
            loop {
                upstream.next_ever().await.echo();
            }
        });
        Self {
            proxy,
            _upstream: echoing,
        }
    }

    async fn raw(&self) -> RawClient {
        RawClient::connect(self.proxy.jobs_addr).await
    }

    /// Nothing that happened before did harm.
    async fn goes_on(&self) {
        assert_eq!(self.proxy.post(JOB).await.status, 200);
    }
}

pub fn echo(id: &str) -> String {
    format!(r#"{{"id":{id},"result":null}}"#)
}

#[tokio::test]
async fn no_such_path() {
    let setup = Setup::start(&[], &[]).await;
    for (method, path) in [
        ("POST", "/"),
        ("GET", "/nowhere"),
        ("POST", "/jobs/"),
        ("GET", "/jobs/1/2"),
        ("GET", "/streams/"),
        ("POST", "/job"),
        ("POST", "/JOBS"),
        ("POST", "//jobs"),
        // These live on the admin listener alone.
        ("GET", "/livez"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
        ("GET", "/config"),
        ("POST", "/flush"),
    ] {
        let answer = setup.proxy.send(Request::new(method, path)).await;
        assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
        answer.problem(404, "not-found", "no");
    }
}

#[tokio::test]
async fn no_such_method() {
    let setup = Setup::start(&[], &[]).await;
    for (method, path, allowed) in [
        ("GET", "/jobs", "POST"),
        ("PUT", "/jobs", "POST"),
        ("DELETE", "/jobs", "POST"),
        ("PATCH", "/jobs", "POST"),
        ("POST", "/healthz", "GET"),
        ("POST", "/jobs/1", "DELETE"),
        ("OPTIONS", "/jobs/1", "GET"),
        ("DELETE", "/streams/a", "HEAD"),
    ] {
        let answer = setup.proxy.send(Request::new(method, path)).await;
        assert_eq!(answer.status, 405, "{method} {path}: {answer:?}");
        answer.problem(405, "method-not-allowed", "no");
        let allow = answer.header("allow");
        let names = |name: &str| allow.split(',').any(|one| one.trim() == name);
        assert!(
            names(allowed) && !names(method),
            "{method} {path}: {answer:?}"
        );
    }
}

/// A connection keeps the buffer that it reads into, so that heads are bounded.
#[tokio::test]
async fn heads_up_to_sixteen_kibibytes() {
    let setup = Setup::start(&[], &[]).await;
    for (length, status) in [(15 * 1024, 200), (17 * 1024, 431)] {
        let request = Request::job(JOB).header("x-long", &"x".repeat(length));
        assert_eq!(setup.proxy.send(request).await.status, status, "{length}");
    }
}

#[tokio::test]
async fn healthz() {
    let setup = Setup::start(&[], &[]).await;
    let answer = setup.proxy.send(Request::new("GET", "/healthz")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    // In raw bytes, to see that a HEAD brings no body.
    let mut client = setup.raw().await;
    let ask = "HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    client.write(ask).await;
    let answer = String::from_utf8(client.until_closed().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn checks_run_in_order() {
    let setup = Setup::start(&["--max-body", "100"], &[]).await;
    let large = "x".repeat(101);
    let ask = |method, path, kind: &str, body: &str| {
        let request = Request::untyped(body.to_owned()).header("content-type", kind);
        setup.proxy.send(request.to(method, path))
    };
    let json = "application/json";
    let row = |answer: Answer, status, code| drop::<Problem>(answer.problem(status, code, "no"));
    row(
        ask("PUT", "/nowhere", "text/html", &large).await,
        404,
        "not-found",
    );
    row(
        ask("PUT", "/jobs", "text/html", &large).await,
        405,
        "method-not-allowed",
    );
    row(
        ask("POST", "/jobs", "text/html", &large).await,
        415,
        "unsupported-media-type",
    );
    row(
        ask("POST", "/jobs", json, &large).await,
        413,
        "job-too-large",
    );
    row(
        ask("POST", "/jobs", json, r#"{"id":true"#).await,
        400,
        "malformed-json",
    );
    row(
        ask("POST", "/jobs", json, r#"{"id":true}"#).await,
        422,
        "invalid-job",
    );
}

#[tokio::test]
async fn nothing_of_a_callers_headers_reaches_the_upstream() {
    let mut upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), &["--max-wait", "0"], &[]).await;
    let mut request = Request::job(JOB);
    for (name, value) in [
        ("authorization", "Bearer caller"),
        ("cookie", "session=1"),
        ("user-agent", "caller/1"),
        ("accept", "text/html"),
        ("accept-encoding", "gzip"),
        ("x-forwarded-for", "192.0.2.1"),
        ("forwarded", "for=192.0.2.1"),
        ("x-batch-id", "mine"),
        ("x-batch-size", "99"),
        ("x-custom", "1"),
        ("origin", "https://example.org"),
        ("prefer", "wait=20"),
        ("tracestate", "a=b"),
        ("baggage", "a=b"),
    ] {
        request = request.header(name, value);
    }
    let answer = async { proxy.send(request).await };
    let call = async {
        let call = upstream.next().await;
        let mut names: Vec<_> = call.headers.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        let expected = [
            "accept",
            "content-length",
            "content-type",
            "host",
            "user-agent",
            "x-batch-id",
            "x-batch-size",
        ];
        assert_eq!(names, expected);
        let seen = format!("{:?}", call.headers);
        assert!(!seen.contains("caller") && !seen.contains("mine"), "{seen}");
        call.echo();
    };
    let (answer, ()) = tokio::join!(answer, call);
    answer.is_result(&echo("1"));
}

#[tokio::test]
async fn a_connection_is_kept_alive() {
    let setup = Setup::start(&[], &[]).await;
    let mut connection = setup.proxy.keep_alive().await;
    connection
        .post(r#"{"id":"a"}"#)
        .await
        .is_result(&echo(r#""a""#));
    // A refused job does no harm to its connection.
    connection
        .post(r#"{"id":null}"#)
        .await
        .problem(422, "invalid-job", "no");
    connection
        .send(Request::new("GET", "/nowhere"))
        .await
        .problem(404, "not-found", "no");
    connection
        .post(r#"{"id":"b"}"#)
        .await
        .is_result(&echo(r#""b""#));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let setup = Setup::start(&[], &[]).await;
    let mut client = setup.raw().await;
    let one = |id| {
        format!(
            "POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\n{{\"id\":{id}}}"
        )
    };
    client.write([one(1), one(2), one(3)].concat()).await;
    for id in ["1", "2", "3"] {
        client.answer().await.is_result(&echo(id));
    }
}

#[tokio::test]
async fn http2_with_prior_knowledge_on_the_same_port() {
    let setup = Setup::start(&[], &[]).await;
    let connection = H2c::connect(setup.proxy.jobs_addr).await;
    let ask = |id: u32| {
        connection
            .clone()
            .send(Request::job(format!(r#"{{"id":{id}}}"#)))
    };
    let (one, two, three) = tokio::join!(ask(1), ask(2), ask(3));
    one.is_result(&echo("1"));
    two.is_result(&echo("2"));
    three.is_result(&echo("3"));
    let bad = connection.clone().send(Request::job("{")).await;
    bad.problem(400, "malformed-json", "no");
    let health = connection.send(Request::new("GET", "/healthz")).await;
    assert_eq!(health.status, 200);
    // And HTTP/1.1 beside it.
    setup.goes_on().await;
}

#[tokio::test]
async fn an_http_1_0_caller_is_answered_and_the_connection_closed() {
    let setup = Setup::start(&[], &[]).await;
    let mut client = setup.raw().await;
    client
        .write(format!(
            "POST /jobs HTTP/1.0\r\nContent-Length: 8\r\n\r\n{JOB}"
        ))
        .await;
    let answer = within("the answer", client.until_closed()).await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(
        answer.contains(" 200 ") && answer.ends_with(&echo("1")),
        "{answer}"
    );
}
