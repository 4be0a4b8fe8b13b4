//! How many instructions a job takes in user space, beside the floor's.
//!
//! Each server runs in callgrind, whose counting is switched on for one run of wrk,
//! and is divided by the requests of that run. 64 callers, one thread; the proxy's
//! batches are full whenever they leave, so that nothing depends on how fast the
//! machine is.
//!
//! What was counted stays in `target/instructions`; `callgrind_annotate` tells where
//! they went, with names where the profile keeps them:
//!
//! ```sh
//! cargo bench --profile profiling --bench end_to_end -- --instructions
//! callgrind_annotate target/instructions/batches-of-64.* | less
//! ```

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::counter::Counter;
use crate::process::Server;
use crate::wrk::{self, Load};

const CALLERS: usize = 64;

/// The sizes of batches, each with its own figure.
const SIZES: [usize; 2] = [64, 8];

/// Counts and prints.
pub fn measure(seconds: u32) -> Result<()> {
    let folder = Path::new("target/instructions");
    // What an earlier run has left is not to be added up.
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder)?;

    let counter = Counter::new(folder, "floor");
    let floor = count(&counter, &Server::counted_floor(&counter)?, seconds)?;
    println!("{:<24}{floor:>8.0} instructions a request", "floor");

    let upstream = Server::of_ours("upstream")?;
    for size in SIZES {
        let counter = Counter::new(folder, &format!("batches-of-{size}"));
        let flags = format!("--threads 1 --max-size {size} --max-wait 500ms");
        let proxy = Server::counted_proxy(&upstream.address, &flags, &counter)?;
        let job = count(&counter, &proxy, seconds)?;
        let name = format!("proxy, batches of {size}");
        println!("{name:<24}{job:>8.0} a job, {:.2} × the floor", job / floor);
    }
    Ok(())
}

/// Instructions for each request of one run.
pub fn count(counter: &Counter, server: &Server, seconds: u32) -> Result<f64> {
    // Whatever is done once is done before.
    wrk::drive(&server.address, Load::of(CALLERS, seconds))?;
    control(server, &["-i", "on"])?;
    let run = wrk::drive(&server.address, Load::of(CALLERS, seconds))?;
    control(server, &["-i", "off"])?;
    control(server, &["-d"])?;
    let folder = counter.out.parent().context("no folder")?;
    let name = counter.out.file_name().and_then(|it| it.to_str());
    let name = format!("{}.{}", name.context("no name")?, server.pid());
    let mut total = 0.0;
    for file in fs::read_dir(folder)? {
        let file = file?;
        if file.file_name().to_string_lossy().starts_with(&name) {
            total += instructions(&fs::read_to_string(file.path())?);
        }
    }
    ensure!(total > 0.0, "callgrind has counted nothing");
    Ok(total / run.requests)
}

/// The sum that a dump of callgrind tells.
fn instructions(dump: &str) -> f64 {
    let sums = dump.lines().filter_map(|it| it.strip_prefix("totals: "));
    sums.filter_map(|it| it.trim().parse::<f64>().ok()).sum()
}

fn control(server: &Server, arguments: &[&str]) -> Result<()> {
    let status = Command::new("callgrind_control")
        .args(arguments)
        .arg(server.pid().to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("callgrind_control can't be run; Debian has it in the package valgrind")?;
    ensure!(status.success(), "callgrind_control has failed");
    Ok(())
}
