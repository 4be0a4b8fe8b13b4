//! A redis-server of the benchmark's own, and what it counts.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// Ends with this.
pub struct Redis {
    child: Child,
    socket: PathBuf,
}

impl Redis {
    /// One that loses nothing, with its files in this folder.
    pub fn start(folder: &Path) -> Result<Self> {
        let socket = folder.join("redis.sock");
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "yes"]);
        command.args([
            "--appendfsync",
            "always",
            "--maxmemory-policy",
            "noeviction",
        ]);
        command
            .arg("--unixsocket")
            .arg(&socket)
            .arg("--dir")
            .arg(folder);
        command
            .stdout(File::create(folder.join("redis.log"))?)
            .stderr(Stdio::null());
        let child = command.spawn().context("redis-server can't be run")?;
        let redis = Self { child, socket };
        let until = Instant::now() + Duration::from_secs(10);
        while redis.info("server").is_err() {
            ensure!(Instant::now() < until, "redis-server does not start");
            sleep(Duration::from_millis(20));
        }
        Ok(redis)
    }

    /// `later.store`.
    pub fn store(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// How many commands it has had, those of scripts too, and this one not.
    pub fn commands(&self) -> Result<f64> {
        let info = self.info("stats")?;
        let field = info
            .lines()
            .find_map(|it| it.strip_prefix("total_commands_processed:"));
        Ok(field.context("no count")?.trim().parse()?)
    }

    /// How many scripts it was told to run: a round trip each.
    pub fn scripts(&self) -> Result<f64> {
        let info = self.info("commandstats")?;
        let scripts = info.lines().filter(|it| it.starts_with("cmdstat_eval"));
        let calls = scripts.filter_map(|it| it.split_once("calls=")?.1.split(',').next());
        calls.map(|it| Ok(it.parse::<f64>()?)).sum()
    }

    fn info(&self, section: &str) -> Result<String> {
        let mut socket = UnixStream::connect(&self.socket)?;
        write!(socket, "INFO {section}\r\n")?;
        let mut reader = BufReader::new(socket);
        let mut length = String::new();
        reader.read_line(&mut length)?;
        let length = length
            .trim()
            .strip_prefix('$')
            .context("no text")?
            .parse()?;
        let mut text = vec![0; length];
        reader.read_exact(&mut text)?;
        Ok(String::from_utf8(text)?)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
