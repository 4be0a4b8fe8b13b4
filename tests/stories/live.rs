//! Section 8 of the contract: the page, what feeds it, and the advice.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio::task::JoinSet;

use crate::harness::{
    Answer, KeepAlive, LONG_WAIT, Proxy, Request, Scrape, ScriptedUpstream, eventually,
};
use crate::metrics::eventful;

async fn get(proxy: &Proxy, path: &str) -> Answer {
    let answer = proxy.admin("GET", path).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer
}

async fn live(proxy: &Proxy) -> Value {
    let answer = get(proxy, "/live").await;
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.json()
}

/// The sum over all seconds of a number, or of one in an object.
fn sum(live: &Value, pointer: &str) -> u64 {
    let seconds = live["seconds"].as_array().expect("seconds").iter();
    seconds
        .map(|it| {
            it.pointer(pointer)
                .map_or(0, |it| it.as_u64().expect(pointer))
        })
        .sum()
}

#[tokio::test]
async fn the_last_minutes_add_up() {
    let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let (proxy, _upstream) = eventful().await;
    let live = live(&proxy).await;
    for (pointer, expected) in [
        ("/jobs", 9),
        ("/refused", 2),
        ("/batches", 6),
        ("/batch_jobs", 8),
        ("/reasons/size", 2),
        ("/reasons/flush", 4),
        ("/reasons/wait", 0),
        ("/outcomes/ok", 3),
        ("/outcomes/job-error", 1),
        ("/outcomes/result-missing", 1),
        ("/outcomes/upstream-error", 1),
        ("/outcomes/upstream-rejected-job", 1),
        ("/retries", 1),
        ("/splits", 1),
    ] {
        assert_eq!(sum(&live, pointer), expected, "{pointer} in {live:#}");
    }
    assert_eq!(live["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (&live["ready"], &live["circuit"]),
        (&true.into(), &"closed".into())
    );
    // Two of the seven failed, whether or not that is ten seconds ago.
    assert_eq!(live["health"]["kind"], "problem", "{live:#}");
    assert_eq!(
        live["limits"],
        serde_json::json!({
            "max_size": 2, "max_bytes": 1_048_576, "max_wait_ms": 50_000.0, "max_in_flight": 10,
            "adaptive_in_flight": false, "queue_jobs": 10_000, "queue_bytes": 67_108_864,
        })
    );
    assert_eq!(live["current"]["queue_jobs"], 0);
    assert_eq!(live["current"]["in_flight"], 0);
    assert_eq!(
        live["sizes"],
        serde_json::json!([
            { "from": 1, "to": 1, "batches": 4 }, { "from": 2, "to": 2, "batches": 2 },
        ])
    );
    // The newest cause first, with nothing of what was in the batches.
    let failures = live["failures"].as_array().expect("failures");
    let causes: Vec<_> = failures
        .iter()
        .map(|it| (it["outcome"].as_str().unwrap(), it["cause"].as_str()))
        .collect();
    let expected = [
        ("upstream-rejected-job", Some("status 400")),
        ("upstream-error", Some("status 500")),
        ("result-missing", Some("no result has the job's id")),
    ];
    assert_eq!(causes, expected);
    for failure in failures {
        let members: BTreeSet<_> = failure.as_object().unwrap().keys().collect();
        let expected = "batch_id cause count duration_ms first jobs outcome size t upstream_status";
        assert!(members.into_iter().eq(expected.split(' ')), "{failure}");
        assert_eq!(
            (&failure["count"], &failure["jobs"]),
            (&1.into(), &1.into())
        );
    }
    // Unix time, in order, each second once.
    let times = live["seconds"].as_array().unwrap().iter();
    let times: Vec<_> = times.map(|it| it["t"].as_u64().unwrap()).collect();
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
    assert!(
        times[0] + 1 >= began.as_secs(),
        "{times:?}, began {began:?}"
    );
    let (started, now) = (
        live["started"].as_f64().unwrap(),
        live["now"].as_f64().unwrap(),
    );
    assert!(
        started <= now && *times.last().unwrap() as f64 <= now,
        "{times:?}, {now}"
    );
}

/// What the page adds up, the metrics count; each of their answers is of one moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_figure_agrees_with_any_number_of_threads() {
    const CALLERS: usize = 12;
    const EACH: usize = 60;
    for threads in ["1", "2", "4"] {
        let mut upstream = ScriptedUpstream::start().await;
        let quick = [
            "--max-wait",
            "1ms",
            "--max-size",
            "4",
            "--max-in-flight",
            "2",
        ];
        let flags = [&quick[..], &["--threads", threads, "--log-level", "info"]].concat();
        let proxy = Proxy::start(&upstream.url(), &flags, &[]).await;
        // What the upstream counts: batches, and jobs in them.
        let arrived = Arc::new(Mutex::new([0, 0]));
        let counts = Arc::clone(&arrived);
        let echo = tokio::spawn(async move {
            loop {
                let call = upstream.next_ever().await;
                let mut counts = counts.lock().unwrap();
                counts[0] += 1;
                counts[1] += call.jobs().len() as u64;
                drop(counts);
                call.echo();
            }
        });
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let addr = proxy.jobs_addr;
            callers.spawn(async move {
                let mut connection = KeepAlive::connect(addr).await;
                for n in 0..EACH {
                    let job = format!(r#"{{"id":"{caller} {n}"}}"#);
                    assert_eq!(connection.post(job).await.status, 200);
                }
            });
        }
        let mut scrapes = 0;
        while !callers.is_empty() {
            let scrape = Scrape::of(&proxy).await;
            let (unanswered, waiting) = (scrape.unanswered(), scrape.get("queue_jobs"));
            assert!(
                waiting <= unanswered && unanswered <= CALLERS as f64,
                "{}",
                scrape.text
            );
            scrapes += 1;
            while let Some(ended) = callers.try_join_next() {
                ended.expect("a caller that is answered");
            }
        }
        assert!(scrapes > 1, "it was over before it was looked at");
        echo.abort();
        let (live, scrape) = (live(&proxy).await, Scrape::of(&proxy).await);
        let jobs = (CALLERS * EACH) as u64;
        assert_eq!(scrape.unanswered(), 0.0, "{}", scrape.text);
        assert_eq!(scrape.get("jobs_accepted_total"), jobs as f64);
        for (pointer, sample) in [
            ("/jobs", "jobs_accepted_total"),
            ("/outcomes/ok", r#"jobs_total{outcome="ok"}"#),
            ("/batches", "batch_size_jobs_count"),
            ("/batch_jobs", "batch_size_jobs_sum"),
        ] {
            let told = sum(&live, pointer) as f64;
            assert_eq!(told, scrape.get(sample), "{pointer}, {threads} threads");
        }
        let told = [sum(&live, "/batches"), sum(&live, "/batch_jobs")];
        assert_eq!(told, *arrived.lock().unwrap(), "{threads} threads");
        assert_eq!(sum(&live, "/kept_apart"), 0);
        // How long jobs were here is told for each second in which some were answered.
        for second in live["seconds"].as_array().expect("seconds") {
            let answered = !second["outcomes"].as_object().expect("outcomes").is_empty();
            assert!(!answered || second["job_p99_ms"].is_f64(), "{second}");
            assert!(
                second["job_p50_ms"].as_f64() <= second["job_p99_ms"].as_f64(),
                "{second}"
            );
        }
    }
}

/// A batch of all that waited leaves nothing behind, and yet they waited.
#[tokio::test]
async fn the_most_that_waited_is_shown_though_nothing_waits_any_more() {
    let mut upstream = ScriptedUpstream::start().await;
    let flags = [&LONG_WAIT[..], &["--max-size", "3"]].concat();
    let proxy = Proxy::start(&upstream.url(), &flags, &[]).await;
    let mut callers = Vec::new();
    for id in 0..3 {
        callers.push(proxy.enqueue(&format!(r#"{{"id":{id}}}"#)).await);
    }
    upstream.next().await.echo();
    for caller in callers {
        assert_eq!(caller.answer().await.status, 200);
    }
    let live = live(&proxy).await;
    let seconds = live["seconds"].as_array().unwrap().iter();
    let most = seconds.map(|it| it["queue_jobs"].as_u64().unwrap()).max();
    assert_eq!(most, Some(3), "{live:#}");
}

#[tokio::test]
async fn since_leaves_out_the_seconds_before_it() {
    let (proxy, mut upstream) = eventful().await;
    let all = live(&proxy).await;
    let last = all["seconds"].as_array().unwrap().last().unwrap()["t"]
        .as_u64()
        .unwrap();
    // Something in a later second.
    let known = get(&proxy, &format!("/live?since={last}")).await.json();
    assert_eq!(known["seconds"], serde_json::json!([]));
    assert_eq!(known["sizes"], all["sizes"]);
    let new = eventually("a later second", async || {
        proxy.post("{").await.problem(400, "malformed-json", "no");
        let live = get(&proxy, &format!("/live?since={last}")).await.json();
        (live["seconds"].as_array().unwrap().len() == 1).then_some(live)
    })
    .await;
    assert!(new["seconds"][0]["t"].as_u64().unwrap() > last);
    let whole = get(&proxy, &format!("/live?since={}", last - 1))
        .await
        .json();
    assert_eq!(whole["seconds"][0]["t"].as_u64(), Some(last));
    assert!(upstream.arrived().is_none());
}

#[tokio::test]
async fn waiting_jobs_and_open_connections_are_shown() {
    let upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), &LONG_WAIT, &[]).await;
    let _one = proxy.enqueue(r#"{"id":1}"#).await;
    let _other = proxy.enqueue(r#"{"id":2}"#).await;
    let current = live(&proxy).await["current"].clone();
    let expected = serde_json::json!({
        "queue_jobs": 2, "queue_bytes": 16, "in_flight": 0, "waiting_for_room": 0, "connections": 2,
    });
    assert_eq!(current, expected);
}

#[tokio::test]
async fn the_advice_is_what_the_page_shows_and_speaks_of_what_happened() {
    let upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), &[], &[]).await;
    let ready = serde_json::json!({ "state": "ready", "kind": "good", "text": "ready" });
    assert_eq!(live(&proxy).await["health"], ready);
    let quiet = get(&proxy, "/advice").await.json();
    assert_eq!(quiet.as_array().expect("a list").len(), 1);
    let text = quiet[0]["text"].as_str().expect("a text");
    assert!(
        text.starts_with("No job came in the last minute."),
        "{text}"
    );

    let (proxy, _upstream) = eventful().await;
    let advice = get(&proxy, "/advice").await.json();
    assert_eq!(advice, live(&proxy).await["advice"]);
    // Two of the seven failed by no fault of their own.
    let first = &advice[0];
    assert_eq!(first["kind"], "problem");
    let text = first["text"].as_str().unwrap();
    assert!(text.starts_with("29 % of jobs fail, most with `"), "{text}");
    let again = advice.as_array().unwrap().iter();
    let again = again.map(|it| it["text"].as_str().unwrap());
    let again: Vec<_> = again
        .filter(|it| it.starts_with("1 batch was sent again"))
        .collect();
    assert_eq!(
        again.len(),
        2,
        "one for the retry, one for the split: {advice:#}"
    );
}

/// Ids are a caller's too, and may be secret.
#[tokio::test]
async fn nothing_of_callers_or_the_upstream_is_shown() {
    let mut upstream = ScriptedUpstream::start().await;
    let url = upstream.url().replace("http://", "http://user:s3cret@");
    let flags = ["--max-wait", "0", "--upstream-header", "X-Key: s3cret"];
    // What the upstream says of a batch that failed is its own matter.
    let env = [("MICROBATCH_LOG__UPSTREAM_ERRORS", "false")];
    let proxy = Proxy::start(&url, &flags, &env).await;
    let job = || {
        let job = Request::job(r#"{"id":"s3cret","body":"s3cret","s3cret":1}"#);
        job.header("authorization", "Bearer s3cret")
            .header("x-s3cret", "s3cret")
    };
    for (status, answer) in [
        (200, r#"[{"id":"s3cret","result":"s3cret"}]"#),
        (200, r#"[{"id":"s3cret 2","result":"s3cret"}]"#),
        (200, r#"[{"id":"s3cret","error":"s3cret"}]"#),
        (400, r#""s3cret""#),
        (500, "s3cret"),
    ] {
        let caller = proxy.enqueue_request(job()).await;
        let call = upstream.next().await;
        call.answer(status, &[("x-s3cret", "s3cret")], answer);
        caller.answer().await;
    }
    proxy.send(job().to("POST", "/s3cret")).await;
    proxy.post(r#"{"id":"s3cret"#).await;
    for path in [
        "/metrics",
        "/live",
        "/live?since=s3cret",
        "/advice",
        "/config",
        "/",
    ] {
        let answer = get(&proxy, path).await;
        assert!(
            !answer.text().contains("s3cret"),
            "{path}: {}",
            answer.text()
        );
        let headers = format!("{:?}", answer.headers);
        assert!(!headers.contains("s3cret"), "{path}: {headers}");
    }
    // It looked at the right proxy.
    assert_eq!(sum(&live(&proxy).await, "/jobs"), 5);
}

#[tokio::test]
async fn the_page_may_do_nothing_but_run_itself_and_ask_us() {
    let upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), &[], &[]).await;
    let page = get(&proxy, "/").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
    ] {
        assert_eq!(page.header(name), value, "{name}");
    }
    let policy = page.header("content-security-policy");
    let directives: Vec<_> = policy.split(';').map(str::trim).collect();
    for expected in [
        "default-src 'none'",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ] {
        assert!(directives.contains(&expected), "{expected} in {policy}");
    }
    for source in ["script-src", "style-src"] {
        let found = directives.iter().find_map(|it| it.strip_prefix(source));
        let found = found
            .unwrap_or_else(|| panic!("{source} in {policy}"))
            .trim();
        assert!(
            found.starts_with("'sha256-") && !found.contains(' '),
            "{policy}"
        );
    }
    for lax in ["unsafe", "*", "http:", "https:"] {
        assert!(!policy.contains(lax), "{lax} in {policy}");
    }
}
