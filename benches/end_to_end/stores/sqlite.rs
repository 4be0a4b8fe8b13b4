//! The store in a file.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{BATCHES, JOBS, QUEUED, all_finished, handing_in, settings, tell};
use crate::median;
use crate::process::Server;
use crate::wrk::{Load, Run, drive};

const CALLERS: usize = 256;
const FLAGS: &str = "--max-size 64";
const COMMITS: &str = "microbatch_store_commit_seconds_count";

pub fn measure(folder: &Path, backlog: usize, rounds: usize, seconds: u32) -> Result<()> {
    beside_direct_jobs(folder, rounds, seconds)?;
    syncs(folder, seconds)?;
    of_many(folder, backlog, seconds)
}

fn store(folder: &Path, name: &str) -> String {
    format!("sqlite:{}", folder.join(name).display())
}

/// How often a second the disk has what was written, 4 KiB at a time.
fn syncs_per_second(folder: &Path) -> Result<f64> {
    let file = File::create(folder.join("syncs"))?;
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < Duration::from_secs(2) {
        file.write_all_at(&[7; 4096], u64::from(count) * 4096)?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / begun.elapsed().as_secs_f64())
}

/// What a job costs that is on the disk before its caller hears of it, and one whose caller
/// waits.
fn beside_direct_jobs(folder: &Path, rounds: usize, seconds: u32) -> Result<()> {
    let upstream = Server::of_ours("upstream")?;
    let store = store(folder, "jobs.db");
    let proxy = Server::proxy_with(&upstream.address, FLAGS, &settings(&store, &[]))?;
    let run = |load: Load| -> Result<(Run, f64, f64)> {
        let (cpu, begun) = (proxy.cpu()?, Instant::now());
        let run = drive(&proxy.address, load)?;
        all_finished(&proxy)?;
        let cpu = (proxy.cpu()? - cpu).as_secs_f64() * 1e6 / run.requests;
        Ok((run, cpu, run.requests / begun.elapsed().as_secs_f64()))
    };
    let waits = Load {
        prefer: "respond-async, wait=30",
        ..Load::of(CALLERS, seconds)
    };
    run(handing_in(CALLERS, 1))?;
    let [mut syncs, mut accepted, mut finished, mut waited] = [const { Vec::new() }; 4];
    let [mut direct, mut durable, mut ratio] = [const { Vec::new() }; 3];
    let [mut commits, mut batches, mut jobs] = [0.0; 3];
    for _ in 0..rounds {
        syncs.push(syncs_per_second(folder)?);
        let (_, of_direct, _) = run(Load::of(CALLERS, seconds))?;
        let before = (
            proxy.metric(COMMITS)?,
            proxy.metric(BATCHES)?,
            proxy.metric(JOBS)?,
        );
        let (handed_in, of_durable, rate) = run(handing_in(CALLERS, seconds))?;
        commits += proxy.metric(COMMITS)? - before.0;
        batches += proxy.metric(BATCHES)? - before.1;
        jobs += proxy.metric(JOBS)? - before.2;
        accepted.push(handed_in.rate());
        finished.push(rate);
        waited.push(run(waits)?.0.rate());
        direct.push(of_direct);
        durable.push(of_durable);
        ratio.push(of_durable / of_direct);
    }
    tell(
        "fsync's own rate, 4 KiB appended",
        median(syncs),
        "a second",
    );
    tell(
        &format!("durable jobs handed in, {CALLERS} submitters"),
        median(accepted),
        "a second",
    );
    tell(
        "the same, handed in and finished",
        median(finished),
        "a second",
    );
    tell(
        "the same, whose callers wait (`wait=30`)",
        median(waited),
        "a second",
    );
    tell("CPU of a direct job", median(direct), "µs");
    tell(
        "CPU of a durable job, with its batch and its answer",
        median(durable),
        "µs",
    );
    println!(
        "| CPU of a durable job ÷ a direct one | {:.2} |",
        median(ratio)
    );
    println!(
        "| commits of a batch, as steps of the store, of {:.1} jobs | {:.2} |",
        jobs / batches,
        commits / batches
    );
    Ok(())
}

/// How often a batch waits for the disk.
fn syncs(folder: &Path, seconds: u32) -> Result<()> {
    let upstream = Server::of_ours("upstream")?;
    let (store, out) = (store(folder, "traced.db"), folder.join("calls"));
    let calls = "trace=fsync,fdatasync";
    let proxy = Server::traced_proxy(
        &upstream.address,
        FLAGS,
        &settings(&store, &[]),
        calls,
        &out,
    )?;
    drive(&proxy.address, handing_in(CALLERS, seconds))?;
    all_finished(&proxy)?;
    let batches = proxy.metric(BATCHES)?;
    drop(proxy);
    // The tracer ends after its child.
    let until = Instant::now() + Duration::from_secs(10);
    let text = loop {
        let text = fs::read_to_string(&out).unwrap_or_default();
        if text.contains("total") || Instant::now() > until {
            break text;
        }
    };
    let total = text
        .lines()
        .find(|it| it.ends_with(" total"))
        .context("no total")?;
    let count = total.split_whitespace().nth(3).context("no count")?;
    println!(
        "| fsyncs of a batch, those of checkpoints too | {:.2} |",
        count.parse::<f64>()? / batches
    );
    Ok(())
}

/// A backlog of so many jobs: until they can be sent, and what callers notice.
fn of_many(folder: &Path, backlog: usize, seconds: u32) -> Result<()> {
    let paced = Load {
        pause: 100,
        ..Load::of(64, seconds)
    };
    let slow = Server::sample("--delay 50ms")?;
    let flags = "--max-size 64 --max-in-flight 8";
    let alone = {
        let store = store(folder, "empty.db");
        let proxy = Server::proxy_with(&slow.address, flags, &settings(&store, &[]))?;
        drive(&proxy.address, paced)?;
        drive(&proxy.address, paced)?
    };
    let store = store(folder, "many.db");
    {
        // The first batches are never answered.
        let upstream = Server::sample("--delay 1h")?;
        let flags = "--max-size 64 --max-in-flight 1 --upstream-timeout 1h";
        let proxy = Server::proxy_with(&upstream.address, flags, &settings(&store, &[]))?;
        while proxy.metric(QUEUED)? < backlog as f64 {
            drive(&proxy.address, handing_in(CALLERS, 2))?;
        }
        tell(
            "memory of the process with them",
            proxy.memory("VmRSS")? / 1024.0,
            "MiB",
        );
        proxy.kill()?;
    }
    let sizes = ["many.db", "many.db-wal"].map(|it| fs::metadata(folder.join(it)));
    let size = sizes.into_iter().flatten().map(|it| it.len()).sum::<u64>() as f64;
    let begun = Instant::now();
    let proxy = Server::proxy_with(&slow.address, flags, &settings(&store, &[]))?;
    let start = begun.elapsed().as_secs_f64();
    let queued = proxy.metric(QUEUED)?;
    println!(
        "| start with {queued:.0} jobs in a file of {:.0} MB, after a kill | {start:.2} s |",
        size / 1e6
    );
    tell("memory then", proxy.memory("VmRSS")? / 1024.0, "MiB");
    let beside = drive(&proxy.address, paced)?;
    let after = proxy.metric(QUEUED)?;
    println!(
        "| median wait of 64 callers, alone and beside them | {:.0} and {:.0} µs |",
        alone.p50, beside.p50
    );
    println!(
        "| 99th percentile of it | {:.0} and {:.0} µs |",
        alone.p99, beside.p99
    );
    tell("left of the backlog meanwhile", after, "jobs");
    proxy.kill()
}
