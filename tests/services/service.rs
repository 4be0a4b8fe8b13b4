//! A service as a child process.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::harness::{KeepAlive, Request};
use crate::install::Peers;

/// How long a service may take to be ready: a bound for a hang.
const LONGEST_START: Duration = Duration::from_secs(90);

/// How often another port is tried: the first may be taken between its choice and its use.
const TRIES: usize = 3;

/// A running service on a port of its own, on loopback. Dropping it kills all of its processes.
pub struct Service {
    pub addr: SocketAddr,
    child: Child,
}

impl Service {
    /// Starts `command` for a port, its output to `service.log`, and waits until it answers
    /// `GET ready`, with anything but a 5xx.
    pub async fn start(peers: &Peers, ready: &str, command: impl Fn(u16) -> Command) -> Self {
        let log = peers.folder().join("service.log");
        for _ in 0..TRIES {
            let addr = free();
            let output = File::create(&log).expect("a log");
            let errors = output.try_clone().expect("the same log");
            let mut command = command(addr.port());
            command.stdin(Stdio::null()).stdout(output).stderr(errors);
            command.process_group(0).kill_on_drop(true);
            let child = command.spawn().expect("it was installed");
            let mut service = Self { addr, child };
            if service.is_ready(ready).await {
                return service;
            }
        }
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        panic!("the service doesn't start: {log}");
    }

    /// Nothing where it has ended.
    async fn is_ready(&mut self, path: &str) -> bool {
        let until = Instant::now() + LONGEST_START;
        while Instant::now() < until {
            if let Ok(Some(_)) = self.child.try_wait() {
                return false;
            }
            if answers(self.addr, path).await {
                return true;
            }
            sleep(Duration::from_millis(50)).await;
        }
        false
    }
}

async fn answers(addr: SocketAddr, path: &str) -> bool {
    if TcpStream::connect(addr).await.is_err() {
        return false;
    }
    let mut connection = KeepAlive::connect(addr).await;
    let answer = connection.try_send(Request::new("GET", path)).await;
    // Some have nothing to say to a GET, and say that.
    answer.is_ok_and(|it| it.status < 500)
}

fn free() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound socket")
}

impl Drop for Service {
    fn drop(&mut self) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = id.and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
