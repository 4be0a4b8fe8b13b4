//! Section 12 of the contract: what a reload applies that is no route's.
//!
//! | setting | story |
//! |---|---|
//! | `server.auth.*`, `admin.auth.*` | `tokens_are_asked_for_and_count_on`, `operators_are_asked_for_tokens` |
//! | `server.tls.*` | `hands_are_shaken_from_then_on` |
//! | `later.*` | `a_store_is_held_to_other_bounds` |
//! | `server.max_connections` | `who_waits_for_a_place_has_one` |
//! | `log.level` | `other_lines_are_logged` |
//! | files that do not do | `every_mistake_of_files_is_told` |
//! | what can't change | `all_else_is_told_to_need_a_restart` |

use std::net::SocketAddr;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Child;

use crate::harness::certificates::{Authority, Like, curl, shown};
use crate::harness::{
    Answer, Caller, KeepAlive, Line, Log, Request, ScriptedUpstream, TokenFile, command, send,
    token_entry,
};
use crate::http_rules::JOB;

/// A proxy whose every setting is in its file.
struct Applying {
    jobs: SocketAddr,
    admin: SocketAddr,
    log: Log,
    upstream: ScriptedUpstream,
    directory: TempDir,
    _child: Child,
}

impl Applying {
    async fn start(more: &str) -> Self {
        let upstream = ScriptedUpstream::start().await;
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("microbatch.toml");
        std::fs::write(&file, settings(&upstream, more)).unwrap();
        let mut command = command();
        command.arg("serve").arg("--config").arg(&file);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let log = Log::read(child.stderr.take().expect("a pipe"));
        let listening = log.nth("listening", 1).await;
        log.nth("ready", 1).await;
        let address = |field| listening.text(field).parse().expect("an address");
        Self {
            jobs: address("listen"),
            admin: address("admin"),
            log,
            upstream,
            directory,
            _child: child,
        }
    }

    fn write(&self, more: &str) {
        let file = self.directory.path().join("microbatch.toml");
        std::fs::write(file, settings(&self.upstream, more)).unwrap();
    }

    /// What a reload by these settings answers.
    async fn reload(&self, more: &str) -> Answer {
        self.write(more);
        send(self.admin, Request::new("POST", "/reload")).await
    }

    /// One that is applied to the whole; no route is another for it.
    async fn applied(&self, more: &str) {
        let answer = self.reload(more).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let told = answer.json();
        assert_eq!(told["needs_restart"], serde_json::json!([]), "{told}");
        assert_eq!(told["routes"]["changed"], serde_json::json!([]), "{told}");
    }

    /// How often this token was let in.
    async fn let_in(&self, token: &str) -> u64 {
        let answer = send(self.admin, Request::new("GET", "/metrics")).await;
        let sample = format!("microbatch_requests_by_token_total{{token=\"{token}\"}} ");
        let lines = answer.text().lines();
        let mut counts = lines.filter_map(|line| line.strip_prefix(&sample));
        counts.next().expect("a count").parse().unwrap()
    }
}

/// Tables may come twice nowhere: `more` has what [`settings`] has none of.
fn settings(upstream: &ScriptedUpstream, more: &str) -> String {
    let url = upstream.url();
    format!(
        "server.listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\n\
         upstream.url = \"{url}\"\nbatch.max_size = 1\n{more}\n"
    )
}

fn bearing(request: Request, token: &str) -> Request {
    request.header("authorization", &format!("Bearer {token}"))
}

fn streams() -> Request {
    Request::new("GET", "/nowhere")
}

fn tokens(listener: &str, file: &TokenFile) -> String {
    format!("{listener}.auth.tokens = \"{}\"", file.path())
}

#[tokio::test]
async fn tokens_are_asked_for_and_count_on() {
    let it = Applying::start("").await;
    let mut stays = KeepAlive::connect(it.jobs).await;
    assert_eq!(stays.send(streams()).await.status, 404);
    let (one, other) = (
        TokenFile::of(&[("ci", "first")]),
        TokenFile::of(&[("ci", "second"), ("ops", "third")]),
    );
    it.applied(&tokens("server", &one)).await;
    let answer = stays.send(streams()).await;
    answer.problem(401, "unauthorized", "no");
    assert_eq!(stays.send(bearing(streams(), "first")).await.status, 404);
    assert_eq!(it.let_in("ci").await, 1);
    // The same file beside another change, and another file.
    it.applied(&(tokens("server", &one) + "\nserver.timing = false"))
        .await;
    assert_eq!(stays.send(bearing(streams(), "first")).await.status, 404);
    it.applied(&tokens("server", &other)).await;
    assert_eq!(stays.send(bearing(streams(), "first")).await.status, 401);
    assert_eq!(stays.send(bearing(streams(), "second")).await.status, 404);
    assert_eq!(it.let_in("ci").await, 3);
    // A file that does not do is a mistake of the reload, and nothing changes.
    let wrong = "server.auth.tokens = \"/nowhere/at/all\"";
    let answer = it.reload(wrong).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    assert!(answer.text().contains("server.auth.tokens"), "{answer:?}");
    assert_eq!(stays.send(bearing(streams(), "second")).await.status, 404);
    // One that has changed is read again before that is answered, mistakes or none.
    other.replace(&token_entry("ci", "fourth"));
    assert_eq!(it.reload(wrong).await.status, 422);
    assert_eq!(stays.send(bearing(streams(), "second")).await.status, 401);
    assert_eq!(stays.send(bearing(streams(), "fourth")).await.status, 404);
    it.applied("").await;
    assert_eq!(stays.send(streams()).await.status, 404);
}

