//! The books balance: every caller gets exactly one answer, its own, through
//! an upstream that shuffles, forgets, fails, dies and comes back.
//!
//! `SEED=<number>` repeats the choices of a run that printed it, though not
//! the interleaving of its tasks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;

use crate::harness::{Answer, Call, KeepAlive, Problem, Proxy, Request, ScriptedUpstream, Signal};

const CALLERS: u64 = 64;
/// Jobs share so few ids that the same one is often asked for at once.
const IDS: u32 = 1000;
/// The upstream dies with every so-many-th batch.
const LIFE: usize = 25;

/// What the callers saw: answers by outcome, and how many did not wait for one.
#[derive(Default)]
pub struct Seen {
    outcomes: BTreeMap<String, u64>,
    left: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_caller_gets_one_answer_and_the_books_balance() {
    let (mut proxy, seen) = rush(5000).await;
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit_code().await, Some(0));
    let done = proxy.log.last().await;
    assert_eq!(done.message(), "done", "{done:?}");
    let (answered, cancelled) = (done.number("answered"), done.number("cancelled"));
    assert_eq!(done.number("accepted"), answered + cancelled, "{done:?}");

    // Who left may have been answered before the proxy knew; no other answer
    // may be missing or too many.
    let answers: u64 = seen.outcomes.values().sum();
    let unseen = answered
        .checked_sub(answers)
        .expect("no answer without its count");
    assert!(
        unseen + cancelled <= seen.left,
        "{unseen} + {cancelled} > {}",
        seen.left
    );
    let mut surplus = 0;
    for (outcome, count) in &seen.outcomes {
        let counted = done.outcome(outcome);
        let more = counted.checked_sub(*count);
        surplus += more.unwrap_or_else(|| panic!("{outcome}: {counted} of {count}: {done:?}"));
    }
    assert!(surplus <= unseen, "{surplus} > {unseen}: {done:?}");
}

/// The same with everything on that sends batches again, a flush now and then,
/// and a stop in the middle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_in_the_middle_loses_no_job() {
    let seed = seed();
    eprintln!("SEED={seed}");
    let upstream = ScriptedUpstream::start().await;
    let env = [
        ("MICROBATCH_UPSTREAM__IDEMPOTENT", "true"),
        ("MICROBATCH_UPSTREAM__SPLIT_ON", "500"),
        ("MICROBATCH_RETRY__BASE", "5ms"),
        ("MICROBATCH_RETRY__BUDGET", "1"),
    ];
    let flags = [
        "--max-wait",
        "2ms",
        "--max-size",
        "8",
        "--max-in-flight",
        "4",
    ];
    let mut proxy = Proxy::start(&upstream.url(), &flags, &env).await;
    let mut background = JoinSet::new();
    background.spawn(moody(upstream, StdRng::seed_from_u64(seed)));
    let answered = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    for n in 1..=CALLERS {
        let rng = StdRng::seed_from_u64(seed ^ (n << 32));
        callers.spawn(call_until_closed(proxy.jobs_addr, answered.clone(), rng));
    }
    // A run without either proves nothing.
    let signs = ["batch is sent again", "batch is split"];
    let seen = |sign: &str| proxy.log.count(|line| line.message() == sign) > 0;
    while answered.load(Relaxed) < 1000 || !signs.iter().all(|sign| seen(sign)) {
        proxy.flush().await;
    }
    proxy.signal(Signal::TERM);
    let mut seen = Seen::default();
    for one in callers.join_all().await {
        for (outcome, count) in one.outcomes {
            *seen.outcomes.entry(outcome).or_default() += count;
        }
    }
    assert_eq!(proxy.exit_code().await, Some(0));
    let done = proxy.log.last().await;
    let (answered, cancelled) = (done.number("answered"), done.number("cancelled"));
    assert_eq!(done.number("accepted"), answered + cancelled, "{done:?}");
    // Each caller of an accepted job was answered, and has seen it.
    assert_eq!(cancelled, 0, "{done:?}");
    for (outcome, count) in done.outcomes() {
        let seen = seen.outcomes.get(&outcome).copied().unwrap_or_default();
        // A job that came too late is refused, and is not among the accepted.
        assert!(
            seen == count || outcome == "shutting-down",
            "{outcome}: {seen} of {count}"
        );
    }
}

