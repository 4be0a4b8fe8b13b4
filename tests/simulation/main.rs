//! Nothing is lost and nothing is mixed up, whatever goes wrong and whenever: the
//! whole proxy but its sockets, on simulated time, between an upstream that
//! misbehaves in every way and callers that come, wait, and depart.
//!
//! One seed is one schedule. All of it runs on one thread, on a clock that jumps
//! to the next thing due, so that a seed gives the same run again:
//!
//! ```sh
//! cargo test --test simulation                       # some hundred schedules
//! FIRST_SEED=$RANDOM SCHEDULES=10000 cargo test --release --test simulation -- --nocapture
//! SEED=1234 cargo test --test simulation -- --nocapture
//! ```
//!
//! `upstream` is the oracle: it knows which job it saw and which it did.
//! `callers` hold every answer against that, and so does `ledger` for the jobs that
//! `senders` hand in for later: it is told whatever the `store` of their records commits,
//! and listens to their streams (`listeners`). `proxy` is the proxy between them. `shapes` does
//! the same for batches of every shape, from the batcher on.
//!
//! In `lives` the proxy's processes die, one after another or beside each other, between any two
//! steps of a store that lasts and of the upstream: a `Life` is what of a process may still do
//! anything, a `Door` where those who hand in and listen find one that lives. What holds for a
//! schedule is a `Plan`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod callers;
mod door;
mod ledger;
mod life;
mod listeners;
mod lives;
mod plan;
mod proxy;
mod senders;
mod shapes;
mod store;
mod upstream;

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use proxy::Outcome;

/// Panics that nobody asked for, on whatever task: the proxy contains those of its
/// batches, and a test must not.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// How many schedules are run where nothing else is said.
const SCHEDULES: u64 = 400;

/// How many of them are of processes that die.
const DEADLY_SCHEDULES: u64 = 200;

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
    )
}

/// Those to be run, as many as these unless something else is said.
fn seeds(schedules: u64) -> Range<u64> {
    match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = number("FIRST_SEED").unwrap_or(1);
            first..first + number("SCHEDULES").unwrap_or(schedules)
        }
    }
}

#[test]
fn every_caller_gets_its_own_answer_once_and_the_books_balance() {
    let all = all_of(seeds(SCHEDULES), proxy::run);
    // A run in which something never happened proves nothing about it.
    if let Some(all) = all {
        for (what, expected) in [
            (&all.deeds, upstream::DEEDS),
            (&all.answers, callers::ANSWERS),
            (&all.replies, senders::REPLIES),
            (&all.ends, ledger::ENDS),
            (&all.events, proxy::EVENTS),
        ] {
            for name in expected {
                assert!(what.contains_key(name), "{name} never happened");
            }
        }
    }
}

#[test]
fn nothing_accepted_is_lost_or_sent_twice_whenever_a_process_dies() {
    let all = all_of(seeds(DEADLY_SCHEDULES), lives::run);
    if let Some(all) = all {
        for (what, expected) in [
            (&all.deeds, &[upstream::OUTLIVES][..]),
            (&all.replies, &[senders::CUT_OFF]),
            (&all.replies, senders::REPLIES),
            (&all.ends, ledger::ENDS),
            (&all.events, lives::EVENTS),
        ] {
            for name in expected {
                assert!(what.contains_key(name), "{name} never happened");
            }
        }
    }
}

/// What came of all of them, where they are so many that everything is to have happened.
fn all_of(seeds: Range<u64>, run_one: fn(u64) -> Outcome) -> Option<Outcome> {
    quiet_about_simulated_panics();
    let start = Instant::now();
    let mut all = Outcome::default();
    for seed in seeds.clone() {
        let run = || {
            let outcome = run_one(seed);
            assert_eq!(PANICS.load(Ordering::Relaxed), 0, "something has panicked");
            outcome
        };
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(outcome) => all += outcome,
            Err(panic) => {
                eprintln!("again with: SEED={seed} cargo test --test simulation -- --nocapture");
                std::panic::resume_unwind(panic);
            }
        }
    }
    let schedules = seeds.end - seeds.start;
    println!(
        "{schedules} schedules from seed {} in {:.1?}: {} jobs, {} for later, {} calls",
        seeds.start,
        start.elapsed(),
        all.jobs,
        all.records,
        all.deeds.values().sum::<u64>()
    );
    print("the upstream", &all.deeds);
    print("the callers", &all.answers);
    print("those who hand in", &all.replies);
    print("the records", &all.ends);
    print("the world", &all.events);
    (schedules >= 100).then_some(all)
}

#[test]
fn every_call_gets_its_own_results_whatever_its_shape() {
    let seeds = seeds(SCHEDULES);
    let (mut deeds, mut answers) = (shapes::Counts::new(), shapes::Counts::new());
    for seed in seeds.clone() {
        match catch_unwind(|| shapes::run(seed)) {
            Ok((done, told)) => {
                for (all, more) in [(&mut deeds, done), (&mut answers, told)] {
                    more.into_iter()
                        .for_each(|(name, n)| *all.entry(name).or_default() += n);
                }
            }
            Err(panic) => {
                eprintln!("again with: SEED={seed} cargo test --test simulation -- --nocapture");
                std::panic::resume_unwind(panic);
            }
        }
    }
    print("the upstream", &deeds);
    print("the callers", &answers);
    if seeds.end - seeds.start >= 100 {
        for (what, expected) in [(&deeds, shapes::DEEDS), (&answers, shapes::ANSWERS)] {
            for name in expected {
                assert!(what.contains_key(name), "{name} never happened");
            }
        }
    }
}

fn quiet_about_simulated_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(be_quiet_about_simulated_panics);
}

fn be_quiet_about_simulated_panics() {
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload().downcast_ref::<String>();
        if message.is_none_or(|it| it != upstream::SIMULATED_PANIC) {
            PANICS.fetch_add(1, Ordering::Relaxed);
            loud(panic);
        }
    }));
}

fn print(who: &str, counts: &BTreeMap<&'static str, u64>) {
    let counts: Vec<_> = counts
        .iter()
        .map(|(name, n)| format!("{name} {n}"))
        .collect();
    println!("{who}: {}", counts.join(", "));
}
