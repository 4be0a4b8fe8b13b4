//! Section 12 of the contract: who bears no token comes no further, on either listener.

use std::io::Write;
use std::process::{Output, Stdio};

use tempfile::NamedTempFile;

use crate::harness::{
    Answer, H2c, Handed, KeepAlive, Listening, Peer, PeerUpstream, Proxy, RawClient, Request,
    Scrape, ScriptedUpstream, TokenFile, command, send, token_entry, within,
};
use crate::http_rules::{JOB, echo};

/// Tokens as they are presented, and as the file has them.
const CI: &str = "mbt_ci-of-the-story";
const OPS: &str = "a token of the operators' own";

fn path(file: &NamedTempFile) -> &str {
    file.path().to_str().expect("a path in UTF-8")
}

fn bearing(request: Request, token: &str) -> Request {
    request.header("authorization", &format!("Bearer {token}"))
}

fn is_unauthorized(answer: &Answer) {
    answer.problem(401, "unauthorized", "no").lacks("id");
    assert_eq!(answer.header("www-authenticate"), "Bearer", "{answer:?}");
}

/// A proxy that lets in who bears `ci` or `ops`, on both listeners, before an upstream that
/// answers nothing by itself.
struct Guarded {
    proxy: Proxy,
    upstream: ScriptedUpstream,
    _tokens: TokenFile,
}

impl Guarded {
    async fn start(env: &[(&str, &str)]) -> Self {
        let tokens = TokenFile::of(&[("ci", CI), ("ops", OPS)]);
        let upstream = ScriptedUpstream::start().await;
        let both = [
            ("MICROBATCH_SERVER__AUTH__TOKENS", tokens.path()),
            ("MICROBATCH_ADMIN__AUTH__TOKENS", tokens.path()),
        ];
        let env = [&both, env].concat();
        let proxy = Proxy::start(&upstream.url(), &["--max-wait", "0"], &env).await;
        Self {
            proxy,
            upstream,
            _tokens: tokens,
        }
    }

    async fn metrics(&self) -> String {
        let request = bearing(Request::new("GET", "/metrics"), OPS);
        let answer = send(self.proxy.admin_addr.expect("an admin listener"), request).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text().to_owned()
    }
}

#[tokio::test]
async fn nobody_comes_in_without_a_token_but_to_ask_whether_it_lives() {
    let guarded = Guarded::start(&[("MICROBATCH_LATER__STORE", "memory")]).await;
    let (jobs, admin) = (guarded.proxy.jobs_addr, guarded.proxy.admin_addr.unwrap());
    for (address, method, path, open) in [
        (jobs, "POST", "/jobs", None),
        (jobs, "GET", "/jobs", None),
        (jobs, "GET", "/jobs/0123", None),
        (jobs, "GET", "/streams/a", None),
        (jobs, "GET", "/", None),
        (jobs, "GET", "/nowhere", None),
        (jobs, "GET", "/readyz", None),
        (jobs, "GET", "/healthz/", None),
        (jobs, "GET", "/healthz", Some(200)),
        (jobs, "HEAD", "/healthz", Some(200)),
        (jobs, "POST", "/healthz", Some(405)),
        (admin, "GET", "/", Some(200)),
        (admin, "HEAD", "/", Some(200)),
        (admin, "POST", "/", None),
        (admin, "GET", "/livez", Some(200)),
        (admin, "GET", "/readyz", Some(200)),
        (admin, "GET", "/metrics", None),
        (admin, "GET", "/live", None),
        (admin, "GET", "/advice", None),
        (admin, "GET", "/config", None),
        (admin, "POST", "/flush", None),
        (admin, "GET", "/nowhere", None),
        (admin, "GET", "//livez", None),
    ] {
        let request = Request::job(JOB).to(method, path);
        let answer = send(address, request.clone()).await;
        match open {
            Some(status) => assert_eq!(answer.status, status, "{method} {path}: {answer:?}"),
            None => {
                is_unauthorized(&answer);
                let wrong = send(address, bearing(request, "mbt_wrong")).await;
                is_unauthorized(&wrong);
                assert!(!wrong.text().contains("mbt_wrong"), "{wrong:?}");
            }
        }
    }
    // By HTTP/2, too.
    is_unauthorized(&H2c::connect(jobs).await.send(Request::job(JOB)).await);
    is_unauthorized(
        &H2c::connect(admin)
            .await
            .send(Request::new("GET", "/live"))
            .await,
    );
    let metrics = guarded.metrics().await;
    let refused = "microbatch_jobs_refused_total{route=\"jobs\",code=\"unauthorized\"} 17\n";
    assert!(metrics.contains(refused), "{metrics}");
    assert!(metrics.contains("microbatch_requests_by_token_total{token=\"ci\"} 0\n"));
}

