//! Section 12 of the contract: reload.
//!
//! | what is said | story |
//! |---|---|
//! | routes appear, go and change | `routes_appear_and_go_under_a_caller_who_stays` |
//! | what waits leaves by the old one's rules | `what_waits_leaves_as_it_would_have` |
//! | a route that is as it was goes on | `a_route_that_did_not_change_goes_on_gathering` |
//! | mistakes change nothing and are told | `mistakes_change_nothing_and_are_all_told` |
//! | what can't change is told | `what_needs_a_restart_is_told_and_stays` |
//! | SIGHUP, and a file that is watched | `a_signal_reloads`, `a_file_that_is_watched_reloads` |
//! | the end waits for what has left | `the_end_waits_for_what_has_left` |
//! | nothing is lost or doubled | `reload_swaps` |

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::{Answer, Line, Proxy, Scrape, ScriptedUpstream, Signal, call};

/// A proxy by a file of settings that changes.
struct Reloading {
    proxy: Proxy,
    upstream: ScriptedUpstream,
    directory: TempDir,
}

fn file(directory: &TempDir) -> PathBuf {
    directory.path().join("microbatch.toml")
}

impl Reloading {
    /// In the settings `URL` stands for the upstream's `scheme://host:port`.
    async fn start(settings: &str, flags: &[&str]) -> Self {
        let upstream = ScriptedUpstream::start().await;
        let directory = TempDir::new().unwrap();
        let settings = settings.replace("URL", &origin(&upstream));
        std::fs::write(file(&directory), settings).unwrap();
        let path = file(&directory);
        let flags = [&["--config", path.to_str().unwrap()], flags].concat();
        let proxy = Proxy::start("", &flags, &[]).await;
        Self {
            proxy,
            upstream,
            directory,
        }
    }

    /// Has other settings stand in the file, all at once.
    fn write(&self, settings: &str) {
        let settings = settings.replace("URL", &origin(&self.upstream));
        let next = self.directory.path().join("next");
        std::fs::write(&next, settings).unwrap();
        std::fs::rename(next, file(&self.directory)).unwrap();
    }

    async fn reload(&self, settings: &str) -> Answer {
        self.write(settings);
        self.proxy.admin("POST", "/reload").await
    }

    /// What it says that became of routes: added, changed, removed.
    async fn reloaded(&self, settings: &str) -> [Vec<String>; 3] {
        let answer = self.reload(settings).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let routes = &answer.json()["routes"];
        ["added", "changed", "removed"].map(|what| {
            let names = routes[what].as_array().unwrap().iter();
            names.map(|it| it.as_str().unwrap().to_owned()).collect()
        })
    }
}

fn origin(upstream: &ScriptedUpstream) -> String {
    format!("http://{}", upstream.addr())
}

fn jobs(batch: &str) -> String {
    format!("[upstream]\nurl = \"URL/jobs\"\n[batch]\n{batch}\n")
}

/// The settings of `jobs`, and a route beside it.
fn with_other(target: &str, batch: &str) -> String {
    let jobs = jobs("max_size = 1");
    format!(
        "{jobs}[routes.other]\npath = \"/other\"\n[routes.other.upstream]\nurl = \"URL{target}\"\n\
         [routes.other.batch]\n{batch}\n"
    )
}

fn nothing() -> [Vec<String>; 3] {
    Default::default()
}

fn one(at: usize, name: &str) -> [Vec<String>; 3] {
    let mut routes = nothing();
    routes[at] = vec![name.to_owned()];
    routes
}

