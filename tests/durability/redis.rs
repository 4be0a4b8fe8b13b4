//! A redis-server of the test's own, on a socket in a folder of its own, which can be killed
//! and started anew on the same data.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::report::skip;

const SERVER: &str = "redis-server";

/// How long it may take to start: a bound for a hang.
const LONGEST_START: Duration = Duration::from_secs(30);

/// What a store asks of a Redis that is to lose nothing.
pub const LASTING: [&str; 6] = [
    "--appendonly",
    "yes",
    "--appendfsync",
    "always",
    "--maxmemory-policy",
    "noeviction",
];

/// A server. Dropping it kills it and removes its data.
pub struct Redis {
    folder: TempDir,
    settings: Vec<String>,
    child: Option<Child>,
}

impl Redis {
    /// A running server with these settings; nothing, aloud, where there is none.
    pub async fn start(settings: &[&str]) -> Option<Self> {
        let there = std::process::Command::new(SERVER)
            .arg("--version")
            .stdin(Stdio::null())
            .output();
        if there.is_err() {
            return skip("there is no redis-server");
        }
        let mut redis = Self {
            folder: TempDir::new().expect("a folder"),
            settings: settings.iter().map(|&it| it.to_owned()).collect(),
            child: None,
        };
        redis.restart().await;
        Some(redis)
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("redis.log")
    }

    /// Ends it at once.
    pub async fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().await.expect("it is killed");
    }

    /// Holds it, as a machine that is too busy would; `Signal::CONT` lets it go on.
    pub fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().and_then(Child::id).expect("it runs");
        let pid = Pid::from_raw(id.try_into().expect("a process id")).expect("a process id");
        kill_process(pid, signal).expect("the signal is sent");
    }

    /// Starts it on the data that there are, and waits until it has read them.
    pub async fn restart(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let log = File::options().create(true).append(true).open(self.log());
        let log = log.expect("a log");
        let mut command = Command::new(SERVER);
        command.args(["--port", "0", "--save", ""]);
        command.arg("--unixsocket").arg(self.socket());
        command.arg("--dir").arg(self.folder.path());
        command.args(&self.settings).kill_on_drop(true);
        command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null());
        self.child = Some(command.spawn().expect("it is there"));
        let until = Instant::now() + LONGEST_START;
        while self.try_ask("PING").await.as_deref() != Some("+PONG") {
            let log = || std::fs::read_to_string(self.log()).unwrap_or_default();
            assert!(Instant::now() < until, "it does not start: {}", log());
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// One command, and the first line of what it says to that.
    pub async fn ask(&self, command: &str) -> String {
        let said = self.try_ask(command).await;
        said.unwrap_or_else(|| panic!("no answer to {command}"))
    }

    async fn try_ask(&self, command: &str) -> Option<String> {
        let mut socket = UnixStream::connect(self.socket()).await.ok()?;
        let line = format!("{command}\r\n");
        socket.write_all(line.as_bytes()).await.ok()?;
        let mut said = String::new();
        BufReader::new(socket).read_line(&mut said).await.ok()?;
        Some(said.trim_end().to_owned())
    }
}
