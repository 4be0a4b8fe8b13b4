//! What jobs for later cost in stores that last.
//!
//! ```sh
//! cargo bench --bench end_to_end -- --store sqlite --store redis
//! ```
//!
//! Their files are in `target/stores`, so that the disk is the one that is built on.

mod redis;
mod server;
mod sqlite;

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::ValueEnum;

use crate::process::Server;
use crate::wrk::Load;

/// A store that lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Store {
    Sqlite,
    Redis,
}

const QUEUED: &str = "microbatch_later_jobs{route=\"jobs\",state=\"queued\"}";
const SENT: &str = "microbatch_later_jobs{route=\"jobs\",state=\"sent\"}";
const JOBS: &str = "microbatch_batch_size_jobs_sum{route=\"jobs\"}";
const BATCHES: &str = "microbatch_batch_size_jobs_count{route=\"jobs\"}";

/// Room for all of them, and time.
const ROOM: [(&str, &str); 3] = [
    ("MICROBATCH_LATER__MAX_JOBS", "10000000"),
    ("MICROBATCH_LATER__MAX_BYTES", "16GiB"),
    ("MICROBATCH_LATER__JOB_TIMEOUT", "1d"),
];

/// Measures and prints.
pub fn measure(stores: &[Store], backlog: usize, rounds: usize, seconds: u32) -> Result<()> {
    let folder = Path::new("target/stores");
    println!("| measure | figure |");
    println!("|---|---|");
    for store in stores {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder)?;
        let folder = folder.canonicalize()?;
        match store {
            Store::Sqlite => sqlite::measure(&folder, backlog, rounds, seconds)?,
            Store::Redis => redis::measure(&folder, seconds)?,
        }
        fs::remove_dir_all(&folder)?;
    }
    Ok(())
}

fn tell(measure: &str, figure: f64, unit: &str) {
    println!("| {measure} | {figure:.1} {unit} |");
}

/// This store, and room in it.
fn settings<'a>(store: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("MICROBATCH_LATER__STORE", store)][..], &ROOM, more].concat()
}

/// Callers who hand in, and are told that it is accepted.
fn handing_in(callers: usize, seconds: u32) -> Load {
    Load {
        prefer: "respond-async",
        ..Load::of(callers, seconds)
    }
}

/// Waits until all that was handed in is finished.
fn all_finished(proxy: &Server) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(600);
    while proxy.metric(QUEUED)? + proxy.metric(SENT)? > 0.0 {
        ensure!(Instant::now() < until, "they do not finish");
        sleep(Duration::from_millis(20));
    }
    Ok(())
}
