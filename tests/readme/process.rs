//! The real binary as a child process, killed when dropped.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

/// A running `microbatch`, and both of its outputs.
pub struct Running {
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

type Lines = BufReader<Box<dyn Read + Send>>;

impl Running {
    /// Starts it with these words on ports of its own, its log as JSON, and without the environment
    /// of whoever runs the test.
    pub fn start(words: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_microbatch"))
            .args(words)
            .env_clear()
            .env("MICROBATCH_LOG__FORMAT", "json")
            .env("MICROBATCH_LOG__LEVEL", "microbatch=trace")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        Self {
            stdout: BufReader::new(Box::new(child.stdout.take().expect("a pipe"))),
            stderr: BufReader::new(Box::new(child.stderr.take().expect("a pipe"))),
            child,
        }
    }

    /// A proxy: `words` and ports of its own.
    pub fn proxy(words: &[&str]) -> Self {
        let ports = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
        Self::start(&[words, &ports].concat())
    }

    /// What it prints up to the line that holds `part`.
    pub fn prints_until(&mut self, part: &str) -> String {
        let mut printed = String::new();
        while !printed.contains(part) {
            let read = self.stdout.read_line(&mut printed).expect("UTF-8");
            assert_ne!(read, 0, "it ended without {part}: {printed}");
        }
        printed
    }

    /// The next line of the log that holds `part`.
    pub fn logs(&mut self, part: &str) -> serde_json::Value {
        let line = next_with(&mut self.stderr, part);
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// The address in the log line that says where it listens.
    pub fn address(&mut self) -> String {
        let line = self.logs("listening");
        line["listen"].as_str().expect("an address").to_owned()
    }
}

fn next_with(lines: &mut Lines, part: &str) -> String {
    loop {
        let mut line = String::new();
        let read = lines.read_line(&mut line).expect("UTF-8");
        assert_ne!(read, 0, "it ended without {part}");
        if line.contains(part) {
            return line.trim().to_owned();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
