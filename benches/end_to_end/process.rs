//! The servers as processes of their own, and what the operating system knows of them.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::counter::Counter;
use crate::service::Service;

/// The release binary.
const PRODUCT: &str = env!("CARGO_BIN_EXE_microbatch");

fn product() -> Command {
    Command::new(PRODUCT)
}

fn in_front_of(upstream: &str, flags: &str) -> String {
    let upstream = match upstream.strip_prefix("unix:") {
        Some(_) => format!("{upstream}:/batch"),
        None => format!("http://{upstream}/batch"),
    };
    format!("--upstream {upstream} --admin-listen 127.0.0.1:0 {flags}")
}

/// Ends with this.
pub struct Server {
    child: Child,
    /// Where it serves callers.
    pub address: String,
    /// Where it serves operators, if it does.
    pub admin: Option<String>,
}

impl Server {
    /// This executable, as the floor or as the upstream: it prints its address.
    pub fn of_ours(role: &str) -> Result<Self> {
        Self::that_prints(Command::new(std::env::current_exe()?).arg(role))
    }

    /// The same, listening there.
    pub fn that_listens(role: &str, address: &str) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        Self::that_prints(command.args([role, address]))
    }

    /// The floor behind TLS, with this certificate and this key.
    pub fn encrypted_floor(cert: &str, key: &str) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        Self::that_prints(command.args(["encrypted-floor", cert, key]))
    }

    /// This executable, as a service that answers with results of so many numbers.
    pub fn service(service: Service, numbers: usize) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let command = command.args(["service", service.name()]);
        Self::that_prints(command.arg(numbers.to_string()))
    }

    /// The floor with one thread, its instructions to be counted; on that socket, if one is
    /// named.
    pub fn counted_floor(counter: &Counter, socket: Option<&str>) -> Result<Self> {
        let mut command = counter.command(std::env::current_exe()?);
        command.arg("floor").args(socket);
        Self::that_prints(command.env("TOKIO_WORKER_THREADS", "1"))
    }

    fn that_prints(command: &mut Command) -> Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().context("no output")?;
        let mut address = String::new();
        BufReader::new(stdout).read_line(&mut address)?;
        let address = address.trim().to_owned();
        Ok(Self {
            child,
            address,
            admin: None,
        })
    }

    /// The product in front of an upstream; its log tells its addresses.
    pub fn proxy(upstream: &str, flags: &str) -> Result<Self> {
        Self::proxy_with(upstream, flags, &[])
    }

    /// The same, with these settings from its environment.
    pub fn proxy_with(upstream: &str, flags: &str, settings: &[(&str, &str)]) -> Result<Self> {
        let mut command = product();
        command.envs(settings.iter().copied());
        Self::of_the_product(command, &in_front_of(upstream, flags))
    }

    /// The same, its instructions to be counted.
    pub fn counted_proxy(upstream: &str, flags: &str, counter: &Counter) -> Result<Self> {
        Self::counted_proxy_with(upstream, flags, counter, &[])
    }

    /// The same, with these settings from its environment.
    pub fn counted_proxy_with(
        upstream: &str,
        flags: &str,
        counter: &Counter,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let mut command = counter.command(PRODUCT.into());
        command.envs(settings.iter().copied());
        Self::of_the_product(command, &in_front_of(upstream, flags))
    }

    /// The same, and how often it calls the system for each of these is written to a file
    /// when it ends. It is the child itself.
    pub fn traced_proxy(
        upstream: &str,
        flags: &str,
        settings: &[(&str, &str)],
        calls: &str,
        out: &Path,
    ) -> Result<Self> {
        let mut command = Command::new("strace");
        command.args(["-D", "-f", "--seccomp-bpf", "-c", "-e", calls, "-o"]);
        command.arg(out).arg(PRODUCT);
        command.envs(settings.iter().copied());
        Self::of_the_product(command, &in_front_of(upstream, flags))
    }

    /// The product's sample upstream, which can be slow.
    pub fn sample(flags: &str) -> Result<Self> {
        Self::of_the_product(product(), &format!("upstream {flags}"))
    }

    fn of_the_product(mut command: Command, flags: &str) -> Result<Self> {
        command.args(flags.split_whitespace());
        if !flags.contains("--listen ") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command
            .env("MICROBATCH_LOG__FORMAT", "json")
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let mut log = BufReader::new(child.stderr.take().context("no log")?);
        let mut said = String::new();
        let line: serde_json::Value = loop {
            let mut line = String::new();
            ensure!(log.read_line(&mut line)? > 0, "it has ended: {said}");
            match serde_json::from_str(&line) {
                Ok(serde_json::Value::Object(fields)) if fields.contains_key("listen") => {
                    break fields.into();
                }
                _ => said.push_str(&line),
            }
        };
        // A log that is not read must not hold it up.
        thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        let field = |name: &str| line[name].as_str().map(str::to_owned);
        Ok(Self {
            address: field("listen").context("no address")?,
            admin: field("admin"),
            child,
        })
    }

    /// nginx, which forwards every job by itself over connections that it keeps.
    pub fn nginx(upstream: &str, folder: &Path) -> Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let config = include_str!("nginx.conf")
            .replace("PORT", &port.to_string())
            .replace("UPSTREAM", upstream);
        let file = folder.join("nginx.conf");
        fs::write(&file, config)?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder).arg("-c").arg(&file);
        let child = command.stderr(Stdio::null()).spawn()?;
        let server = Self {
            child,
            address: format!("127.0.0.1:{port}"),
            admin: None,
        };
        let until = Instant::now() + Duration::from_secs(5);
        while TcpStream::connect(&server.address).is_err() {
            ensure!(Instant::now() < until, "nginx does not listen");
            thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// What the operating system calls it.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The CPU time of all its threads and its children's, user and system.
    pub fn cpu(&self) -> Result<Duration> {
        let mut nanos = 0;
        for pid in self.pids()? {
            for task in fs::read_dir(format!("/proc/{pid}/task"))? {
                let stat = fs::read_to_string(task?.path().join("schedstat"))?;
                let on_cpu = stat.split_whitespace().next().context("empty")?;
                nanos += on_cpu.parse::<u64>()?;
            }
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// The same in the system's ticks of 10 ms, which it counts by itself.
    pub fn ticks(&self) -> Result<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let after_name = stat.rsplit(')').next().context("no name")?;
        let times = after_name.split_whitespace().skip(11).take(2);
        times.map(|ticks| Ok(ticks.parse::<u64>()?)).sum()
    }

    /// Resident memory in KiB: `VmRSS` is that of now, `VmHWM` the most so far.
    pub fn memory(&self, which: &str) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with(which));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(kib.context("no such line")?.parse()?)
    }

    /// A metric: what all its series come to, or the one with the labels that stand behind its
    /// name.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let text = self.ask("GET", "/metrics")?;
        let values = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let labels = series.strip_prefix(name)?;
            (labels.is_empty() || labels.starts_with('{')).then_some(value)
        });
        let values = values.map(str::parse).collect::<Result<Vec<f64>, _>>()?;
        ensure!(!values.is_empty(), "no metric {name}");
        Ok(values.iter().sum())
    }

    /// Posts to the admin listener.
    pub fn post(&self, path: &str) -> Result<()> {
        self.ask("POST", path).map(drop)
    }

    fn ask(&self, method: &str, path: &str) -> Result<String> {
        let admin = self.admin.as_ref().context("no admin listener")?;
        let mut stream = TcpStream::connect(admin)?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-length: 0\r\n\r\n"
        )?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }

    /// Ends it at once.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Its own process, and those that it has started.
    fn pids(&self) -> Result<Vec<u32>> {
        let own = self.child.id();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children"))?;
        let children = children.split_whitespace().map(str::parse);
        let mut pids = children.collect::<Result<Vec<u32>, _>>()?;
        pids.push(own);
        Ok(pids)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Politely, so that nginx ends its workers too.
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id() as i32) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}
