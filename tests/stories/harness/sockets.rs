//! A proxy whose listeners are unix sockets, in a directory of their own.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::process::Command;

use super::proxy::Starting;
use super::{Answer, H2c, KeepAlive, Request, Signal, command, within};

/// Where the sockets of one proxy after another are.
pub struct Sockets {
    pub dir: TempDir,
}

/// A proxy that listens there. Dropping it kills the process.
pub struct OnSockets {
    pub process: Starting,
    pub jobs: PathBuf,
    pub admin: PathBuf,
}

impl Sockets {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        Self { dir }
    }

    /// The path of a file there.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// How it is written as an address.
    pub fn address(&self, name: &str) -> String {
        format!("unix:{}", self.path(name).display())
    }

    /// Starts a proxy on `jobs.sock` and `admin.sock`, which may be ready some time.
    pub fn starting(&self, upstream: &str, flags: &[&str], env: &[(&str, &str)]) -> Starting {
        self.starting_by(command(), upstream, flags, env)
    }

    /// The same by this command.
    pub fn starting_by(
        &self,
        command: Command,
        upstream: &str,
        flags: &[&str],
        env: &[(&str, &str)],
    ) -> Starting {
        let [jobs, admin] = ["jobs.sock", "admin.sock"].map(|name| self.address(name));
        let listen = ["--listen", &jobs, "--admin-listen", &admin];
        Starting::by(command, upstream, &[&listen, flags].concat(), env)
    }

    /// Starts a proxy, and waits until it is ready.
    pub async fn start(&self, upstream: &str, flags: &[&str], env: &[(&str, &str)]) -> OnSockets {
        let process = self.starting(upstream, flags, env);
        self.ready(process).await
    }

    /// Waits until it is.
    pub async fn ready(&self, process: Starting) -> OnSockets {
        process.log.nth("ready", 1).await;
        OnSockets {
            process,
            jobs: self.path("jobs.sock"),
            admin: self.path("admin.sock"),
        }
    }
}

impl OnSockets {
    /// One request on a new connection to the jobs listener.
    pub async fn send(&self, request: Request) -> Answer {
        send(&self.jobs, request).await
    }

    /// The same to the admin listener.
    pub async fn admin(&self, method: &str, path: &str) -> Answer {
        send(&self.admin, Request::new(method, path)).await
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for the end of the process; its exit code, none when a signal killed it.
    pub async fn exit_code(&mut self) -> Option<i32> {
        self.process.exit_code().await
    }
}

/// One request on a new connection to a socket.
pub async fn send(socket: &Path, request: Request) -> Answer {
    KeepAlive::on(connect(socket).await)
        .await
        .send(request)
        .await
}

/// A connection with HTTP/2 to a socket.
pub async fn h2c(socket: &Path) -> H2c {
    H2c::on(connect(socket).await).await
}

/// A connection to a socket.
pub async fn connect(socket: &Path) -> UnixStream {
    let connected = within("a connection", UnixStream::connect(socket)).await;
    connected.unwrap_or_else(|error| panic!("cannot connect to {}: {error}", socket.display()))
}

/// What `curl` says, which must be installed, by way of a socket.
pub async fn curl(socket: &Path, args: &[&str]) -> Output {
    let mut curl = Command::new("curl");
    curl.env_clear().stdin(Stdio::null()).kill_on_drop(true);
    curl.args(["--silent", "--show-error", "--include", "--unix-socket"]);
    let output = curl.arg(socket).args(args).output();
    within("the end of curl", output).await.expect("curl runs")
}
