//! The courses: SQLite and Redis, at most once and at least once.

use std::path::Path;
use std::time::Duration;

use crate::ledger::Terms;
use crate::process::{self, Course};
use crate::redis::{LASTING, Redis};
use crate::replicas;
use crate::report::{Report, number, seed};

/// `later.max_attempts` by default: with it an item reaches the upstream so often at most.
const MAX_ATTEMPTS: usize = 3;

/// From so many rounds on everything must have happened.
const MANY: u64 = 100;

const ENDS: [&str; 9] = [
    "ended: Any",
    "ended: Reached",
    "ended: Answered",
    "ended: Accepted",
    "ended: Starting",
    "ended: Draining",
    "ended: Drained",
    "nobody knows whether accepted",
    "nobody knows whether deleted",
];

const ROUNDS: [&str; 10] = [
    "round: Kill(1)",
    "round: Kill(2)",
    "round: Drain",
    "round: Hold",
    "round: KillRedis",
    "round: HoldRedis",
    "round: Network { all: false }",
    "round: Network { all: true }",
    "nobody knows whether accepted",
    "looked at: store-unavailable",
];

/// What an item comes to that a kill met.
fn met(idempotent: bool) -> &'static str {
    match idempotent {
        true => "items at the upstream again",
        false => "finished: interrupted",
    }
}

fn judge(report: &Report, seed: u64, figures: &[&str], idempotent: bool) {
    report.must_be_clean(seed);
    if number("MICROBATCH_ROUNDS").is_some_and(|it| it >= MANY) {
        report.must_have(figures);
        report.must_have(&[met(idempotent)]);
    }
}

/// Several stores one after the other, each of which sees so many rounds until it is looked
/// at as a whole: two, or as many as are asked for.
fn stores(of_a_store: u64) -> impl Iterator<Item = (u64, u64)> {
    let rounds = number("MICROBATCH_ROUNDS").unwrap_or(2 * of_a_store);
    let begun = (0..rounds).step_by(of_a_store as usize);
    (0..).zip(begun.map(move |it| of_a_store.min(rounds - it)))
}

/// Every other store's batches are sent again by the process itself.
fn terms(idempotent: bool, store: u64) -> Terms {
    let attempts = 1 + 2 * (store % 2) as u32;
    Terms {
        idempotent,
        attempts,
        most_calls: match (idempotent, attempts) {
            (false, _) => 1,
            (true, 1) => MAX_ATTEMPTS,
            // A kill in a pause between them takes back none of them, and counts as none.
            (true, _) => usize::MAX,
        },
        single: true,
        away: false,
    }
}

async fn sqlite(name: &'static str, idempotent: bool) {
    let (mut report, seed) = (Report::new(name), seed());
    for (number, rounds) in stores(20) {
        let course = Course {
            store: |folder: &Path| format!("sqlite:{}", folder.join("jobs.db").display()),
            lasts: true,
            terms: terms(idempotent, number),
            rounds,
            last: Duration::from_millis(100),
            seed: seed + number,
        };
        report.add(&*process::run(course).await);
    }
    judge(&report, seed, &ENDS, idempotent);
}

async fn redis(name: &'static str, idempotent: bool) {
    let (mut report, seed) = (Report::new(name), seed());
    for (number, rounds) in stores(12) {
        let terms = Terms {
            single: false,
            away: true,
            ..terms(idempotent, number)
        };
        let Some(redis) = Redis::start(&LASTING).await else {
            return;
        };
        report.add(&*replicas::run(terms, rounds, redis, seed + number).await);
    }
    judge(&report, seed, &ROUNDS, idempotent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_at_most_once() {
    sqlite("SQLite, at most once", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_at_least_once() {
    sqlite("SQLite, at least once", true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_at_most_once() {
    redis("Redis, at most once", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_at_least_once() {
    redis("Redis, at least once", true).await;
}
