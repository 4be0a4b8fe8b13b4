//! `microbatch submit` before the real proxy, which is full, stops, or is gone for a while.

use std::collections::HashMap;
use std::fs;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinHandle;

use crate::harness::{
    Proxy, Reserved, ScriptedUpstream, Signal, Submit, command, eventually, jobs, results, within,
    word,
};

/// How often the upstream was given each job, by its id.
type Given = Arc<Mutex<HashMap<u64, u32>>>;

/// Answers whatever comes, and counts it, until it is dropped.
struct Echo {
    given: Given,
    task: JoinHandle<()>,
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Echo {
    fn start(mut upstream: ScriptedUpstream) -> Self {
        let given = Given::default();
        let counted = given.clone();
        let task = tokio::spawn(async move {
            loop {
                let call = upstream.next_ever().await;
                for id in call.ids() {
                    let mut counted = counted.lock().unwrap();
                    *counted.entry(id.as_u64().unwrap()).or_default() += 1;
                }
                call.echo();
            }
        });
        Self { given, task }
    }

    /// Each of so many once.
    fn had_each_once(&self, count: u64) {
        let given = self.given.lock().unwrap();
        assert_eq!(given.len() as u64, count, "{given:?}");
        assert!(given.values().all(|&times| times == 1), "{given:?}");
    }
}

fn each_done(count: u64, text: &str) {
    let mut found = results(text);
    found.sort_unstable();
    assert!(
        found.into_iter().eq((1..=count).map(|id| (id, 200))),
        "{text}"
    );
}

const SMALL: [&str; 4] = ["--max-size", "1", "--max-in-flight", "2"];

/// Two jobs under way at the upstream, the first of which it keeps.
#[tokio::test]
async fn a_result_is_written_when_it_is_there_or_when_it_is_its_turn() {
    for ordered in [false, true] {
        let mut upstream = ScriptedUpstream::start().await;
        let env = [("MICROBATCH_LATER__MAX_WAIT", "0ms")];
        let proxy = Proxy::start(&upstream.url(), &SMALL, &env).await;
        let directory = tempfile::tempdir().unwrap();
        let [file, output] = ["jobs", "out"].map(|name| directory.path().join(name));
        fs::write(&file, jobs(2)).unwrap();
        let mut words = vec![word(&file), "--output", word(&output)];
        words.extend(ordered.then_some("--ordered"));
        let submit = Submit::start(proxy.jobs_addr, &words);
        let mut calls = [upstream.next().await, upstream.next().await];
        calls.sort_by_key(|call| call.ids()[0].as_u64());
        let [first, second] = calls;
        second.echo();
        let written = || fs::read_to_string(&output).unwrap_or_default();
        if !ordered {
            eventually("the second result", async || {
                (results(&written()) == [(2, 200)]).then_some(())
            })
            .await;
        }
        first.echo();
        assert_eq!(submit.ended().await.code, Some(0));
        let order = if ordered { [1, 2] } else { [2, 1] };
        assert_eq!(results(&written()), order.map(|id| (id, 200)));
    }
}

#[tokio::test]
async fn a_line_that_the_proxy_refuses_fails_for_itself_and_the_others_go_on() {
    let upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), &[], &[]).await;
    let echo = Echo::start(upstream);
    let mut submit = Submit::start(proxy.jobs_addr, &["-", "--ordered"]);
    let mut stdin = submit.stdin();
    let lines = "{\"id\":1}\n\n{\"no\":\"id\"}\n[1]\n{\n{\"id\":2}\n";
    stdin.write_all(lines.as_bytes()).await.unwrap();
    drop(stdin);
    let submitted = submit.ended().await;
    assert_eq!(submitted.code, Some(1), "{submitted:?}");
    let found: Vec<serde_json::Value> = submitted
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let said: Vec<_> = found
        .iter()
        .map(|it| (it["line"].as_u64(), it["status"].as_u64().unwrap()))
        .collect();
    let refused = [(3, 422), (4, 422), (5, 400)].map(|(line, status)| (Some(line), status));
    assert_eq!(said[1..4], refused, "{submitted:?}");
    assert_eq!(found[1]["body"]["code"], "invalid-job");
    assert_eq!(
        (said.len(), said[0], said[4]),
        (5, (None, 200), (None, 200))
    );
    echo.had_each_once(2);
}

#[tokio::test]
async fn a_store_without_room_is_waited_for() {
    for flags in [&[][..], &["--ordered"]] {
        let upstream = ScriptedUpstream::start().await;
        let env = [
            ("MICROBATCH_LATER__MAX_JOBS", "3"),
            ("MICROBATCH_LATER__MAX_WAIT", "1ms"),
        ];
        let proxy = Proxy::start(&upstream.url(), &[], &env).await;
        let echo = Echo::start(upstream);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("jobs");
        fs::write(&file, jobs(40)).unwrap();
        let submitted = Submit::run(proxy.jobs_addr, &[&[word(&file)], flags].concat()).await;
        assert_eq!(submitted.code, Some(0), "{submitted:?}");
        each_done(40, &submitted.stdout);
        assert!(flags.is_empty() || results(&submitted.stdout).is_sorted());
        echo.had_each_once(40);
        let metrics = proxy.admin("GET", "/metrics").await;
        let none = "microbatch_later_jobs{route=\"jobs\",state=\"done\"} 0";
        assert!(metrics.text().contains(none), "each result is acknowledged");
    }
}

