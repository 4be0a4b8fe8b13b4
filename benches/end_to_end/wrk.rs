//! Load by wrk, a process of its own too.

use std::collections::HashMap;
use std::io::Write;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// One run of wrk.
#[derive(Clone, Copy)]
pub struct Load {
    pub callers: usize,
    pub seconds: u32,
    /// The bytes of a job's body.
    pub bytes: usize,
    pub path: &'static str,
    /// What is posted: `#n` stands for a number of its own, `#x` for the bytes.
    pub call: &'static str,
    /// The longest pause of a caller between two jobs, in milliseconds.
    pub pause: u32,
    /// What each call prefers (RFC 7240), or nothing.
    pub prefer: &'static str,
}

impl Load {
    pub fn of(callers: usize, seconds: u32) -> Self {
        Self {
            callers,
            seconds,
            bytes: 60,
            path: "/jobs",
            call: r##"{"id":"#n","body":"#x"}"##,
            pause: 0,
            prefer: "",
        }
    }
}

/// What it came to.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub requests: f64,
    pub seconds: f64,
    /// The median time to an answer, in microseconds.
    pub p50: f64,
    /// The 99th percentile of it.
    pub p99: f64,
    /// The 99th percentile of the time in the queue, in microseconds; only with
    /// pauses.
    pub queued: f64,
}

impl Run {
    pub fn rate(&self) -> f64 {
        self.requests / self.seconds
    }
}

/// Drives the server at `address`.
pub fn drive(address: &str, load: Load) -> Result<Run> {
    let mut script = tempfile::NamedTempFile::new()?;
    script.write_all(include_bytes!("load.lua"))?;
    // Many more than are under way, so that no two of one id are; but a few
    // megabytes at most.
    let jobs = (load.callers * 4)
        .max((8 << 20) / (load.bytes + 200))
        .min(65_536);
    let output = Command::new("wrk")
        .args(["-t1", &format!("-c{}", load.callers)])
        .arg(format!("-d{}s", load.seconds))
        .args(["--timeout", "30s", "-s"])
        .arg(script.path())
        .arg(format!("http://{address}"))
        .args(["--", &load.bytes.to_string(), &jobs.to_string(), load.path])
        .args([&load.pause.to_string(), load.call])
        .args((!load.prefer.is_empty()).then_some(load.prefer))
        .output()
        .context("wrk can't be run; Debian has it in the package wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("result "));
    let line = line.with_context(|| format!("wrk said: {text}"))?;
    let fields: HashMap<_, _> = line
        .split(' ')
        .filter_map(|it| it.split_once('='))
        .collect();
    let field = |name: &str| Ok::<f64, anyhow::Error>(fields.get(name).context("field")?.parse()?);
    ensure!(field("failed")? == 0.0, "failed requests: {text}");
    Ok(Run {
        requests: field("requests")?,
        seconds: field("us")? / 1e6,
        p50: field("p50")?,
        p99: field("p99")?,
        queued: field("queued")?,
    })
}