#[tokio::test]
async fn a_token_lets_in_and_is_counted_by_its_name() {
    let mut guarded = Guarded::start(&[]).await;
    let jobs = guarded.proxy.jobs_addr;
    let mut kept = KeepAlive::connect(jobs).await;
    for authorization in [
        format!("Bearer {CI}"),
        format!("bearer {CI}"),
        format!("BEARER   {CI} "),
        format!("Bearer {OPS}"),
        format!("Bearer {CI}"),
        format!("Bearer {CI}"),
    ] {
        let request = Request::job(JOB).header("authorization", &authorization);
        let (answer, ()) = tokio::join!(kept.send(request), async {
            guarded.upstream.next().await.echo();
        });
        answer.is_result(&echo("1"));
    }
    let connection = H2c::connect(jobs).await;
    let request = bearing(Request::job(JOB), OPS);
    let (answer, ()) = tokio::join!(connection.send(request), async {
        guarded.upstream.next().await.echo();
    });
    answer.is_result(&echo("1"));
    // And right after it, on the same connection, nobody else.
    for authorization in [
        "",
        "Bearer",
        "Bearer ",
        CI,
        &format!("Basic {CI}"),
        &format!("Bearer {CI}x"),
        &format!("Bearer {}", &CI[..CI.len() - 1]),
        &format!("Bearer{CI}"),
        &format!("Bearer {}", "x".repeat(10_000)),
    ] {
        let request = Request::job(JOB).header("authorization", authorization);
        is_unauthorized(&kept.send(request).await);
    }
    let twice = bearing(bearing(Request::job(JOB), CI), CI);
    is_unauthorized(&kept.send(twice).await);
    is_unauthorized(&kept.send(Request::job(JOB)).await);
    let metrics = guarded.metrics().await;
    for counted in ["{token=\"ci\"} 5\n", "{token=\"ops\"} 3\n"] {
        let counted = format!("microbatch_requests_by_token_total{counted}");
        assert!(metrics.contains(&counted), "{counted}: {metrics}");
    }
    let told = guarded.proxy.log.count(|line| {
        let line = line.0.to_string();
        line.contains(CI) || line.contains(OPS)
    });
    assert_eq!(told, 0, "{}", guarded.proxy.log);
}

#[tokio::test]
async fn a_foreign_host_is_told_first_and_a_path_that_is_none_last() {
    let guarded = Guarded::start(&[]).await;
    let admin = guarded.proxy.admin_addr.unwrap();
    for address in [guarded.proxy.jobs_addr, admin] {
        let foreign = Request::new("GET", "/nowhere").for_host("rebound.example");
        for request in [foreign.clone(), bearing(foreign, CI)] {
            let answer = send(address, request).await;
            answer.problem(421, "misdirected", "no");
        }
        is_unauthorized(&send(address, Request::new("GET", "/nowhere")).await);
        let nowhere = bearing(Request::new("GET", "/nowhere"), CI);
        let answer = send(address, nowhere).await;
        answer.problem(404, "not-found", "no");
    }
    // What is open is so to those whom the Host lets in alone.
    for path in ["/", "/livez"] {
        let open = Request::new("GET", path).for_host("rebound.example");
        let answer = send(admin, open).await;
        answer.problem(421, "misdirected", "no");
    }
    let foreign = Request::new("POST", "/flush").header("origin", "null");
    for request in [foreign.clone(), bearing(foreign, OPS)] {
        let answer = send(admin, request).await;
        answer.problem(403, "foreign-origin", "no");
    }
}

/// Settings of a route whose calls may go alone, and whose upstream is at `url`.
fn route(url: &str, more: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a file");
    let text = format!(
        "[routes.a]\npath = \"/a\"\nshape = \"openai-embeddings\"\n{more}\
         [routes.a.upstream]\nurl = \"{url}\"\n"
    );
    file.write_all(text.as_bytes()).expect("the settings");
    file
}