#[tokio::test]
async fn operators_are_asked_for_tokens() {
    let it = Applying::start("").await;
    let file = TokenFile::of(&[("ops", "first")]);
    it.applied(&tokens("admin", &file)).await;
    let answer = it.reload("").await;
    answer.problem(401, "unauthorized", "no");
    let reload = bearing(Request::new("POST", "/reload"), "first");
    assert_eq!(send(it.admin, reload).await.status, 200);
    it.applied("").await;
}

#[tokio::test]
async fn hands_are_shaken_from_then_on() {
    let it = Applying::start("").await;
    let authority = Authority::new();
    let pair = authority.pair("proxy", Like::Good);
    let tls = |cert: &str| {
        format!(
            "server.tls.cert = \"{cert}\"\nserver.tls.key = \"{}\"",
            shown(&pair.key)
        )
    };
    let mut stays = KeepAlive::connect(it.jobs).await;
    let health = || Request::new("GET", "/healthz");
    assert_eq!(stays.send(health()).await.status, 200);
    let answer = it.reload(&tls("/nowhere/at/all")).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    assert!(answer.text().contains("server.tls"), "{answer:?}");
    assert_eq!(send(it.jobs, health()).await.status, 200);
    it.applied(&tls(&shown(&pair.cert))).await;
    assert_eq!(send(it.jobs, health()).await.status, 400);
    assert_eq!(stays.send(health()).await.status, 200, "as it has come in");
    if let Some(said) = curl(&authority, it.jobs, "/healthz", &[]).await {
        assert_eq!(said.code, Some(0), "{said:?}");
    }
    it.applied("").await;
    assert_eq!(send(it.jobs, health()).await.status, 200);
}

#[tokio::test]
async fn a_store_is_held_to_other_bounds() {
    let it = Applying::start("").await;
    let hand_in = || send(it.jobs, Request::later(JOB));
    assert_eq!(hand_in().await.status, 202);
    it.applied("later.max_jobs = 1").await;
    hand_in().await.problem(503, "store-full", "no");
    it.applied("later.max_jobs = 2").await;
    assert_eq!(hand_in().await.status, 202);
}

#[tokio::test]
async fn who_waits_for_a_place_has_one() {
    let mut it = Applying::start("server.max_connections = 1").await;
    let first = Caller::spawn(it.jobs, Request::job(JOB));
    let call = it.upstream.next().await;
    let waits = tokio::spawn(send(it.jobs, Request::new("GET", "/healthz")));
    it.applied("server.max_connections = 2").await;
    assert_eq!(waits.await.unwrap().status, 200);
    call.echo();
    assert_eq!(first.answer().await.status, 200);
}

#[tokio::test]
async fn other_lines_are_logged() {
    let it = Applying::start("").await;
    it.applied("log.level = \"error\"").await;
    it.applied("server.timing = false").await;
    let reloaded = |line: &Line| line.message() == "settings reloaded";
    let first = it.log.wait_for("what was reloaded", reloaded).await;
    assert!(
        first.text("settings").contains("server.timing"),
        "{first:?}"
    );
}

#[tokio::test]
async fn all_else_is_told_to_need_a_restart() {
    let it = Applying::start("").await;
    for (key, value) in [
        ("server.threads", "1"),
        ("server.socket_mode", "\"0600\""),
        ("admin.socket_mode", "\"0600\""),
        ("later.store", "\"off\""),
        ("later.prefix", "\"other\""),
        ("log.format", "\"json\""),
    ] {
        let answer = it.reload(&format!("{key} = {value}")).await;
        // A setting of sockets is a mistake beside an address of another kind.
        if answer.status == 422 {
            assert!(key.ends_with("socket_mode"), "{key}: {answer:?}");
            continue;
        }
        let told = answer.json();
        assert_eq!(told["needs_restart"][0]["key"], key, "{told}");
        assert_eq!(told["applied"], serde_json::json!([]), "{told}");
    }
}

#[tokio::test]
async fn every_mistake_of_files_is_told() {
    let it = Applying::start("").await;
    let route = |name| {
        format!(
            "[routes.{name}]\npath = \"/{name}\"\n[routes.{name}.upstream]\n\
             url = \"https://localhost:1/\"\ntls.ca = \"/nowhere/{name}.pem\"\n"
        )
    };
    let answer = it.reload(&(route("a") + &route("b"))).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    let told = answer.json();
    assert_eq!(told["code"], "invalid-config");
    let mistakes: Vec<_> = told["mistakes"].as_array().unwrap().iter().collect();
    for name in ["a", "b"] {
        let key = format!("routes.{name}.upstream.tls: /nowhere/{name}.pem: can't be read");
        let is_it = |it: &&serde_json::Value| it.as_str().unwrap().starts_with(&key);
        assert!(mistakes.iter().copied().any(|it| is_it(&it)), "{told}");
    }
    assert_eq!(mistakes.len(), 2, "{told}");
    // Nothing has changed.
    let missing = send(it.jobs, Request::new("POST", "/a")).await;
    missing.problem(404, "not-found", "no");
}