#[tokio::test]
async fn routes_appear_and_go_under_a_caller_who_stays() {
    let mut it = Reloading::start(&jobs("max_size = 1"), &[]).await;
    let mut caller = it.proxy.keep_alive().await;
    let other = || call("/other", r#"{"id":1,"body":2}"#);
    let answer = caller.send(other()).await;
    answer.problem(404, "not-found", "no");
    let accepted = r#"jobs_accepted_total{route="other"}"#;
    for (round, target) in ["/a", "/b"].into_iter().enumerate() {
        let reloaded = it.reloaded(&with_other(target, "max_size = 1")).await;
        assert_eq!(reloaded, one(0, "other"));
        let asked = caller.send(other());
        let served = async {
            let call = it.upstream.next().await;
            assert_eq!(call.path, target);
            call.echo();
        };
        let (answer, ()) = tokio::join!(asked, served);
        answer.is_result(r#"{"id":1,"result":2}"#);
        let live = it.proxy.admin("GET", "/live").await.json();
        assert_eq!(live["routes"], serde_json::json!(["jobs", "other"]));
        let scrape = Scrape::of(&it.proxy).await;
        assert_eq!(scrape.get(accepted), (round + 1) as f64);
        let reloaded = it.reloaded(&jobs("max_size = 1")).await;
        assert_eq!(reloaded, one(2, "other"));
        let answer = caller.send(other()).await;
        answer.problem(404, "not-found", "no");
        let flush = it.proxy.admin("POST", "/flush?route=other").await;
        flush.problem(404, "not-found", "no");
    }
    let scrape = Scrape::of(&it.proxy).await;
    assert_eq!(scrape.get(r#"config_reloads_total{result="ok"}"#), 4.0);
    assert!(scrape.get("config_last_reload_timestamp_seconds") > 1e9);
}

#[tokio::test]
async fn what_waits_leaves_as_it_would_have() {
    let mut it = Reloading::start(&jobs("max_size = 2\nmax_wait = \"2s\""), &[]).await;
    let waits = it.proxy.enqueue(r#"{"id":1,"body":"old"}"#).await;
    let new = "[upstream]\nurl = \"URL/new\"\n[batch]\nmax_size = 1\n";
    assert_eq!(it.reloaded(new).await, one(1, "jobs"));
    let begun = Instant::now();
    let asks = it.proxy.post(r#"{"id":2,"body":"new"}"#);
    let served = async {
        let call = it.upstream.next().await;
        let seen = (call.path.clone(), call.ids());
        call.echo();
        seen
    };
    let (answer, seen) = tokio::join!(asks, served);
    answer.is_result(r#"{"id":2,"result":"new"}"#);
    assert_eq!(seen, ("/new".to_owned(), vec![2.into()]));
    // What waits is counted with what is new.
    let scrape = Scrape::of(&it.proxy).await;
    assert_eq!(scrape.get("jobs_accepted_total"), 2.0);
    let call = it.upstream.next().await;
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert_eq!((call.path.as_str(), call.ids()), ("/jobs", vec![1.into()]));
    call.echo();
    waits.answer().await.is_result(r#"{"id":1,"result":"old"}"#);
    let scrape = Scrape::of(&it.proxy).await;
    assert_eq!(scrape.get("jobs_accepted_total"), 2.0);
    assert_eq!(scrape.unanswered(), 0.0);
}

#[tokio::test]
async fn a_route_that_did_not_change_goes_on_gathering() {
    let gathers = jobs("max_size = 2\nmax_wait = \"50s\"");
    let mut it = Reloading::start(&gathers, &[]).await;
    let first = it.proxy.enqueue(r#"{"id":1,"body":1}"#).await;
    let other = "[server]\ntiming = false\n[routes.other]\npath = \"/other\"\n\
                 [routes.other.upstream]\nurl = \"URL/other\"\n";
    assert_eq!(it.reloaded(&(gathers + other)).await, one(0, "other"));
    let second = it.proxy.post(r#"{"id":2,"body":2}"#);
    let served = async {
        let call = it.upstream.next().await;
        assert_eq!(call.ids(), [1, 2]);
        call.echo();
    };
    let (second, ()) = tokio::join!(second, served);
    second.is_result(r#"{"id":2,"result":2}"#);
    assert_eq!(second.headers.get("server-timing"), None, "as it is set");
    first.answer().await.is_result(r#"{"id":1,"result":1}"#);
}

#[tokio::test]
async fn mistakes_change_nothing_and_are_all_told() {
    let it = Reloading::start(&jobs("max_size = 1"), &[]).await;
    let before = it.proxy.admin("GET", "/config").await;
    let answer = it.reload("[batch]\nmax_size = 0\nmax_weight = 1\n").await;
    assert_eq!(answer.status, 422, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem = answer.json();
    assert_eq!(problem["code"], "invalid-config");
    let mistakes = problem["mistakes"].as_array().unwrap();
    for key in ["batch.max_size", "batch.max_weight", "upstream.url"] {
        let told = |it: &serde_json::Value| it.as_str().unwrap().contains(key);
        assert!(mistakes.iter().any(told), "{key}: {problem}");
    }
    it.proxy.signal(Signal::HUP);
    let told = |line: &Line| line.text("mistakes").contains("batch.max_weight");
    it.proxy.log.wait_for_nth("the mistakes", 2, told).await;
    assert_eq!(it.proxy.admin("GET", "/config").await.body, before.body);
    let scrape = Scrape::of(&it.proxy).await;
    assert_eq!(scrape.get(r#"config_reloads_total{result="failed"}"#), 2.0);
    assert_eq!(it.reloaded(&jobs("max_size = 1")).await, nothing());
}

#[tokio::test]
async fn what_needs_a_restart_is_told_and_stays() {
    // Under the lease of a store that is shared, which is checked whether or not it is in force.
    let flags = ["--upstream-timeout", "20s"];
    let it = Reloading::start(&jobs("max_size = 1"), &flags).await;
    let store = "[later]\nstore = \"redis://me:s3cret@localhost/\"\n";
    let answer = it.reload(&(jobs("max_size = 2") + store)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!answer.text().contains("s3cret"));
    let told = answer.json();
    let [change] = &told["needs_restart"].as_array().unwrap()[..] else {
        panic!("{told}");
    };
    assert_eq!(change["key"], "later.store");
    assert_eq!(change["old"], "\"memory\"");
    assert_eq!(told["routes"]["changed"], serde_json::json!(["jobs"]));
    assert_eq!(told["applied"][0]["key"], "batch.max_size");
    assert_eq!(told["applied"][0]["new"], "2");
    let config = it.proxy.admin("GET", "/config").await;
    let in_force = ["max_size = 2", "store = \"memory\""];
    assert!(
        in_force.iter().all(|it| config.text().contains(it)),
        "{config:?}"
    );
}

#[tokio::test]
async fn a_signal_reloads() {
    let it = Reloading::start(&jobs("max_size = 1"), &[]).await;
    it.write(&with_other("/a", "max_size = 1"));
    it.proxy.signal(Signal::HUP);
    let told = |line: &Line| line.message() == "settings reloaded" && line.text("added") == "other";
    it.proxy.log.wait_for("what was reloaded", told).await;
    assert_eq!(
        it.proxy.admin("POST", "/flush?route=other").await.status,
        200
    );
}

#[tokio::test]
async fn a_file_that_is_watched_reloads() {
    let it = Reloading::start(&jobs("max_size = 1"), &["--watch"]).await;
    it.write("[batch]\nmax_siz");
    let failed = |line: &Line| line.message().starts_with("settings not reloaded");
    it.proxy.log.wait_for("the mistake", failed).await;
    it.write(&with_other("/a", "max_size = 1"));
    let told = |line: &Line| line.message() == "settings reloaded";
    it.proxy.log.wait_for("what was reloaded", told).await;
    assert_eq!(it.proxy.log.count(failed), 1);
}

#[tokio::test]
async fn the_end_waits_for_what_has_left() {
    let mut it = Reloading::start(&jobs("max_size = 1"), &[]).await;
    let waits = it.proxy.enqueue(r#"{"id":1,"body":1}"#).await;
    let under_way = it.upstream.next().await;
    let other = "[routes.other]\npath = \"/other\"\n[routes.other.upstream]\nurl = \"URL/other\"\n";
    let [added, _, removed] = it.reloaded(other).await;
    assert_eq!(
        (added, removed),
        (vec!["other".to_owned()], vec!["jobs".to_owned()])
    );
    it.proxy.signal(Signal::TERM);
    it.proxy.drains().await;
    under_way.echo();
    waits.answer().await.is_result(r#"{"id":1,"result":1}"#);
    assert_eq!(it.proxy.exit_code().await, Some(0));
    let done = it.proxy.log.last().await;
    assert_eq!((done.message(), done.number("accepted")), ("done", 1));
}
