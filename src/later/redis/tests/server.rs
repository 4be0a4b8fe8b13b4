//! Servers for tests.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// Where stores run that are used by tests whose own clock stands still.
pub static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
});

/// A server, until it is dropped or the process of the tests ends.
pub struct Server {
    pub url: String,
    pub port: u16,
    pub files: TempDir,
    arguments: Vec<String>,
    process: Option<Child>,
}

/// Whether there are the programs that the tests take.
pub fn are_there() -> bool {
    static ARE_THERE: LazyLock<bool> = LazyLock::new(|| {
        let runs = |it: &str| {
            let mut command = Command::new(it);
            let command = command.arg("--version").stdout(Stdio::null());
            command.status().is_ok_and(|it| it.success())
        };
        let are_there = ["redis-server", "redis-cli"].into_iter().all(runs);
        assert!(
            are_there || std::env::var_os("CI").is_none(),
            "there is no redis-server"
        );
        if !are_there {
            eprintln!("skipped: there is no redis-server, or no redis-cli");
        }
        are_there
    });
    *ARE_THERE
}

/// The one that tests share which ask nothing special of it.
pub fn shared() -> &'static Server {
    static SHARED: LazyLock<Server> = LazyLock::new(|| Server::start(&[]));
    &SHARED
}

impl Server {
    /// Starts one with these arguments.
    pub fn start(arguments: &[&str]) -> Self {
        let port = free_port();
        let mut server = Self {
            url: format!("redis://127.0.0.1:{port}"),
            port,
            files: tempfile::tempdir().unwrap(),
            arguments: arguments.iter().map(|it| (*it).to_owned()).collect(),
            process: None,
        };
        server.start_again();
        server
    }

    /// Starts it, where it is not running.
    pub fn start_again(&mut self) {
        // It ends when its input does: by whatever way these tests end.
        let script = "redis-server \"$@\" >redis.log 2>&1 & server=$!; read line; \
                      kill -9 $server; wait $server";
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh", "--port"]);
        command.arg(self.port.to_string());
        command.args(["--bind", "127.0.0.1", "--save", ""]);
        command.args(&self.arguments);
        command.current_dir(self.files.path());
        let command = command.stdin(Stdio::piped()).stderr(Stdio::null());
        self.process = Some(command.spawn().unwrap());
        self.until("ping", |said| said == "PONG" || said.contains("NOAUTH"));
    }

    /// Waits until it says so to this.
    pub fn until(&self, command: &str, says: impl Fn(&str) -> bool) {
        let begun = Instant::now();
        let words: Vec<_> = command.split(' ').collect();
        loop {
            let said = self.say(&words);
            if says(&said) {
                return;
            }
            let log = std::fs::read_to_string(self.files.path().join("redis.log"));
            assert!(begun.elapsed() < super::LONG, "{said}\n{log:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it as a crash does.
    pub fn crash(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.stdin.take().map(|mut it| it.write_all(b"\n")));
            process.wait().unwrap();
        }
    }

    /// What it says to this.
    pub fn say(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.port.to_string()]).args(arguments);
        let said = command.output().unwrap();
        String::from_utf8_lossy(&said.stdout).trim().to_owned()
    }

    /// How many commands it was asked for, but for those of `redis-cli`.
    pub fn calls(&self, command: &str) -> u64 {
        let said = self.say(&["info", "commandstats"]);
        let calls = said.lines().find_map(|it| {
            let (_, calls) = it.split_once(&format!("cmdstat_{command}:calls="))?;
            calls.split(',').next()?.parse().ok()
        });
        calls.unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.crash();
    }
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
