//! What answers fetched later cost: memory for each, and what a backlog of them does to
//! callers who wait for theirs.
//!
//! ```sh
//! cargo bench --bench end_to_end -- --later
//! ```

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::counter::Counter;
use crate::instructions::count_load;
use crate::process::Server;
use crate::wrk::{Load, drive};

/// Jobs that one connection hands in at once.
const PIPELINED: usize = 64;

/// As many as wait while each instruction is simulated.
const COUNTED: usize = 50_000;

const LONG_POLLS: usize = 10_000;
const LISTENERS: usize = 1_000;

/// Room for all of them; and nothing leaves that fills no batch, before it is told to.
const SETTINGS: &[(&str, &str)] = &[
    ("MICROBATCH_LATER__MAX_JOBS", "10000000"),
    ("MICROBATCH_LATER__MAX_BYTES", "16GiB"),
    ("MICROBATCH_LATER__MAX_WAIT", "1h"),
    ("MICROBATCH_LATER__JOB_TIMEOUT", "1d"),
    ("MICROBATCH_SERVER__REQUEST_TIMEOUT", "10m"),
    ("MICROBATCH_SERVER__WRITE_TIMEOUT", "10m"),
];

/// Measures and prints, with so many jobs waiting.
pub fn measure(backlog: usize, seconds: u32) -> Result<()> {
    println!("| measure | figure |");
    println!("|---|---|");
    memory(backlog)?;
    beside_a_backlog(backlog, seconds)?;
    long_polls()?;
    listeners()?;
    instructions(seconds)
}

fn tell(measure: &str, figure: f64, unit: &str) {
    println!("| {measure} | {figure:.1} {unit} |");
}

/// What each job takes that waits, and each answer that is kept.
fn memory(jobs: usize) -> Result<()> {
    let each = |from: f64, to: f64, of: usize| (to - from) * 1024.0 / of as f64;
    {
        // The first batch is never answered.
        let upstream = Server::sample("--delay 1h")?;
        let flags = "--max-in-flight 1 --upstream-timeout 1h";
        let proxy = Server::proxy_with(&upstream.address, flags, SETTINGS)?;
        // Whatever is set up once is set up before.
        hand_in(&proxy, 1_000, |n| n, "")?;
        let before = proxy.memory("VmRSS")?;
        hand_in(&proxy, jobs, |n| n, "")?;
        let name = format!("memory of a job of 80 bytes, of {jobs} that wait");
        tell(&name, each(before, proxy.memory("VmRSS")?, jobs), "bytes");
    }
    let upstream = Server::of_ours("upstream")?;
    let proxy = Server::proxy_with(&upstream.address, "", SETTINGS)?;
    hand_in(&proxy, 1_000, |n| n, "")?;
    let before = proxy.memory("VmRSS")?;
    hand_in(&proxy, jobs, |n| n, "")?;
    proxy.post("/flush")?;
    finished(&proxy, jobs + 1_000)?;
    let name = format!("memory of an answer of 80 bytes, of {jobs} that are kept");
    tell(&name, each(before, proxy.memory("VmRSS")?, jobs), "bytes");
    Ok(())
}

/// How long callers wait beside so many jobs that are worked off.
fn beside_a_backlog(backlog: usize, seconds: u32) -> Result<()> {
    let upstream = Server::sample("--delay 50ms")?;
    let flags = "--max-size 64 --max-in-flight 8";
    let proxy = Server::proxy_with(&upstream.address, flags, SETTINGS)?;
    let paced = Load {
        pause: 100,
        ..Load::of(64, seconds)
    };
    drive(&proxy.address, paced)?;
    let alone = drive(&proxy.address, paced)?;
    let started = Instant::now();
    hand_in(&proxy, backlog, |n| n, "")?;
    tell(
        "handed in a second",
        backlog as f64 / started.elapsed().as_secs_f64(),
        "jobs",
    );
    let left = || proxy.metric("microbatch_later_jobs{state=\"queued\"}");
    let before = left()?;
    let beside = drive(&proxy.address, paced)?;
    let after = left()?;
    ensure!(after > 0.0, "the backlog was too short: {before} jobs");
    let name = |what| format!("{what} of callers, with nothing handed in and beside a backlog");
    for (what, alone, beside) in [
        ("median wait", alone.p50, beside.p50),
        ("99th percentile of the wait", alone.p99, beside.p99),
    ] {
        println!("| {} | {alone:.0} and {beside:.0} µs |", name(what));
    }
    tell(
        "left of the backlog meanwhile",
        after,
        &format!("of {before} jobs"),
    );
    Ok(())
}

/// What callers take that ask for an answer and wait for it.
fn long_polls() -> Result<()> {
    let upstream = Server::of_ours("upstream")?;
    let proxy = Server::proxy_with(&upstream.address, "--max-size 100000", SETTINGS)?;
    let handles = hand_in(&proxy, LONG_POLLS, |n| n, "")?;
    let before = proxy.memory("VmRSS")?;
    let mut callers = Vec::with_capacity(LONG_POLLS);
    for handle in &handles {
        let mut caller = TcpStream::connect(&proxy.address)?;
        write!(
            caller,
            "GET /jobs/{handle} HTTP/1.1\r\nhost: localhost\r\nprefer: wait=600\r\n\r\n"
        )?;
        callers.push(caller);
    }
    sleep(Duration::from_secs(2));
    let after = proxy.memory("VmRSS")?;
    tell(
        "memory of a long poll",
        (after - before) * 1024.0 / LONG_POLLS as f64,
        "bytes",
    );
    let ticks = proxy.ticks()?;
    sleep(Duration::from_secs(10));
    let idle = (proxy.ticks()? - ticks) as f64;
    tell(
        &format!("CPU of 10 s with {LONG_POLLS} long polls"),
        idle,
        "ticks of 10 ms",
    );
    let cpu = proxy.cpu()?;
    proxy.post("/flush")?;
    for caller in &mut callers {
        let mut head = [0; 12];
        caller.read_exact(&mut head)?;
        ensure!(
            &head == b"HTTP/1.1 200",
            "{:?}",
            String::from_utf8_lossy(&head)
        );
    }
    let each = (proxy.cpu()? - cpu).as_secs_f64() * 1e6 / LONG_POLLS as f64;
    tell("CPU of a long poll's answer, with its job", each, "µs");
    Ok(())
}