/// The proxy ends while it has results that nobody has read, and one comes in its place.
#[tokio::test]
async fn a_proxy_that_goes_away_and_comes_back_is_waited_for() {
    for signal in [Signal::TERM, Signal::KILL] {
        let upstream = ScriptedUpstream::start().await;
        let url = upstream.url();
        let _echo = Echo::start(upstream);
        let port = Reserved::new();
        let listen = port.addr().to_string();
        let flags = ["--listen", &listen];
        let mut proxy = Proxy::start(&url, &flags, &[]).await;
        let mut submit = Submit::start(port.addr(), &["-", "--in-flight", "20"]);
        let mut stdin = submit.stdin();
        let text = jobs(100);
        let (some, rest) = text.split_at(text.match_indices('\n').nth(60).unwrap().0 + 1);
        stdin.write_all(some.as_bytes()).await.unwrap();
        proxy.log.nth("batch left", 1).await;
        proxy.signal(signal);
        proxy.exit_code().await;
        stdin.write_all(rest.as_bytes()).await.unwrap();
        drop(stdin);
        let _again = Proxy::start(&url, &flags, &[]).await;
        let submitted = submit.ended().await;
        // What the first was sending when it was told to end may have failed: in the words
        // of its answer, and once. What was lost with it is done again.
        let mut ids: Vec<_> = results(&submitted.stdout)
            .iter()
            .map(|(id, _)| *id)
            .collect();
        ids.sort_unstable();
        assert!(ids.into_iter().eq(1..=100), "{signal:?}: {submitted:?}");
    }
}

#[tokio::test]
async fn a_run_that_is_killed_again_and_again_is_done_once_upstream() {
    for seed in 0..3 {
        let upstream = ScriptedUpstream::start().await;
        let env = [("MICROBATCH_LATER__MAX_WAIT", "5ms")];
        let proxy = Proxy::start(&upstream.url(), &[], &env).await;
        let echo = Echo::start(upstream);
        let directory = tempfile::tempdir().unwrap();
        let [file, state, output] =
            ["jobs", "state", "out"].map(|name| directory.path().join(name));
        fs::write(&file, jobs(300)).unwrap();
        let mut words = vec![word(&file), "--resume", word(&state), "--in-flight", "40"];
        words.extend(["--output", word(&output)]);
        words.extend((seed == 0).then_some("--ordered"));
        let mut chance = StdRng::seed_from_u64(seed);
        let length = || fs::metadata(&state).map_or(0, |it| it.len());
        let mut kills = 0;
        let code = loop {
            let until = length() + chance.random_range(0..4_000);
            let run = Submit::start(proxy.jobs_addr, &words);
            match run.ended_or(|| length() > until).await {
                Some(submitted) => break submitted.code,
                None => kills += 1,
            }
        };
        assert!(kills > 0 && code == Some(0), "{kills}, {code:?}");
        each_done(300, &fs::read_to_string(&output).unwrap());
        echo.had_each_once(300);
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), &[], &[]).await;
    let mut submit = Submit::start(proxy.jobs_addr, &["-"]);
    let mut stdin = submit.stdin();
    stdin.write_all(jobs(1).as_bytes()).await.unwrap();
    let _kept = upstream.next().await;
    submit.signal(Signal::INT);
    submit.says("waits for 1 jobs under way").await;
    submit.signal(Signal::TERM);
    assert_eq!(submit.ended().await.code, Some(130));
}

#[tokio::test]
async fn it_ends_quietly_where_nobody_reads() {
    let upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), &[], &[]).await;
    let _echo = Echo::start(upstream);
    let mut submit = Submit::start(proxy.jobs_addr, &["-"]);
    submit.close_stdout();
    let mut stdin = submit.stdin();
    stdin.write_all(jobs(5).as_bytes()).await.unwrap();
    let status = within("its end", submit.wait()).await;
    assert_eq!(status, Some(141));
    let submitted = submit.ended().await;
    assert_eq!(submitted.stderr, "");
}

#[tokio::test]
async fn whoever_can_not_be_submitted_to_is_told_from_one_who_is_busy() {
    let upstream = ScriptedUpstream::start().await;
    let off = [("MICROBATCH_LATER__STORE", "off")];
    let proxy = Proxy::start(&upstream.url(), &[], &off).await;
    let nobody = Reserved::new();
    for (address, why) in [
        (nobody.addr(), "is the proxy running?"),
        (proxy.jobs_addr, "later.store"),
        (proxy.admin_addr.unwrap(), "server.listen"),
    ] {
        let submitted = Submit::run(address, &["-"]).await;
        assert_eq!(submitted.code, Some(1), "{submitted:?}");
        assert!(submitted.stderr.contains(why), "{submitted:?}");
    }
    let missing = Submit::run(proxy.jobs_addr, &["no-such-file"]).await;
    assert_eq!(missing.code, Some(1), "{missing:?}");
    assert!(missing.stderr.contains("no-such-file"), "{missing:?}");
    let mut wrong = command();
    wrong
        .args(["submit", "-"])
        .env("MICROBATCH_LATER__KEEP", "never");
    wrong.stdout(Stdio::null()).stderr(Stdio::null());
    let status = within("its end", wrong.status()).await.unwrap();
    assert_eq!(status.code(), Some(78));
}
