//! Runs a story under many schedules.
//!
//! | variable | what it sets |
//! |---|---|
//! | `SCHEDULES` | how many schedules of each kind a story is run under, 10000 by default |
//! | `SEED` | which ones those are, 0 by default: the same on every run |
//! | `REPLAY` | the one schedule to run, as shuttle printed it when it failed |

use std::fmt::Debug;
use std::str::FromStr;

use shuttle::scheduler::{
    PctScheduler, RandomScheduler, ReplayScheduler, Scheduler,
    UncontrolledNondeterminismCheckScheduler,
};
use shuttle::{Config, MaxSteps, Runner};

use crate::{runtime, time};

/// A race takes so many switches at exactly the wrong points. Most known ones
/// take one or two (Burckhardt et al., "A Randomized Scheduler with Probabilistic
/// Guarantees of Finding Bugs", ASPLOS 2010).
const DEPTH: usize = 3;

/// Runs a story under random schedules and under PCT schedules, and prints how
/// many. A story has ended when everything it has spawned has: who hangs fails it.
///
/// # Panics
/// When the story does under any schedule, or deadlocks, or goes on forever.
pub fn explore<S: Future<Output = ()> + 'static>(story: fn() -> S) {
    if let Ok(schedule) = std::env::var("REPLAY") {
        let mut scheduler = ReplayScheduler::new_from_encoded(&schedule);
        scheduler.set_allow_incomplete();
        run(scheduler, story);
        return;
    }
    let (count, seed) = (variable("SCHEDULES", 10_000), variable("SEED", 0));
    let random = run(RandomScheduler::new_from_seed(seed, count), story);
    let pct = run(PctScheduler::new_from_seed(seed, DEPTH, count), story);
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("story");
    println!("explored {} schedules: {name}", random + pct);
}

/// Checks that the schedule is all that a story depends on, so that one that has
/// failed can be run again.
///
/// # Panics
/// When it is not.
pub fn explore_twice<S: Future<Output = ()> + 'static>(story: fn() -> S) {
    let count = variable("SCHEDULES", 10_000) / 10;
    let random = RandomScheduler::new_from_seed(variable("SEED", 0), count);
    run(UncontrolledNondeterminismCheckScheduler::new(random), story);
}

fn run<S: Future<Output = ()> + 'static>(
    scheduler: impl Scheduler + 'static,
    story: fn() -> S,
) -> usize {
    let mut config = Config::new();
    config.stack_size = 256 << 10;
    config.max_steps = MaxSteps::FailAfter(100_000);
    // That atomics are sequentially consistent here: the crate's documentation says so.
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(move || {
        runtime::reset();
        time::reset();
        let passing = shuttle::future::spawn(time::pass());
        shuttle::future::block_on(async {
            story().await;
            runtime::idle().await;
            time::stop();
            let _ = passing.await;
        });
    })
}

fn variable<T: FromStr<Err: Debug>>(name: &str, default: T) -> T {
    match std::env::var(name) {
        Ok(value) => value.parse().expect(name),
        Err(_) => default,
    }
}