/// What those take that listen to one stream.
fn listeners() -> Result<()> {
    const JOBS: usize = 100;
    let upstream = Server::of_ours("upstream")?;
    let proxy = Server::proxy_with(&upstream.address, "--max-size 100000", SETTINGS)?;
    let before = proxy.memory("VmRSS")?;
    let mut listeners = Vec::with_capacity(LISTENERS);
    for _ in 0..LISTENERS {
        let mut listener = TcpStream::connect(&proxy.address)?;
        write!(
            listener,
            "GET /streams/s HTTP/1.1\r\nhost: localhost\r\n\r\n"
        )?;
        listeners.push(listener);
    }
    sleep(Duration::from_secs(2));
    let after = proxy.memory("VmRSS")?;
    tell(
        "memory of a listener",
        (after - before) * 1024.0 / LISTENERS as f64,
        "bytes",
    );
    hand_in(&proxy, JOBS, |n| n, "?stream=s")?;
    let cpu = proxy.cpu()?;
    proxy.post("/flush")?;
    for listener in &mut listeners {
        let mut reader = Counting::new(listener);
        while reader.seen("event: done")? < JOBS {}
    }
    let each = (proxy.cpu()? - cpu).as_secs_f64() * 1e6 / (LISTENERS * JOBS) as f64;
    tell("CPU of an event, to one listener", each, "µs");
    Ok(())
}

/// What a waiting caller's job takes, with nothing handed in and beside a backlog.
fn instructions(seconds: u32) -> Result<()> {
    let folder = Path::new("target/instructions");
    fs::create_dir_all(folder)?;
    let upstream = Server::of_ours("upstream")?;
    for backlog in [0, COUNTED] {
        let counter = Counter::new(folder, &format!("beside-{backlog}"));
        let _ = fs::remove_file(&counter.out);
        let flags = "--threads 1 --max-size 64 --max-wait 500ms";
        let proxy = Server::counted_proxy_with(&upstream.address, flags, &counter, SETTINGS)?;
        // All of one id, of which a batch has one: so none is full, and all stay.
        hand_in(&proxy, backlog, |_| 0, "")?;
        let job = count_load(&counter, &proxy, Load::of(64, seconds))?;
        tell(
            &format!("a caller's job beside {backlog} that wait"),
            job,
            "instructions",
        );
    }
    Ok(())
}

/// Hands in so many jobs, with these ids, and returns their handles.
fn hand_in(
    proxy: &Server,
    jobs: usize,
    id: impl Fn(usize) -> usize,
    query: &str,
) -> Result<Vec<String>> {
    let mut stream = TcpStream::connect(&proxy.address)?;
    let mut handles = Vec::with_capacity(jobs);
    let mut text = Vec::new();
    for first in (0..jobs).step_by(PIPELINED) {
        let last = jobs.min(first + PIPELINED);
        text.clear();
        for n in first..last {
            let job = format!(r#"{{"id":{:<7},"body":"{}"}}"#, id(n), "x".repeat(60));
            write!(
                text,
                "POST /jobs{query} HTTP/1.1\r\nhost: localhost\r\nprefer: respond-async\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n{job}",
                job.len()
            )?;
        }
        stream.write_all(&text)?;
        let mut reader = Counting::new(&mut stream);
        while reader.seen("\"expires_at\"")? < last - first {}
        let answers = String::from_utf8_lossy(&reader.text);
        let found = answers.split("\"handle\":\"").skip(1);
        handles.extend(found.filter_map(|it| Some(it.split_once('"')?.0.to_owned())));
    }
    ensure!(handles.len() == jobs, "{} handles of {jobs}", handles.len());
    Ok(handles)
}

/// Waits until so many are finished.
fn finished(proxy: &Server, jobs: usize) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(300);
    while proxy.metric("microbatch_later_jobs{state=\"done\"}")? < jobs as f64 {
        ensure!(Instant::now() < until, "they do not finish");
        sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Reads until it has seen a word often enough.
struct Counting<'a> {
    stream: &'a mut TcpStream,
    text: Vec<u8>,
}

impl<'a> Counting<'a> {
    fn new(stream: &'a mut TcpStream) -> Self {
        let text = Vec::new();
        Self { stream, text }
    }

    /// How often the word has come, after one more read.
    fn seen(&mut self, word: &str) -> Result<usize> {
        let mut buffer = [0; 65_536];
        let read = self.stream.read(&mut buffer)?;
        ensure!(read > 0, "the proxy has closed");
        self.text.extend_from_slice(&buffer[..read]);
        let text = std::str::from_utf8(&self.text).context("not UTF-8")?;
        Ok(text.matches(word).count())
    }
}
