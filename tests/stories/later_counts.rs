//! Sections 8 and 11 of the contract: what an operator is told of jobs for later, and that
//! it adds up at every moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::accounting::seed;
use crate::harness::{
    Answer, KeepAlive, LONG_WAIT, Proxy, Request, Scrape, ScriptedUpstream, eventually,
};

/// Batches leave when they are full or flushed.
const NEVER: (&str, &str) = ("MICROBATCH_LATER__MAX_WAIT", "30m");

async fn start(env: &[(&str, &str)]) -> (Proxy, ScriptedUpstream) {
    let upstream = ScriptedUpstream::start().await;
    let flags = [&LONG_WAIT[..], &["--max-size", "2"]].concat();
    let proxy = Proxy::start(&upstream.url(), &flags, &[&[NEVER], env].concat()).await;
    (proxy, upstream)
}

async fn live(proxy: &Proxy) -> Value {
    proxy.admin("GET", "/live").await.json()
}

fn job(id: usize) -> String {
    format!(r#"{{"id":{id}}}"#)
}

/// Both equations of `RecordCounts`.
#[track_caller]
fn adds_up(scrape: &Scrape) {
    let state = |family: &str, state: &str| scrape.get(&format!("{family}{{state={state:?}}}"));
    let unfinished = |family: &str| state(family, "queued") + state(family, "sent");
    let made = scrape.sum("later_accepted_total");
    let gone = scrape.sum("later_deleted_total") + scrape.sum("later_expired_total");
    assert_eq!(made, gone + scrape.sum("later_jobs"), "{}", scrape.text);
    let finished = scrape.sum("later_finished_total");
    let others = unfinished("later_deleted_total") + unfinished("later_jobs");
    assert_eq!(made, finished + others, "{}", scrape.text);
}

/// Hands jobs in, and leaves, deletes or fetches them as chance has it.
async fn busy(mut caller: KeepAlive, worker: usize, mut rng: StdRng) {
    for round in 0..60 {
        let id = worker * 1_000 + round;
        if rng.random_ratio(1, 4) {
            let status = caller.post(job(id)).await.status;
            assert!([200, 502].contains(&status), "{status}");
            continue;
        }
        let answer: Answer = caller.send(Request::later(job(id))).await;
        if answer.status == 503 {
            answer.problem(503, "store-full", "no");
            continue;
        }
        let location = answer.header("location").to_owned();
        let at = |method| Request::new(method, &location);
        // Each may find it finished, gone or neither.
        match rng.random_range(0..4) {
            0 => {}
            1 => drop(caller.send(at("DELETE")).await),
            2 => drop(caller.send(at("GET").header("prefer", "wait=60")).await),
            _ => {
                drop(caller.send(at("GET").header("prefer", "wait=60")).await);
                drop(caller.send(at("DELETE")).await);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scrape_adds_up() {
    const WORKERS: usize = 8;
    let mut upstream = ScriptedUpstream::start().await;
    let env = [
        ("MICROBATCH_LATER__KEEP", "30ms"),
        ("MICROBATCH_LATER__MAX_WAIT", "5ms"),
        ("MICROBATCH_LATER__MAX_JOBS", "40"),
        ("MICROBATCH_CIRCUIT__FAILURES", "0"),
    ];
    let flags = [
        "--max-wait",
        "1ms",
        "--max-size",
        "4",
        "--log-level",
        "info",
    ];
    let proxy = Arc::new(Proxy::start(&upstream.url(), &flags, &env).await);
    let seed = seed();
    eprintln!("SEED={seed}");
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let rng = StdRng::seed_from_u64(seed ^ worker as u64);
        workers.spawn(busy(proxy.keep_alive().await, worker, rng));
    }
    let mut others = JoinSet::new();
    others.spawn(async move {
        loop {
            // Some fail.
            let call = upstream.next_ever().await;
            match call.jobs().len() % 3 {
                0 => call.answer(500, &[], ""),
                _ => call.echo(),
            }
        }
    });
    let over = Arc::new(AtomicBool::new(false));
    let (ends, scraped) = (Arc::clone(&over), Arc::clone(&proxy));
    let scrapes = tokio::spawn(async move {
        let mut scrapes = 0;
        while !ends.load(Relaxed) {
            adds_up(&Scrape::of(&scraped).await);
            scrapes += 1;
        }
        scrapes
    });
    while let Some(worker) = workers.join_next().await {
        worker.expect("a worker");
    }
    over.store(true, Relaxed);
    assert!(scrapes.await.expect("scrapes that add up") > 0);
    // In the end all have expired that nobody deleted.
    let last = eventually("no record", async || {
        let scrape = Scrape::of(&proxy).await;
        adds_up(&scrape);
        (scrape.sum("later_jobs") == 0.0).then_some(scrape)
    })
    .await;
    for family in [
        "later_deleted_total",
        "later_expired_total",
        "later_finished_total",
    ] {
        assert!(last.sum(family) > 0.0, "{family}: {}", last.text);
    }
    assert!(last.get(r#"later_expired_total{read="true"}"#) > 0.0);
    assert!(last.get(r#"later_expired_total{read="false"}"#) > 0.0);
    // Callers' books know nothing of them.
    assert_eq!(last.unanswered(), 0.0, "{}", last.text);
    // What the page adds up, the metrics count.
    let live = live(&proxy).await;
    let later = live["seconds"].as_array().expect("seconds").iter();
    let later = later.filter_map(|it| it.get("later"));
    let sum = |member: &str| -> u64 { later.clone().filter_map(|it| it[member].as_u64()).sum() };
    assert_eq!(sum("handed_in") as f64, last.sum("later_accepted_total"));
    assert_eq!(
        sum("expired_unread") as f64,
        last.get(r#"later_expired_total{read="false"}"#)
    );
    assert_eq!(sum("free_seats") as f64, last.sum("later_free_seats_total"));
    let outcomes = later.flat_map(|it| it["outcomes"].as_object().expect("outcomes").values());
    let outcomes: u64 = outcomes.filter_map(Value::as_u64).sum();
    assert_eq!(outcomes as f64, last.sum("later_finished_total"));
    drop(others);
}

#[tokio::test]
async fn a_job_is_told_of_from_first_to_last() {
    let (proxy, mut upstream) = start(&[("MICROBATCH_LATER__MAX_JOBS", "2")]).await;
    let fresh = live(&proxy).await;
    assert_eq!(fresh["later"]["accepted"], 0, "{fresh:#}");
    assert_eq!(fresh["later"]["oldest_queued_ms"], Value::Null);

    let handed = proxy.hand_in(&job(1)).await;
    let told = live(&proxy).await;
    let later = &told["later"];
    let members = ["accepted", "queued", "sent", "done", "failed", "max_jobs"];
    assert_eq!(
        members.map(|it| &later[it]),
        [1, 1, 0, 0, 0, 2],
        "{later:#}"
    );
    assert!(later["oldest_queued_ms"].as_f64() >= Some(0.0), "{later:#}");
    assert!(later["bytes"].as_u64() > Some(0), "{later:#}");
    let second = told["seconds"].as_array().expect("seconds").last();
    let second = &second.expect("one in which it came")["later"];
    assert_eq!(
        (&second["handed_in"], &second["backlog"]),
        (&json!(1), &json!(1))
    );

    // It leaves in a free place of a caller's batch.
    let caller = proxy.enqueue(&job(2)).await;
    proxy.flush().await;
    let call = upstream.next().await;
    assert_eq!(call.jobs().len(), 2);
    call.echo();
    assert_eq!(caller.answer().await.status, 200);
    proxy.finished(&handed).await;
    let scrape = Scrape::of(&proxy).await;
    for (sample, value) in [
        (r#"later_jobs{state="done"}"#, 1.0),
        (r#"later_finished_total{outcome="ok"}"#, 1.0),
        ("later_free_seats_total", 1.0),
        ("later_oldest_queued_seconds", 0.0),
        ("store_fill_ratio", 0.5),
        // Callers' counts leave it out; batches don't.
        ("jobs_accepted_total", 1.0),
        (r#"jobs_total{outcome="ok"}"#, 1.0),
        ("batch_size_jobs_sum", 2.0),
    ] {
        assert_eq!(scrape.get(sample), value, "{sample}: {}", scrape.text);
    }
    assert!(scrape.get("store_commit_seconds_count") >= 2.0);

    // There is room for one more, and for two again once this is deleted.
    proxy.hand_in(&job(3)).await;
    let full = proxy.send(Request::later(job(4))).await;
    full.problem(503, "store-full", "no");
    assert_eq!(proxy.delete(&handed).await.status, 204);
    assert_eq!(proxy.fetch(&handed).await.status, 404);
    let scrape = Scrape::of(&proxy).await;
    for (sample, value) in [
        (r#"later_deleted_total{state="done"}"#, 1.0),
        (r#"jobs_refused_total{code="store-full"}"#, 1.0),
        (r#"jobs_refused_total{code="job-unknown"}"#, 1.0),
    ] {
        assert_eq!(scrape.get(sample), value, "{sample}: {}", scrape.text);
    }
    adds_up(&scrape);
    // Who asked for what was deleted was refused no job.
    let live = live(&proxy).await;
    let refused = live["seconds"].as_array().expect("seconds").iter();
    let refused: u64 = refused.filter_map(|it| it["refused"].as_u64()).sum();
    assert_eq!(refused, 1, "{live:#}");
}

#[tokio::test]
async fn without_a_store_there_is_no_word_of_it() {
    let (proxy, _upstream) = start(&[("MICROBATCH_LATER__STORE", "off")]).await;
    let scrape = Scrape::of(&proxy).await;
    let mut names = scrape.families.keys();
    assert!(names.all(|it| !it.contains("_later_") && !it.contains("_store_")));
    let live = live(&proxy).await;
    assert_eq!(live.get("later"), None, "{live:#}");
}

/// They are in batches, and fail as all jobs do; no share is above the whole.
#[tokio::test]
async fn jobs_for_later_that_fail_are_told_as_all_are() {
    let (proxy, mut upstream) = start(&[]).await;
    let handed = [proxy.hand_in(&job(1)).await, proxy.hand_in(&job(2)).await];
    upstream.next().await.answer(404, &[], "who?");
    for handed in &handed {
        assert_eq!(proxy.finished(handed).await.status, 502);
    }
    let live = eventually("the failure", async || {
        let live = live(&proxy).await;
        (live["health"]["state"] != "ready").then_some(live)
    })
    .await;
    assert_eq!(live["health"]["text"], "every job fails", "{live:#}");
    let failure = &live["failures"][0];
    assert_eq!(failure["outcome"], "upstream-rejected-batch");
    assert_eq!(
        (&failure["count"], &failure["jobs"]),
        (&json!(1), &json!(2))
    );
    let advice = live["advice"][0]["text"].as_str().expect("advice");
    let start = "Nothing gets through: 2 of 2 jobs failed in the last minute";
    assert!(advice.starts_with(start), "{advice}");
    // Nobody waited for them.
    let scrape = Scrape::of(&proxy).await;
    assert_eq!(scrape.sum("jobs_total"), 0.0);
    let outcome = r#"later_finished_total{outcome="upstream-rejected-batch"}"#;
    assert_eq!(scrape.get(outcome), 2.0, "{}", scrape.text);
}
