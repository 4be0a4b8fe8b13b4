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
        self.process = Some(
            command
                .stdin(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        let begun = Instant::now();
        while !self.answers() {
            let log = std::fs::read_to_string(self.files.path().join("redis.log"));
            assert!(begun.elapsed() < Duration::from_secs(60), "{log:?}");
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

    fn answers(&self) -> bool {
        let said = self.say(&["ping"]);
        ["PONG", "NOAUTH"].iter().any(|it| said.starts_with(it)) || said.contains("NOAUTH")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.crash();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
