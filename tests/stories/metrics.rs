//! Section 8 of the contract: what is counted, under which names, and that it is
//! right after a run of which everything is known.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use microbatch::observe::metrics::FAMILIES;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::accounting::rush;
use crate::harness::{
    LONG_WAIT, Proxy, Request, Scrape, ScriptedUpstream, Signal, eventually, within,
};
use crate::retries::{IDEMPOTENT, SHORT};

/// Every name with its type and its labels.
const METRICS: [(&str, &str, &[&str]); 50] = [
    ("build_info", "gauge", &["version"]),
    ("jobs_accepted_total", "counter", &["route"]),
    ("jobs_total", "counter", &["outcome", "route"]),
    ("jobs_refused_total", "counter", &["code", "route"]),
    ("jobs_cancelled_total", "counter", &["route", "when"]),
    ("jobs_kept_apart_total", "counter", &["route"]),
    ("job_duration_seconds", "histogram", &["route"]),
    ("queue_wait_seconds", "histogram", &["route"]),
    ("queue_jobs", "gauge", &["route"]),
    ("queue_bytes", "gauge", &["route"]),
    ("queue_waiting_for_room_jobs", "gauge", &["route"]),
    ("buffered_bytes", "gauge", &[]),
    ("queue_capacity_jobs", "gauge", &["route"]),
    ("batches_total", "counter", &["outcome", "reason", "route"]),
    ("batch_size_jobs", "histogram", &["route"]),
    ("batch_size_bytes", "histogram", &["route"]),
    ("batch_fill_ratio", "histogram", &["route"]),
    ("batches_in_flight", "gauge", &["route"]),
    ("in_flight_limit", "gauge", &["route"]),
    (
        "upstream_duration_seconds",
        "histogram",
        &["outcome", "route"],
    ),
    ("upstream_requests_total", "counter", &["route", "status"]),
    ("retries_total", "counter", &["route"]),
    ("retry_budget_exhausted_total", "counter", &["route"]),
    ("alone_total", "counter", &["route", "why"]),
    ("passthrough_total", "counter", &[]),
    ("splits_total", "counter", &["cause", "route"]),
    ("results_unmatched_total", "counter", &["kind", "route"]),
    ("circuit_open", "gauge", &["route"]),
    ("later_jobs", "gauge", &["route", "state"]),
    ("later_accepted_total", "counter", &["route"]),
    ("later_finished_total", "counter", &["outcome", "route"]),
    ("later_deleted_total", "counter", &["route", "state"]),
    ("later_expired_total", "counter", &["read", "route"]),
    ("later_recovered_total", "counter", &["as", "route"]),
    ("later_fenced_total", "counter", &["route"]),
    ("later_oldest_queued_seconds", "gauge", &["route"]),
    ("later_free_seats_total", "counter", &["route"]),
    ("store_fill_ratio", "gauge", &[]),
    ("store_commit_seconds", "histogram", &[]),
    ("store_commit_records", "histogram", &[]),
    ("store_errors_total", "counter", &["op"]),
    ("tls_reloads_total", "counter", &["result"]),
    ("tokens_reloads_total", "counter", &["result"]),
    ("requests_by_token_total", "counter", &["token"]),
    ("tls_certificate_expiry_seconds", "gauge", &["file"]),
    ("tls_handshakes_failed_total", "counter", &["reason"]),
    ("config_reloads_total", "counter", &["result"]),
    ("config_last_reload_timestamp_seconds", "gauge", &[]),
    ("log_lines_dropped_total", "counter", &[]),
    ("telemetry_spans_dropped_total", "counter", &[]),
];

/// Those of them that have samples with settings of their own alone.
const BY_SETTING: [&str; 2] = ["tls_certificate_expiry_seconds", "requests_by_token_total"];

const BAD: &str = r#"{"id":7,"body":"bad"}"#;

