//! The courses: SQLite and Redis, at most once and at least once.

use std::path::Path;
use std::time::Duration;

use crate::ledger::Terms;
use crate::process::{self, Course};
use crate::redis::{LASTING, Redis};
use crate::replicas;
use crate::report::{Report, number, seed};

/// How many ends of a process a store sees, until it is looked at as a whole and another
/// begins.
const OF_A_STORE: u64 = 25;

/// `later.max_attempts` by default: with it an item reaches the upstream so often at most.
const MAX_ATTEMPTS: usize = 3;

/// Several stores one after the other, with as many rounds as are asked for.
fn stores(otherwise: u64) -> Vec<u64> {
    let rounds = number("MICROBATCH_ROUNDS").unwrap_or(otherwise);
    let full = vec![OF_A_STORE; (rounds / OF_A_STORE) as usize];
    let rest = rounds % OF_A_STORE;
    full.into_iter().chain((rest > 0).then_some(rest)).collect()
}

fn terms(idempotent: bool) -> Terms {
    Terms {
        idempotent,
        most_calls: if idempotent { MAX_ATTEMPTS } else { 1 },
        single: true,
        away: false,
    }
}

async fn sqlite(name: &'static str, idempotent: bool) {
    let (mut report, seed) = (Report::new(name), seed());
    for (number, rounds) in (0..).zip(stores(50)) {
        let course = Course {
            store: |folder: &Path| format!("sqlite:{}", folder.join("jobs.db").display()),
            lasts: true,
            terms: terms(idempotent),
            rounds,
            last: Duration::from_millis(100),
            seed: seed + number,
        };
        report.add(&*process::run(course).await);
    }
    report.must_be_clean(seed);
}

async fn redis(name: &'static str, idempotent: bool) {
    let (mut report, seed) = (Report::new(name), seed());
    for (number, rounds) in (0..).zip(stores(25)) {
        let terms = Terms {
            single: false,
            away: true,
            ..terms(idempotent)
        };
        let Some(redis) = Redis::start(&LASTING).await else {
            return;
        };
        report.add(&*replicas::run(terms, rounds, redis, seed + number).await);
    }
    report.must_be_clean(seed);
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