#[tokio::test]
async fn a_token_goes_no_further_unless_it_is_asked_for() {
    const UPGRADE: &str = "GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\n\
                           Upgrade: websocket\r\nAuthorization: ";
    let tokens = TokenFile::of(&[("ci", CI)]);
    for (more, guarded, through, elsewhere) in [
        ("", true, false, false),
        ("forward_headers = [\"authorization\"]\n", true, true, false),
        // Where there are no tokens it is the upstream's.
        ("", false, true, true),
    ] {
        let (alone, passed) = (PeerUpstream::start().await, PeerUpstream::start().await);
        let settings = route(&alone.url("/a"), more);
        let url = passed.url("/");
        let mut env = vec![("MICROBATCH_PASSTHROUGH__URL", url.as_str())];
        if guarded {
            env.push(("MICROBATCH_SERVER__AUTH__TOKENS", tokens.path()));
        }
        let flags = ["--config", path(&settings), "--max-wait", "0"];
        let proxy = Proxy::start("", &flags, &env).await;
        let seen = |head: &str| head.to_lowercase().contains("authorization: bearer");
        // An upgrade of a route: without a token it reaches nobody.
        if guarded {
            let mut raw = RawClient::connect(proxy.jobs_addr).await;
            raw.write(format!("{UPGRADE}Bearer wrong\r\n\r\n")).await;
            is_unauthorized(&raw.answer().await);
            let mut raw = RawClient::connect(proxy.jobs_addr).await;
            raw.write(UPGRADE.replace("/a ", "/other ") + "\r\n\r\n")
                .await;
            is_unauthorized(&raw.answer().await);
        }
        let mut caller = Peer::connect(proxy.jobs_addr).await;
        caller.write(format!("{UPGRADE}Bearer {CI}\r\n\r\n")).await;
        let mut wire = alone.accept().await;
        assert_eq!(seen(&wire.head().await), through, "{more} {guarded}");
        let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
                         Upgrade: websocket\r\n\r\n";
        wire.write(switching).await;
        caller.until("\r\n\r\n").await;
        // A call of it that goes alone.
        let mut caller = Peer::connect(proxy.jobs_addr).await;
        let call = format!("GET /a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {CI}");
        caller.write(format!("{call}\r\n\r\n")).await;
        let mut wire = alone.accept().await;
        assert_eq!(seen(&wire.head().await), through, "{more} {guarded}");
        wire.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await;
        caller.until("\r\n\r\n").await;
        // One that is merged.
        let body = r#"{"model":"m","input":["a"]}"#;
        let mut caller = Peer::connect(proxy.jobs_addr).await;
        let head = "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
        let length = body.len();
        let rest = format!("Authorization: Bearer {CI}\r\nContent-Length: {length}\r\n\r\n{body}");
        caller.write(format!("{head}{rest}")).await;
        let mut wire = alone.accept().await;
        let forwards = !more.is_empty();
        assert_eq!(seen(&wire.head().await), forwards, "{more} {guarded}");
        drop(wire);
        // What is no route's.
        let mut caller = Peer::connect(proxy.jobs_addr).await;
        caller
            .write(call.replace("/a ", "/other ") + "\r\n\r\n")
            .await;
        let mut wire = passed.accept().await;
        assert_eq!(seen(&wire.head().await), elsewhere, "{more} {guarded}");
    }
}

async fn token(args: &[&str]) -> Output {
    let mut command = command();
    command.arg("token").args(args).stdin(Stdio::null());
    let output = within("the end of the command", command.output()).await;
    output.expect("the binary starts")
}

#[tokio::test]
async fn the_command_makes_a_token_that_lets_in() {
    let made = token(&["ci"]).await;
    assert!(made.status.success());
    let line = String::from_utf8(made.stdout).unwrap();
    let shown = String::from_utf8(made.stderr).unwrap();
    let token_made = shown.strip_suffix('\n').expect("a line");
    assert!(token_made.starts_with("mbt_") && !token_made.contains(char::is_whitespace));
    // What is appended to the file does not tell it.
    assert_eq!(line, token_entry("ci", token_made));
    let mut tokens = NamedTempFile::new().unwrap();
    tokens.write_all(line.as_bytes()).unwrap();
    let mut upstream = ScriptedUpstream::start().await;
    let env = [("MICROBATCH_SERVER__AUTH__TOKENS", path(&tokens))];
    let proxy = Proxy::start(&upstream.url(), &["--max-wait", "0"], &env).await;
    let request = bearing(Request::job(JOB), token_made);
    let (answer, ()) = tokio::join!(proxy.send(request), async {
        upstream.next().await.echo();
    });
    answer.is_result(&echo("1"));
    let scrape = Scrape::of(&proxy).await;
    assert_eq!(scrape.get("requests_by_token_total{token=\"ci\"}"), 1.0);

    for wrong in ["", "a b", &"n".repeat(65), token_made] {
        let refused = token(&[wrong]).await;
        assert_eq!(refused.status.code(), Some(2), "{wrong}");
        assert!(refused.stdout.is_empty());
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(!said.contains(token_made), "{said}");
    }
}