/// A proxy for batches of two, which leave when they are full or flushed, after
/// everything that can be counted has happened once.
pub async fn eventful() -> (Proxy, ScriptedUpstream) {
    let mut upstream = ScriptedUpstream::start().await;
    let flags = [&LONG_WAIT[..], &["--max-size", "2"]].concat();
    let split_on = ("MICROBATCH_UPSTREAM__SPLIT_ON", "400");
    let env = [&SHORT[..], &[IDEMPOTENT, split_on]].concat();
    let proxy = Proxy::start(&upstream.url(), &flags, &env).await;

    // A full batch: a result, a job's own error, and a result that nobody asked for.
    let callers = two(&proxy, r#"{"id":1}"#, r#"{"id":2}"#).await;
    let results = r#"[{"id":2,"error":"no"},{"id":1,"result":1},{"id":"nobody's"}]"#;
    upstream.next().await.ok(results);
    let [one, other] = callers;
    assert_eq!(one.answer().await.status, 200);
    assert_eq!(other.answer().await.status, 422);

    // A job that the upstream forgets.
    let caller = proxy.enqueue(r#"{"id":3}"#).await;
    proxy.flush().await;
    upstream.next().await.ok("[]");
    let answer = caller.answer().await;
    answer.idempotent_problem(502, "result-missing", "yes");

    // A batch that fails.
    let caller = proxy.enqueue(r#"{"id":4}"#).await;
    proxy.flush().await;
    upstream.next().await.answer(500, &[], "");
    let answer = caller.answer().await;
    answer.idempotent_problem(502, "upstream-error", "yes");

    // A batch that is sent again.
    let caller = proxy.enqueue(r#"{"id":5}"#).await;
    proxy.flush().await;
    upstream.next().await.hang_up();
    upstream.next().await.echo();
    assert_eq!(caller.answer().await.status, 200);

    // A batch that is split.
    let callers = two(&proxy, r#"{"id":6}"#, BAD).await;
    for _ in 0..3 {
        let call = upstream.next().await;
        match call.jobs().iter().any(|job| job == BAD) {
            true => call.answer(400, &[], ""),
            false => call.echo(),
        }
    }
    let [one, other] = callers;
    assert_eq!(one.answer().await.status, 200);
    assert_eq!(other.answer().await.status, 400);

    // Two requests that never enter the queue.
    proxy.post("{").await.problem(400, "malformed-json", "no");
    let untyped = Request::job("{}").header("content-type", "text/html");
    let answer = proxy.send(untyped).await;
    assert_eq!(answer.status, 415, "{answer:?}");

    // A caller who leaves while queued, and one who leaves later.
    proxy.enqueue(r#"{"id":8}"#).await.leave();
    has(&proxy, r#"jobs_cancelled_total{when="queued"}"#, 1.0).await;
    let caller = proxy.enqueue(r#"{"id":9}"#).await;
    proxy.flush().await;
    let mut call = upstream.next().await;
    caller.leave();
    call.caller_gone().await;
    has(&proxy, "batches_in_flight", 0.0).await;
    let abandoned = r#"batches_total{outcome="abandoned",reason="flush"}"#;
    has(&proxy, abandoned, 1.0).await;
    (proxy, upstream)
}

async fn two(proxy: &Proxy, one: &str, other: &str) -> [crate::harness::Caller; 2] {
    [proxy.enqueue(one).await, proxy.enqueue(other).await]
}

/// Waits until this is so.
async fn has(proxy: &Proxy, sample: &str, value: f64) -> Scrape {
    eventually(&format!("{sample} = {value}"), async || {
        let scrape = Scrape::of(proxy).await;
        (scrape.get(sample) == value).then_some(scrape)
    })
    .await
}

/// Of a scrape, what is counted: no times, no bytes, and nothing that is 0.
fn counted(scrape: &Scrape) -> BTreeMap<&str, f64> {
    let values = scrape.values.iter();
    let values = values.map(|(sample, value)| (sample.as_str(), *value));
    values
        .filter(|&(sample, value)| {
            let measured = sample.contains("seconds_sum") || sample.contains("bytes_sum");
            value != 0.0 && !measured
        })
        .collect()
}

#[tokio::test]
async fn everything_is_counted_once() {
    let (proxy, _upstream) = eventful().await;
    let scrape = Scrape::of(&proxy).await;
    let version = format!("build_info{{version={:?}}}", env!("CARGO_PKG_VERSION"));
    let expected = BTreeMap::from([
        (version.as_str(), 1.0),
        ("jobs_accepted_total", 9.0),
        (r#"jobs_total{outcome="ok"}"#, 3.0),
        (r#"jobs_total{outcome="job-error"}"#, 1.0),
        (r#"jobs_total{outcome="result-missing"}"#, 1.0),
        (r#"jobs_total{outcome="upstream-error"}"#, 1.0),
        (r#"jobs_total{outcome="upstream-rejected-job"}"#, 1.0),
        (r#"jobs_cancelled_total{when="queued"}"#, 1.0),
        (r#"jobs_cancelled_total{when="in-flight"}"#, 1.0),
        (r#"jobs_refused_total{code="malformed-json"}"#, 1.0),
        (r#"jobs_refused_total{code="unsupported-media-type"}"#, 1.0),
        // Of those that were answered; of those that left.
        ("job_duration_seconds_count", 7.0),
        ("queue_wait_seconds_count", 8.0),
        ("queue_capacity_jobs", 10_000.0),
        // The halves of the split one ended, not the whole.
        (r#"batches_total{outcome="ok",reason="size"}"#, 2.0),
        (
            r#"batches_total{outcome="upstream-rejected-job",reason="size"}"#,
            1.0,
        ),
        (r#"batches_total{outcome="ok",reason="flush"}"#, 2.0),
        (
            r#"batches_total{outcome="upstream-error",reason="flush"}"#,
            1.0,
        ),
        (r#"batches_total{outcome="abandoned",reason="flush"}"#, 1.0),
        // When they left for the first time.
        ("batch_size_jobs_count", 6.0),
        ("batch_size_jobs_sum", 8.0),
        ("batch_size_bytes_count", 6.0),
        ("batch_fill_ratio_count", 6.0),
        ("batch_fill_ratio_sum", 4.0),
        ("in_flight_limit", 10.0),
        // Every call, and the one that was given up as such.
        (
            r#"upstream_duration_seconds_count{outcome="abandoned"}"#,
            1.0,
        ),
        (r#"upstream_duration_seconds_count{outcome="ok"}"#, 4.0),
        (
            r#"upstream_duration_seconds_count{outcome="upstream-error"}"#,
            1.0,
        ),
        (
            r#"upstream_duration_seconds_count{outcome="upstream-disconnected"}"#,
            1.0,
        ),
        (
            r#"upstream_duration_seconds_count{outcome="upstream-rejected-batch"}"#,
            1.0,
        ),
        (
            r#"upstream_duration_seconds_count{outcome="upstream-rejected-job"}"#,
            1.0,
        ),
        (r#"upstream_requests_total{status="200"}"#, 4.0),
        (r#"upstream_requests_total{status="400"}"#, 2.0),
        (r#"upstream_requests_total{status="500"}"#, 1.0),
        (r#"upstream_requests_total{status="none"}"#, 2.0),
        ("retries_total", 1.0),
        (r#"splits_total{cause="status"}"#, 1.0),
        (r#"results_unmatched_total{kind="unknown-id"}"#, 1.0),
    ]);
    assert_eq!(counted(&scrape), expected, "{}", scrape.text);
    assert_eq!(scrape.unanswered(), 0.0);
    // Of twelve bytes or so to a job, and of times that are no more than the test's.
    assert!(scrape.get("batch_size_bytes_sum") > 8.0 * 8.0);
    let seconds = scrape.get("job_duration_seconds_sum");
    assert!(seconds > 0.0 && seconds < 7.0 * 30.0, "{seconds}");
}

#[tokio::test]
async fn both_formats_say_the_same() {
    let (proxy, _upstream) = eventful().await;
    let (text, open) = (
        Scrape::of(&proxy).await,
        Scrape::of_open_metrics(&proxy).await,
    );
    assert_eq!(text.values, open.values);
    assert_eq!(text.families, open.families);
    assert!(open.text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn every_name_has_its_help_its_type_and_its_labels() {
    let (proxy, _upstream) = eventful().await;
    let scrape = Scrape::of(&proxy).await;
    for (name, kind, labels) in METRICS {
        let family = scrape.families.get(&format!("microbatch_{name}"));
        let family = family.unwrap_or_else(|| panic!("no {name} in {}", scrape.text));
        assert_eq!(family.kind, kind, "{name}");
        assert!(family.help.len() > 10, "{name}: {}", family.help);
        let found: Vec<_> = family.labels.keys().map(String::as_str).collect();
        if !BY_SETTING.contains(&name) {
            assert_eq!(found, labels, "{name}");
        }
    }
    assert_eq!(scrape.families.len(), METRICS.len());
}

/// What holds the dashboard, the alerts and the documents is what is exposed.
#[tokio::test]
async fn a_scrape_is_what_the_table_of_families_says() {
    let (proxy, _upstream) = eventful().await;
    let scrape = Scrape::of(&proxy).await;
    let names = scrape.text.lines();
    let names = names.filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    assert!(names.eq(FAMILIES.iter().map(|family| family.name)));
    for family in FAMILIES {
        let found = &scrape.families[family.name];
        let described = (&*found.kind, &*found.help);
        assert_eq!(described, (family.kind.as_str(), family.help));
        if BY_SETTING.iter().any(|name| family.name.ends_with(name)) {
            continue;
        }
        let labels: BTreeSet<_> = found.labels.keys().map(String::as_str).collect();
        assert_eq!(
            labels,
            family.labels.iter().copied().collect(),
            "{}",
            family.name
        );
    }
}

#[tokio::test]
async fn a_new_proxy_has_every_name_already() {
    let upstream = ScriptedUpstream::start().await;
    let proxy = Proxy::start(&upstream.url(), &[], &[]).await;
    let scrape = Scrape::of(&proxy).await;
    for (name, kind, _) in METRICS {
        assert_eq!(
            scrape.families[&format!("microbatch_{name}")].kind,
            kind,
            "{name}"
        );
    }
    // What may happen starts from 0, so that the first event is an increase.
    let first = [
        "jobs_accepted_total",
        r#"jobs_total{outcome="ok"}"#,
        r#"jobs_total{outcome="upstream-timeout"}"#,
        r#"jobs_total{outcome="result-missing"}"#,
        r#"jobs_total{outcome="internal"}"#,
        r#"jobs_refused_total{code="queue-full"}"#,
        r#"jobs_refused_total{code="malformed-json"}"#,
        r#"jobs_refused_total{code="circuit-open"}"#,
        r#"jobs_cancelled_total{when="queued"}"#,
        r#"jobs_cancelled_total{when="in-flight"}"#,
        r#"batches_total{outcome="ok",reason="size"}"#,
        r#"batches_total{outcome="upstream-error",reason="wait"}"#,
        r#"batches_total{outcome="abandoned",reason="drain"}"#,
        r#"upstream_requests_total{status="none"}"#,
        r#"splits_total{cause="status"}"#,
        r#"results_unmatched_total{kind="unknown-id"}"#,
        "retries_total",
        "retry_budget_exhausted_total",
        r#"tls_reloads_total{result="failed"}"#,
        r#"tokens_reloads_total{result="failed"}"#,
        r#"tls_handshakes_failed_total{reason="timeout"}"#,
        r#"config_reloads_total{result="failed"}"#,
        "config_last_reload_timestamp_seconds",
        "log_lines_dropped_total",
        "job_duration_seconds_count",
        r#"later_jobs{state="queued"}"#,
        r#"later_finished_total{outcome="queue-timeout"}"#,
        r#"later_expired_total{read="false"}"#,
        "later_oldest_queued_seconds",
        "later_free_seats_total",
        "store_fill_ratio",
        "store_commit_seconds_count",
        r#"store_errors_total{op="accept"}"#,
        r#"jobs_refused_total{code="store-full"}"#,
    ];
    for sample in first {
        assert_eq!(scrape.values.get(sample), Some(&0.0), "{sample}");
    }
    // And nothing else: no job can come to a request's own fault.
    for sample in [
        r#"jobs_total{outcome="malformed-json"}"#,
        r#"jobs_refused_total{code="ok"}"#,
        r#"batches_total{outcome="result-missing",reason="size"}"#,
    ] {
        assert_eq!(scrape.values.get(sample), None, "{sample}");
    }
}

/// Whatever callers and the upstream say, no new series comes of it.
#[tokio::test]
async fn no_label_is_made_of_what_others_send() {
    let (proxy, mut upstream) = eventful().await;
    let before = Scrape::of(&proxy).await;
    for n in 0..20 {
        let job = format!(r#"{{"id":"caller {n}","outcome":"caller {n}"}}"#);
        let job = Request::job(job).header("x-outcome", &format!("caller {n}"));
        let caller = proxy.enqueue_request(job).await;
        proxy.flush().await;
        let call = upstream.next().await;
        let results = format!(r#"[{{"id":"caller {n}","error":"e {n}"}},{{"id":"stray {n}"}}]"#);
        call.answer(200, &[("x-status", &n.to_string())], results);
        assert_eq!(caller.answer().await.status, 422);
        let nowhere = proxy
            .send(Request::new("GET", &format!("/nowhere/{n}")))
            .await;
        nowhere.problem(404, "not-found", "no");
    }
    let after = Scrape::of(&proxy).await;
    let new: Vec<_> = after
        .values
        .keys()
        .filter(|sample| !before.values.contains_key(*sample))
        .collect();
    assert!(new.is_empty(), "{new:?} in {}", after.text);
}

#[tokio::test]
async fn unanswered_jobs_are_exactly_the_difference() {
    let mut upstream = ScriptedUpstream::start().await;
    let flags = [&LONG_WAIT[..], &["--max-size", "3"]].concat();
    let proxy = Proxy::start(&upstream.url(), &flags, &[]).await;
    let mut callers = Vec::new();
    for id in 0..5 {
        callers.push(proxy.enqueue(&format!(r#"{{"id":{id}}}"#)).await);
    }
    let call = upstream.next().await;
    let scrape = Scrape::of(&proxy).await;
    assert_eq!(scrape.unanswered(), 5.0, "{}", scrape.text);
    assert_eq!(scrape.get("queue_jobs"), 2.0);
    assert_eq!(scrape.get("queue_bytes"), 2.0 * r#"{"id":0}"#.len() as f64);
    assert_eq!(scrape.get("batches_in_flight"), 1.0);

    call.echo();
    proxy.flush().await;
    upstream.next().await.echo();
    for caller in callers {
        assert_eq!(caller.answer().await.status, 200);
    }
    let scrape = has(&proxy, "batches_in_flight", 0.0).await;
    assert_eq!(scrape.unanswered(), 0.0, "{}", scrape.text);
    assert_eq!(scrape.get("queue_jobs"), 0.0);
    assert_eq!(scrape.get("queue_bytes"), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_rush_the_books_balance() {
    let (proxy, _seen) = rush(2000).await;
    // Batches of departed callers may still be in flight.
    let scrape = eventually("nothing to wait or to be in flight", async || {
        let scrape = Scrape::of(&proxy).await;
        let rests = scrape.get("queue_jobs") + scrape.get("batches_in_flight") == 0.0;
        (rests && scrape.unanswered() == 0.0).then_some(scrape)
    })
    .await;
    let accepted = scrape.get("jobs_accepted_total");
    assert!(accepted > 1900.0, "{accepted}");
    assert_eq!(
        scrape.get("job_duration_seconds_count"),
        scrape.sum("jobs_total")
    );
    assert_eq!(
        scrape.get("batch_size_jobs_count"),
        scrape.sum("batches_total")
    );
    assert_eq!(
        scrape.get("batch_size_jobs_sum"),
        scrape.get("queue_wait_seconds_count")
    );
}

#[tokio::test]
async fn flush_reasons() {
    let mut upstream = ScriptedUpstream::start().await;
    let flags = [
        "--max-size",
        "2",
        "--max-in-flight",
        "1",
        "--max-body",
        "100",
    ];
    let bytes = ("MICROBATCH_BATCH__MAX_BYTES", "110");
    let proxy = Proxy::start(
        &upstream.url(),
        &[&LONG_WAIT[..], &flags].concat(),
        &[bytes],
    )
    .await;

    let large = "-".repeat(60);
    let large = |id: u8| format!(r#"{{"id":{id},"body":"{large}"}}"#);
    let callers = two(&proxy, &large(1), &large(2)).await;
    upstream.next().await.echo();
    proxy.flush().await;
    let held = upstream.next().await;
    let drained = proxy.enqueue(r#"{"id":3}"#).await;
    proxy.signal(Signal::TERM);
    proxy.log.nth("draining", 1).await;
    held.echo();
    let last = upstream.next().await;
    // The admin listener answers until the end, and one batch is not over yet.
    let scrape = has(&proxy, r#"batches_total{outcome="ok",reason="flush"}"#, 1.0).await;
    assert_eq!(
        scrape.get(r#"batches_total{outcome="ok",reason="bytes"}"#),
        1.0
    );
    assert_eq!(scrape.unanswered(), 1.0);
    last.echo();
    for caller in callers.into_iter().chain([drained]) {
        assert_eq!(caller.answer().await.status, 200);
    }
    let done = proxy.log.nth("done", 1).await;
    assert_eq!(done.number("answered"), 3, "{done:?}");
}

#[tokio::test]
async fn waiting_or_not_waiting_is_a_reason_too() {
    for (wait, reason) in [("fixed", "wait"), ("adaptive", "idle")] {
        let mut upstream = ScriptedUpstream::start().await;
        // Of those who wait for nobody, only the fixed kind waits all the same.
        let flags = ["--max-wait", "20ms", "--wait", wait];
        let proxy = Proxy::start(&upstream.url(), &flags, &[]).await;
        let caller = proxy.enqueue(r#"{"id":1}"#).await;
        upstream.next().await.echo();
        assert_eq!(caller.answer().await.status, 200);
        let sample = format!("batches_total{{outcome=\"ok\",reason={reason:?}}}");
        has(&proxy, &sample, 1.0).await;
    }
}

#[tokio::test]
async fn an_exhausted_budget_and_an_open_circuit_are_seen() {
    let mut upstream = ScriptedUpstream::start().await;
    let env = [
        &SHORT[..],
        &[
            ("MICROBATCH_RETRY__BUDGET", "0.1"),
            ("MICROBATCH_RETRY__BUDGET_MIN", "0"),
            ("MICROBATCH_CIRCUIT__FAILURES", "2"),
            ("MICROBATCH_CIRCUIT__OPEN_FOR", "60s"),
        ],
    ]
    .concat();
    let proxy = Proxy::start(&upstream.url(), &["--max-wait", "0"], &env).await;
    assert_eq!(Scrape::of(&proxy).await.get("circuit_open"), 0.0);
    upstream.kill().await;
    // The second opens the circuit, so that no retry is thought of.
    for _ in 0..2 {
        let answer = proxy.post(r#"{"id":1}"#).await;
        answer.problem(502, "upstream-unreachable", "no");
    }
    let scrape = has(&proxy, "circuit_open", 1.0).await;
    assert_eq!(scrape.get("retry_budget_exhausted_total"), 1.0);
    assert_eq!(scrape.get("retries_total"), 0.0);
    let answer = proxy.post(r#"{"id":2}"#).await;
    answer.problem(503, "circuit-open", "no");
    let scrape = Scrape::of(&proxy).await;
    assert_eq!(
        scrape.get(r#"jobs_refused_total{code="circuit-open"}"#),
        1.0,
        "{}",
        scrape.text
    );
    assert_eq!(scrape.unanswered(), 0.0);
}

#[tokio::test]
async fn promtool_has_nothing_to_say() {
    let (proxy, _upstream) = eventful().await;
    let scrape = Scrape::of(&proxy).await;
    let Some(said) = promtool(&["check", "metrics"], &scrape.text).await else {
        return;
    };
    assert_eq!(said, "");
}

/// What `promtool` prints when it is given this, or nothing where there is none.
pub async fn promtool(words: &[&str], input: &str) -> Option<String> {
    let mut command = Command::new("promtool");
    command.args(words).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut child) = command.stderr(Stdio::piped()).spawn() else {
        assert!(
            std::env::var_os("CI").is_none(),
            "there is no promtool, and CI is set"
        );
        println!("skipped: there is no promtool (Debian: apt-get install prometheus)");
        return None;
    };
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let output = within("promtool", async {
        // It may not read what it was not asked to.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        child.wait_with_output().await.expect("its output")
    })
    .await;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).expect("UTF-8");
    assert!(output.status.success(), "{said}");
    Some(said)
}
