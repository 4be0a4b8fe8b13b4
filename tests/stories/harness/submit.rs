//! `microbatch submit` as a child process.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStdin};

use super::{command, eventually, within};

/// A run. Dropping it kills it.
pub struct Submit {
    child: Child,
}

/// What came of a run.
#[derive(Debug)]
pub struct Submitted {
    /// None where a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// So many jobs with the ids 1, 2, … a line each.
pub fn jobs(count: u64) -> String {
    let jobs = (1..=count).map(|id| format!("{{\"id\":{id},\"body\":\"of {id}\"}}\n"));
    jobs.collect()
}

/// The ids and statuses of results, in their order.
pub fn results(text: &str) -> Vec<(u64, u64)> {
    let results = text.lines().map(|line| {
        let result: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        let number = |name: &str| result[name].as_u64().unwrap_or_else(|| panic!("{line}"));
        (number("id"), number("status"))
    });
    results.collect()
}

impl Submit {
    /// Hands in to the proxy at this address, with more words.
    pub fn start(proxy: SocketAddr, words: &[&str]) -> Self {
        Self::to(proxy, words, Stdio::piped())
    }

    /// The same with this as its standard output.
    pub fn to(proxy: SocketAddr, words: &[&str], stdout: Stdio) -> Self {
        let mut command = command();
        command.args(["submit", "--listen", &proxy.to_string()]);
        command.args(words).stdin(Stdio::piped());
        command.stdout(stdout).stderr(Stdio::piped());
        let child = command.spawn().expect("the binary starts");
        Self { child }
    }

    /// The other end of its standard input.
    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("a pipe")
    }

    /// Closes its standard output at our end.
    pub fn close_stdout(&mut self) {
        drop(self.child.stdout.take());
    }

    pub fn signal(&self, signal: Signal) {
        let id = self.child.id().expect("a process that still runs");
        let pid = Pid::from_raw(id.try_into().expect("a process id")).expect("a process id");
        kill_process(pid, signal).expect("the signal is sent");
    }

    /// What it says on stderr, up to a line that holds `part`.
    pub async fn says(&mut self, part: &str) -> String {
        let stderr = self.child.stderr.as_mut().expect("a pipe");
        let mut said = Vec::new();
        within(part, async {
            while !String::from_utf8_lossy(&said).contains(part) {
                let byte = stderr.read_u8().await;
                said.push(byte.unwrap_or_else(|_| panic!("it ended without {part}: {said:?}")));
            }
        })
        .await;
        String::from_utf8(said).expect("UTF-8")
    }

    /// Waits for its end; its exit code.
    pub async fn wait(&mut self) -> Option<i32> {
        self.child.wait().await.expect("an end").code()
    }

    /// Its end.
    pub async fn ended(mut self) -> Submitted {
        drop(self.child.stdin.take());
        let output = within("the end of submit", self.child.wait_with_output()).await;
        let output = output.expect("an end");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Submitted {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// The same; none where `is_time` came before it, and it was killed.
    pub async fn ended_or(mut self, is_time: impl Fn() -> bool) -> Option<Submitted> {
        let time = eventually("a moment", async || is_time().then_some(()));
        let ended = tokio::select! {
            ended = self.child.wait() => ended.is_ok(),
            () = time => false,
        };
        if !ended {
            // It may have ended by itself meanwhile.
            let _ = self.child.start_kill();
            let status = within("the end of submit", self.child.wait())
                .await
                .expect("an end");
            status.code()?;
        }
        Some(self.ended().await)
    }

    /// A run from start to end.
    pub async fn run(proxy: SocketAddr, words: &[&str]) -> Submitted {
        Self::start(proxy, words).ended().await
    }
}

/// A path as a word.
pub fn word(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