#[tokio::test]
async fn a_file_that_does_not_do_is_an_error_at_start() {
    let upstream = ScriptedUpstream::start().await;
    let bare = {
        let mut file = NamedTempFile::new().unwrap();
        writeln!(file, "# tokens\nci: {CI}").unwrap();
        file
    };
    let empty = NamedTempFile::new().unwrap();
    for key in ["SERVER", "ADMIN"] {
        for (file, says) in [
            (path(&bare), "line 2: a token itself stands there"),
            (path(&empty), "there is no token in it"),
            ("/nowhere/tokens", "can't be read"),
        ] {
            let mut command = command();
            command.env(format!("MICROBATCH_{key}__AUTH__TOKENS"), file);
            command.args(["--upstream", &upstream.url(), "--listen", "127.0.0.1:0"]);
            command.args(["--admin-listen", "127.0.0.1:0"]);
            let failed = within("the end of the process", command.output()).await;
            let failed = failed.expect("the binary starts");
            assert_eq!(failed.status.code(), Some(78), "{file}");
            let said = String::from_utf8(failed.stderr).unwrap();
            let key = format!("{}.auth.tokens", key.to_lowercase());
            for part in [&key, file, says] {
                assert!(said.contains(part), "{part}: {said}");
            }
            assert!(!said.contains(CI), "{said}");
        }
    }
}

#[tokio::test]
async fn a_file_that_changes_is_in_force_for_connections_that_are_open() {
    let upstream = ScriptedUpstream::start().await;
    let tokens = TokenFile::of(&[("ci", CI)]);
    let env = [("MICROBATCH_SERVER__AUTH__TOKENS", tokens.path())];
    let proxy = Proxy::start(&upstream.url(), &[], &env).await;
    let mut kept = KeepAlive::connect(proxy.jobs_addr).await;
    let nowhere = |token| bearing(Request::new("GET", "/nowhere"), token);
    assert_eq!(kept.send(nowhere(CI)).await.status, 404);
    assert_eq!(kept.send(nowhere(OPS)).await.status, 401);
    tokens.replace(&token_entry("ops", OPS));
    proxy.log.nth("changed files are in force", 1).await;
    assert_eq!(kept.send(nowhere(CI)).await.status, 401);
    assert_eq!(kept.send(nowhere(OPS)).await.status, 404);
    // A mistake changes nothing, and is told.
    tokens.replace(&format!("ops: {OPS}\n"));
    let told = "changed files do not do: what was in force stays";
    let line = proxy.log.nth(told, 1).await;
    assert_eq!(line.text("files"), "server.auth.tokens");
    assert!(line.text("error").contains(": line 1: "), "{line:?}");
    assert!(!line.0.to_string().contains(OPS), "{line:?}");
    assert_eq!(kept.send(nowhere(OPS)).await.status, 404);
    let scrape = Scrape::of(&proxy).await;
    for (sample, count) in [
        ("tokens_reloads_total{result=\"ok\"}", 1.0),
        ("tokens_reloads_total{result=\"failed\"}", 1.0),
        ("requests_by_token_total{token=\"ops\"}", 2.0),
    ] {
        assert_eq!(scrape.get(sample), count, "{sample}");
    }
}

#[tokio::test]
async fn a_job_for_later_is_that_of_the_token_that_made_it() {
    let mut guarded = Guarded::start(&[("MICROBATCH_LATER__STORE", "memory")]).await;
    let jobs = guarded.proxy.jobs_addr;
    let later = |token, key: &str| {
        let request = Request::later(JOB).to("POST", "/jobs?stream=s");
        bearing(request, token).header("idempotency-key", key)
    };
    let mut handed = Vec::new();
    for token in [CI, OPS] {
        // The same key of another token is another request.
        let first = Handed::of(&send(jobs, later(token, "k")).await);
        guarded.upstream.next().await.echo();
        let request = bearing(Request::new("GET", &first.location), token);
        let answer = send(jobs, request.header("prefer", "wait=30")).await;
        answer.is_result(&echo("1"));
        let again = send(jobs, later(token, "k")).await;
        assert_eq!(again.header("location"), first.location);
        handed.push((token, first));
    }
    for (owner, handed) in &handed {
        for token in [CI, OPS] {
            for method in ["GET", "HEAD"] {
                let request = bearing(Request::new(method, &handed.location), token);
                let status = if token == *owner { 200 } else { 404 };
                assert_eq!(send(jobs, request).await.status, status, "{method}");
            }
        }
        let other = if *owner == CI { OPS } else { CI };
        let delete = bearing(Request::new("DELETE", &handed.location), other);
        send(jobs, delete).await.problem(404, "job-unknown", "");
        // A stream tells what its own listeners have handed in, by the handles they know.
        let request = bearing(Request::new("GET", "/streams/s"), owner);
        let mut listening = Listening::to(&guarded.proxy, request).await;
        let event = listening.event().await.expect("an event");
        assert_eq!(event.json()["handle"], handed.handle.as_str());
        let delete = bearing(Request::new("DELETE", &handed.location), owner);
        assert_eq!(send(jobs, delete).await.status, 204);
    }
    assert!(guarded.upstream.arrived().is_none());
}
