//! The goals, one line each: what was measured, and whether that is within bounds.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::callers::Callers;
use crate::contender::{Contender, over};
use crate::median;
use crate::process::Server;
use crate::wrk::{Load, drive};

/// Jobs in a batch, but where a goal says otherwise.
const BATCH: &str = "--max-size 64";

pub fn measure(rounds: usize, seconds: u32) -> Result<()> {
    println!("| measure | figure | goal | |");
    println!("|---|---|---|---|");
    for callers in [64, 256] {
        compare(callers, rounds, seconds)?;
    }
    large_jobs(rounds, seconds)?;
    latency(rounds, seconds)?;
    queue_wait(rounds, seconds)?;
    fill(seconds)?;
    memory_per_job()?;
    memory_of_a_batch()?;
    idleness()
}

fn tell(measure: &str, figure: f64, unit: &str, goal: &str, reached: bool) {
    let result = if reached { "reached" } else { "**missed**" };
    println!("| {measure} | {figure:.2}{unit} | {goal} | {result} |");
}

fn at_most(measure: &str, figure: f64, unit: &str, most: f64) {
    let reached = figure <= most;
    tell(
        measure,
        figure,
        unit,
        &format!("≤ {most:.2}{unit}"),
        reached,
    );
}

fn compare(callers: usize, rounds: usize, seconds: u32) -> Result<()> {
    let upstream = Server::of_ours("upstream")?;
    let folder = tempfile::tempdir()?;
    let one = format!("{BATCH} --threads 1");
    let mut contenders = vec![
        Contender::new("floor", Server::of_ours("floor")?),
        Contender::new("proxy", Server::proxy(&upstream.address, BATCH)?),
        Contender::new("proxy, one thread", Server::proxy(&upstream.address, &one)?),
    ];
    match Server::nginx(&upstream.address, folder.path()) {
        Ok(nginx) => contenders.push(Contender::new("nginx", nginx)),
        Err(error) => eprintln!("without nginx: {error:#}"),
    }
    for _ in 0..rounds {
        for contender in &mut contenders {
            contender.round(Load::of(callers, seconds))?;
        }
    }
    for it in &contenders {
        let (cpu, rate) = (median(it.cpu.clone()), median(it.rate.clone()));
        eprintln!(
            "{callers} callers, {}: {cpu:.2} µs of CPU per job, {rate:.0} jobs/s",
            it.name
        );
    }
    let [floor, proxy, single, nginx @ ..] = &contenders[..] else {
        unreachable!("three at least");
    };
    let of = |what: &str| format!("{what}, {callers} callers");
    let single_thread = |what: &str| format!("{what}, {callers} callers, `--threads 1`");
    for (it, of) in [
        (proxy, &of as &dyn Fn(&str) -> String),
        (single, &single_thread),
    ] {
        at_most(
            &of("CPU per job ÷ the floor's"),
            over(it, floor, |it| &it.cpu),
            "",
            1.35,
        );
        let rate = over(it, floor, |it| &it.rate);
        tell(
            &of("jobs/s ÷ the floor's"),
            rate,
            "",
            "≥ 0.85",
            rate >= 0.85,
        );
    }
    for nginx in nginx {
        let cpu = over(proxy, nginx, |it| &it.cpu);
        at_most(&of("CPU per job ÷ nginx's"), cpu, "", 0.70);
    }
    Ok(())
}

/// A caller who is alone.
fn latency(rounds: usize, seconds: u32) -> Result<()> {
    let upstream = Server::of_ours("upstream")?;
    let adaptive = Server::proxy(&upstream.address, "--wait adaptive")?;
    let fixed = Server::proxy(&upstream.address, "--wait fixed --max-wait 5ms")?;
    let (mut added, mut waited) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let load = Load::of(1, seconds);
        let direct = drive(
            &upstream.address,
            Load {
                path: "/batch",
                ..load
            },
        )?;
        added.push(drive(&adaptive.address, load)?.p50 - direct.p50);
        waited.push(drive(&fixed.address, load)?.p50 / 1e3);
    }
    let measure = "added latency, median, one caller, `wait = \"adaptive\"`";
    at_most(measure, median(added), " µs", 40.0);
    let measure = "latency, median, one caller, `wait = \"fixed\"`, `max_wait` 5 ms";
    at_most(measure, median(waited), " ms", 5.3);
    Ok(())
}

/// Jobs of ten kibibytes.
fn large_jobs(rounds: usize, seconds: u32) -> Result<()> {
    let upstream = Server::of_ours("upstream")?;
    let flags = format!("{BATCH} --max-bytes 256MiB");
    let mut floor = Contender::new("floor", Server::of_ours("floor")?);
    let mut proxy = Contender::new("proxy", Server::proxy(&upstream.address, &flags)?);
    let load = Load {
        bytes: 10_240,
        ..Load::of(128, seconds)
    };
    for _ in 0..rounds {
        floor.round(load)?;
        proxy.round(load)?;
    }
    let cpu = over(&proxy, &floor, |it| &it.cpu);
    at_most(
        "CPU per job of 10,240 bytes ÷ the floor's, 128 callers",
        cpu,
        "",
        1.6,
    );
    Ok(())
}

