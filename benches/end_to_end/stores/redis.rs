//! The store in Redis, which replicas share.

use std::path::Path;
use std::thread::{self, sleep};
use std::time::Duration;

use anyhow::{Result, anyhow};

use super::server::Redis;
use super::{BATCHES, JOBS, QUEUED, all_finished, handing_in, settings, tell};
use crate::process::Server;
use crate::wrk::{Load, drive};

const REPLICAS: usize = 3;

/// Jobs of each replica's callers: a batch has an id once, and all count from one.
const CALLS: [&str; REPLICAS] = [
    r##"{"id":"a#n","body":"#x"}"##,
    r##"{"id":"b#n","body":"#x"}"##,
    r##"{"id":"c#n","body":"#x"}"##,
];

/// All callers, of all replicas.
const CALLERS: usize = 60;

/// How long an empty backlog is watched.
const IDLE: Duration = Duration::from_secs(30);

pub fn measure(folder: &Path, seconds: u32) -> Result<()> {
    let redis = Redis::start(folder)?;
    round_trips(&redis, seconds)?;
    let thin = Load {
        pause: 1_000,
        ..handing_in(CALLERS, seconds.max(10))
    };
    sizes(&redis, "thin", "--max-size 1000", thin)?;
    sizes(
        &redis,
        "thick",
        "--max-size 64",
        handing_in(CALLERS, seconds),
    )
}

/// Replicas behind each of which are as many callers.
fn replicas(
    redis: &Redis,
    prefix: &str,
    upstream: &Server,
    flags: &str,
    count: usize,
) -> Result<Vec<Server>> {
    let store = redis.store();
    let settings = settings(&store, &[("MICROBATCH_LATER__PREFIX", prefix)]);
    (0..count)
        .map(|_| Server::proxy_with(&upstream.address, flags, &settings))
        .collect()
}

/// What Redis is asked for a batch, where nothing is handed in.
fn round_trips(redis: &Redis, seconds: u32) -> Result<()> {
    let upstream = Server::of_ours("upstream")?;
    let store = redis.store();
    {
        // No batch is ever full, or due.
        let wait = [("MICROBATCH_LATER__MAX_WAIT", "1h")];
        let settings = settings(&store, &wait);
        let proxy = Server::proxy_with(&upstream.address, "--max-size 100000", &settings)?;
        let run = drive(&proxy.address, handing_in(256, seconds))?;
        tell(
            "durable jobs handed in, 256 submitters, `appendfsync always`",
            run.rate(),
            "a second",
        );
    }
    let before = redis.scripts()?;
    let proxy = Server::proxy_with(&upstream.address, "--max-size 64", &settings(&store, &[]))?;
    let queued = proxy.metric(QUEUED)?;
    all_finished(&proxy)?;
    let (jobs, batches) = (proxy.metric(JOBS)?, proxy.metric(BATCHES)?);
    let trips = redis.scripts()? - before;
    println!(
        "| round trips of a batch, of {:.1} jobs, {queued:.0} of which waited | {:.2} |",
        jobs / batches,
        trips / batches
    );
    // What comes at an end, and at a start, has come.
    sleep(Duration::from_secs(2));
    let before = redis.commands()?;
    sleep(IDLE);
    let commands = redis.commands()? - before - 1.0;
    tell(
        &format!("commands of an empty backlog in {IDLE:?}"),
        commands,
        "",
    );
    Ok(())
}

/// How large batches are, of one replica and of several.
fn sizes(redis: &Redis, name: &str, flags: &str, load: Load) -> Result<()> {
    let mut means = Vec::new();
    for count in [1, REPLICAS] {
        let upstream = Server::of_ours("upstream")?;
        let replicas = replicas(redis, &format!("{name}-{count}"), &upstream, flags, count)?;
        let each = Load {
            callers: load.callers / count,
            ..load
        };
        let rates = thread::scope(|scope| {
            let runs = replicas.iter().zip(CALLS).map(|(replica, call)| {
                scope.spawn(move || drive(&replica.address, Load { call, ..each }))
            });
            let runs: Vec<_> = runs.collect();
            let ended = runs
                .into_iter()
                .map(|it| it.join().map_err(|_| anyhow!("a panic"))?);
            ended.map(|it| Ok(it?.rate())).sum::<Result<f64>>()
        })?;
        all_finished(&replicas[0])?;
        let (mut jobs, mut batches) = (0.0, 0.0);
        for replica in &replicas {
            jobs += replica.metric(JOBS)?;
            batches += replica.metric(BATCHES)?;
        }
        tell(
            &format!("jobs in a batch, {name} load ({rates:.0} a second), replicas: {count}"),
            jobs / batches,
            "",
        );
        means.push(jobs / batches);
    }
    println!(
        "| {REPLICAS} replicas ÷ one, {name} load | {:.1} % |",
        means[1] / means[0] * 100.0
    );
    Ok(())
}