/// One caller: job after job on one connection, until the proxy closes it.
async fn call_until_closed(
    proxy: std::net::SocketAddr,
    answered: Arc<AtomicU64>,
    mut rng: StdRng,
) -> Seen {
    let mut seen = Seen::default();
    let mut connection = KeepAlive::connect(proxy).await;
    loop {
        let id = rng.random_range(0..IDS).to_string();
        let body = format!(r#""{:032x}""#, rng.random::<u128>());
        let job = Request::job(format!(r#"{{"id":{id},"body":{body}}}"#));
        let Ok(answer) = connection.try_send(job).await else {
            return seen;
        };
        answered.fetch_add(1, Relaxed);
        let outcome = outcome(&answer, &id, &body);
        *seen.outcomes.entry(outcome).or_default() += 1;
    }
}

/// Lets the callers have this many jobs done, and returns what they saw.
pub async fn rush(jobs: u64) -> (Proxy, Seen) {
    let seed = seed();
    eprintln!("SEED={seed}");
    let upstream = ScriptedUpstream::start().await;
    let flags = [
        "--max-wait",
        "2ms",
        "--max-size",
        "32",
        "--max-in-flight",
        "4",
    ];
    let proxy = Proxy::start(&upstream.url(), &flags, &[]).await;
    let mut background = JoinSet::new();
    background.spawn(moody(upstream, StdRng::seed_from_u64(seed)));

    let left = Arc::new(AtomicU64::new(jobs));
    let mut callers = JoinSet::new();
    for n in 1..=CALLERS {
        let rng = StdRng::seed_from_u64(seed ^ (n << 32));
        callers.spawn(call(proxy.jobs_addr, left.clone(), rng));
    }
    let mut seen = Seen::default();
    for one in callers.join_all().await {
        seen.left += one.left;
        for (outcome, count) in one.outcomes {
            *seen.outcomes.entry(outcome).or_default() += count;
        }
    }
    let answers: u64 = seen.outcomes.values().sum();
    eprintln!("answers {answers}, left {}, {:?}", seen.left, seen.outcomes);
    assert_eq!(answers + seen.left, jobs);
    // A run in which nothing went wrong, or nothing well, proves nothing.
    for outcome in ["ok", "job-error", "result-missing", "upstream-disconnected"] {
        assert!(
            seen.outcomes.contains_key(outcome),
            "no {outcome} in {:?}",
            seen.outcomes
        );
    }
    (proxy, seen)
}

pub fn seed() -> u64 {
    let given = std::env::var("SEED").ok();
    let given = given.map(|seed| seed.parse().expect("SEED is a number"));
    given.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.expect("a time after 1970").as_nanos() as u64
    })
}

/// One caller: job after job, until all are taken.
async fn call(proxy: std::net::SocketAddr, jobs: Arc<AtomicU64>, mut rng: StdRng) -> Seen {
    let mut seen = Seen::default();
    let mut connection = KeepAlive::connect(proxy).await;
    let next = || jobs.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
    while next().is_ok() {
        let id = rng.random_range(0..IDS);
        let id = if rng.random() {
            format!("{id}")
        } else {
            format!("\"{id}\"")
        };
        // Nobody else can know it, and so nobody else's answer can hold it.
        let secret = format!("{:032x}", rng.random::<u128>());
        let body = format!(r#""{secret}{}""#, "-".repeat(rng.random_range(0..500)));
        let job = Request::job(format!(r#"{{"id":{id},"body":{body}}}"#));
        let gives_up_after = rng.random_bool(0.05).then(|| rng.random_range(0..8));
        let Some(answer) = ask(&mut connection, job, gives_up_after).await else {
            connection = KeepAlive::connect(proxy).await;
            seen.left += 1;
            continue;
        };
        let outcome = outcome(&answer, &id, &body);
        *seen.outcomes.entry(outcome).or_default() += 1;
    }
    seen
}

/// The answer, unless the caller leaves before, after so many milliseconds.
async fn ask(
    connection: &mut KeepAlive,
    job: Request,
    gives_up_after: Option<u64>,
) -> Option<Answer> {
    match gives_up_after {
        Some(ms) => tokio::time::timeout(Duration::from_millis(ms), connection.send(job))
            .await
            .ok(),
        None => Some(connection.send(job).await),
    }
}

/// The answer's outcome, which must be about this job and no other.
fn outcome(answer: &Answer, id: &str, body: &str) -> String {
    match answer.status {
        200 => {
            answer.is_result(&format!(r#"{{"id":{id},"result":{body}}}"#));
            "ok".to_owned()
        }
        422 => {
            assert_eq!(answer.text(), format!(r#"{{"id":{id},"error":{body}}}"#));
            "job-error".to_owned()
        }
        _ => {
            let problem = Problem::read(answer);
            problem.has(
                "id",
                serde_json::from_str::<serde_json::Value>(id).expect("an id"),
            );
            problem.code().to_owned()
        }
    }
}

/// An upstream that answers well most of the time, in any order, and dies and
/// comes back every now and then.
async fn moody(mut upstream: ScriptedUpstream, mut rng: StdRng) {
    let mut held: Vec<Call> = Vec::new();
    for n in 1.. {
        held.push(upstream.next_ever().await);
        if n % LIFE == 0 {
            // With the batches it was thinking about.
            upstream.kill().await;
            held.clear();
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..40))).await;
            upstream.restart();
        }
        // Mostly one at a time; now and then two are open, and the later one
        // is answered first.
        if held.len() < 2 && rng.random_bool(0.2) {
            let other = tokio::time::timeout(Duration::from_millis(5), upstream.next_ever());
            held.extend(other.await.ok());
        }
        while let Some(call) = held.pop() {
            answer(call, &mut rng);
        }
    }
}

fn answer(call: Call, rng: &mut StdRng) {
    if rng.random_bool(0.03) {
        return call.answer(500, &[], "out of order");
    }
    let mut results = call.echoes();
    for result in &mut results {
        if rng.random_bool(0.02) {
            *result = result.replacen("\"result\"", "\"error\"", 1);
        }
    }
    results.retain(|_| !rng.random_bool(0.02));
    if rng.random_bool(0.1) {
        results.push(r#"{"id":"nobody's","result":"stray"}"#.to_owned());
    }
    results.shuffle(rng);
    call.ok(format!("[{}]", results.join(",")));
}
