//! The proxy's log, as lines a story can wait for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::{Notify, watch};

use super::within;

/// One line of the log: a flat JSON object.
#[derive(Clone, Debug)]
pub struct Line(pub Value);

impl Line {
    /// The message, empty for a line that is not JSON.
    pub fn message(&self) -> &str {
        self.text("message")
    }

    /// A text field, empty when absent.
    pub fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_default()
    }

    /// A number field. Panics when it is absent or no whole number.
    pub fn number(&self, field: &str) -> u64 {
        self.0[field]
            .as_u64()
            .unwrap_or_else(|| panic!("no number {field} in {}", self.0))
    }
}

impl Line {
    /// What the `done` line says of one outcome, such as `ok`.
    pub fn outcome(&self, code: &str) -> u64 {
        self.outcomes().get(code).copied().unwrap_or_default()
    }

    /// All of them: `outcomes` reads `ok=12 job-error=3`.
    pub fn outcomes(&self) -> BTreeMap<String, u64> {
        let pairs = self.text("outcomes").split_whitespace();
        pairs
            .map(|pair| {
                let (code, count) = pair.split_once('=').expect("code=count");
                (code.to_owned(), count.parse().expect("a count"))
            })
            .collect()
    }
}

/// Everything the proxy has logged so far, growing in the background.
#[derive(Clone)]
pub struct Log {
    lines: Arc<Mutex<Vec<Line>>>,
    /// How many lines there are, and whether the proxy has closed its stderr.
    progress: watch::Receiver<(usize, bool)>,
    stop: Arc<Notify>,
}

impl Log {
    /// Starts reading; a task does so until the proxy closes its end.
    pub fn read(stderr: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (tell, progress) = watch::channel((0, false));
        let shelf = lines.clone();
        let stop = Arc::new(Notify::new());
        let stopped = stop.clone();
        tokio::spawn(async move {
            let mut reader = BufReader::new(stderr).lines();
            loop {
                let line = tokio::select! {
                    line = reader.next_line() => line,
                    // The pipe stays open.
                    () = stopped.notified() => return std::future::pending().await,
                };
                let Ok(Some(line)) = line else {
                    break;
                };
                let value = serde_json::from_str(&line)
                    .unwrap_or_else(|_| serde_json::json!({ "not_json": line }));
                let count = {
                    let mut shelf = shelf.lock().unwrap();
                    shelf.push(Line(value));
                    shelf.len()
                };
                let _ = tell.send((count, false));
            }
            tell.send_modify(|progress| progress.1 = true);
        });
        Self {
            lines,
            progress,
            stop,
        }
    }

    /// Reads no further, and keeps the proxy's stderr open.
    pub fn stop_reading(&self) {
        self.stop.notify_one();
    }

    /// The first line that `wanted` accepts, now or later. Fails the story when
    /// the proxy ends without having written one.
    pub async fn wait_for(&self, what: &str, wanted: impl Fn(&Line) -> bool) -> Line {
        self.wait_for_nth(what, 1, wanted).await
    }

    /// The `n`-th line (from 1) that `wanted` accepts, now or later.
    pub async fn wait_for_nth(&self, what: &str, n: usize, wanted: impl Fn(&Line) -> bool) -> Line {
        let what = format!("the log line: {what}");
        let found = within(&what, self.find_nth(n, wanted)).await;
        found.unwrap_or_else(|| panic!("the proxy ended without {what}\n{self}"))
    }

    /// The same where the proxy may end without it.
    pub async fn find_nth(&self, n: usize, wanted: impl Fn(&Line) -> bool) -> Option<Line> {
        let mut progress = self.progress.clone();
        let (mut read, mut found) = (0, 0);
        loop {
            let ended = progress.borrow_and_update().1;
            {
                let lines = self.lines.lock().unwrap();
                for line in &lines[read..] {
                    found += usize::from(wanted(line));
                    if found == n {
                        return Some(line.clone());
                    }
                }
                read = lines.len();
            }
            if ended {
                return None;
            }
            let _ = progress.changed().await;
        }
    }

    /// The `n`-th line (from 1) with this message, now or later.
    pub async fn nth(&self, message: &str, n: usize) -> Line {
        self.wait_for_nth(&format!("{message} #{n}"), n, |line| {
            line.message() == message
        })
        .await
    }

    /// How many of the lines so far `wanted` accepts.
    pub fn count(&self, wanted: impl Fn(&Line) -> bool) -> usize {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter(|line| wanted(line)).count()
    }

    /// The last line of a proxy that has ended.
    pub async fn last(&self) -> Line {
        let mut progress = self.progress.clone();
        let _ = within(
            "the end of the log",
            progress.wait_for(|progress| progress.1),
        )
        .await;
        let lines = self.lines.lock().unwrap();
        lines.last().expect("an empty log").clone()
    }
}

impl std::fmt::Display for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines = self.lines.lock().unwrap();
        lines
            .iter()
            .try_for_each(|line| writeln!(f, "  {}", line.0))
    }
}