fn queue_wait(rounds: usize, seconds: u32) -> Result<()> {
    let upstream = Server::of_ours("upstream")?;
    let proxy = Server::proxy(&upstream.address, BATCH)?;
    let saturated = drive(&proxy.address, Load::of(256, seconds))?.rate();
    // So many callers as pause 0 to 20 ms between jobs and come to half of that.
    let callers = (saturated / 2.0 * 0.013) as usize;
    let load = Load {
        pause: 20,
        ..Load::of(callers, seconds)
    };
    let runs = (0..rounds).map(|_| drive(&proxy.address, load));
    let runs = runs.collect::<Result<Vec<_>>>()?;
    let share = median(runs.iter().map(|run| run.rate()).collect()) / saturated;
    let p99 = median(runs.iter().map(|run| run.queued / 1e3).collect());
    let measure = format!("p99 of the queue wait, `max_wait` 5 ms, at {share:.2} of the load");
    at_most(&measure, p99, " ms", 7.0);
    Ok(())
}

fn fill(seconds: u32) -> Result<()> {
    let upstream = Server::sample("--delay 10ms")?;
    let proxy = Server::proxy(&upstream.address, &format!("{BATCH} --max-in-flight 4"))?;
    drive(&proxy.address, Load::of(256, seconds))?;
    let jobs = proxy.metric("microbatch_batch_size_jobs_sum")?;
    let batches = proxy.metric("microbatch_batch_size_jobs_count")?;
    let full = 100.0 * jobs / batches / 64.0;
    let measure = "fill of batches, upstream of 10 ms, 4 slots, 256 callers";
    tell(measure, full, " %", "≥ 95 %", full >= 95.0);
    Ok(())
}

fn memory_per_job() -> Result<()> {
    const CALLERS: usize = 10_000;
    let grown = |server: &Server, answered: bool| -> Result<f64> {
        let before = server.memory("VmRSS")?;
        let mut callers = Callers::connect(&server.address, CALLERS)?;
        callers.post(60)?;
        if answered {
            callers.answered()?;
        } else {
            let until = Instant::now() + Duration::from_secs(20);
            while server.metric("microbatch_queue_jobs")? < CALLERS as f64 {
                ensure!(Instant::now() < until, "not all jobs came to wait");
                sleep(Duration::from_millis(100));
            }
        }
        Ok((server.memory("VmRSS")? - before) / CALLERS as f64)
    };
    let floor = grown(&Server::of_ours("floor")?, true)?;
    let upstream = Server::of_ours("upstream")?;
    let flags = "--max-size 100000 --max-bytes 64MiB --max-wait 1m --request-timeout 2m";
    let proxy = grown(&Server::proxy(&upstream.address, flags)?, false)?;
    eprintln!("memory: {proxy:.1} KiB per waiting job, {floor:.1} KiB per connection of the floor");
    at_most(
        "memory per waiting job ÷ the floor's per connection",
        proxy / floor,
        "",
        1.1,
    );
    Ok(())
}

fn memory_of_a_batch() -> Result<()> {
    const JOBS: usize = 100;
    const BYTES: usize = 100 << 10;
    let upstream = Server::of_ours("upstream")?;
    let flags = "--max-size 100 --max-bytes 16MiB --max-wait 10s";
    let proxy = Server::proxy(&upstream.address, flags)?;
    let mut callers = Callers::connect(&proxy.address, JOBS)?;
    // What the connections take is there before.
    callers.post(60)?;
    callers.answered()?;
    let before = proxy.memory("VmRSS")?;
    callers.post(BYTES)?;
    callers.read(BYTES)?;
    let peak = (proxy.memory("VmHWM")? - before) * 1024.0;
    let in_flight = (JOBS * BYTES) as f64;
    at_most(
        "peak memory of 100 jobs of 100 KiB ÷ their bytes",
        peak / in_flight,
        "",
        2.2,
    );
    Ok(())
}

fn idleness() -> Result<()> {
    let upstream = Server::of_ours("upstream")?;
    let proxy = Server::proxy(&upstream.address, "")?;
    let mut callers = Callers::connect(&proxy.address, 1_000)?;
    callers.post(60)?;
    callers.answered()?;
    sleep(Duration::from_secs(1));
    let before = proxy.ticks()?;
    sleep(Duration::from_secs(10));
    let ticks = (proxy.ticks()? - before) as f64;
    at_most(
        "CPU of 10 s with 1,000 idle connections",
        ticks,
        " ticks",
        0.0,
    );
    Ok(())
}
