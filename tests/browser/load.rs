//! The sample upstream, and callers who never tire.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Child;
use tokio::task::JoinSet;

use crate::harness::{KeepAlive, Log, Request, command};

/// `microbatch upstream`.
pub struct SampleUpstream {
    /// What the proxy is given as its upstream.
    pub url: String,
    _child: Child,
}

impl SampleUpstream {
    pub async fn start(flags: &[&str]) -> Self {
        let mut command = command();
        command.args(["upstream", "--listen", "127.0.0.1:0", "--shuffle"]);
        command.args(flags).env("MICROBATCH_LOG__FORMAT", "json");
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let log = Log::read(child.stderr.take().expect("a pipe"));
        let line = log.nth("sample upstream listening", 1).await;
        Self {
            url: format!("http://{}/batch", line.text("listen")),
            _child: child,
        }
    }
}

/// Callers, each with a connection and a job at a time. Dropped, they leave.
pub struct Load {
    proxy: SocketAddr,
    path: &'static str,
    callers: JoinSet<()>,
}

impl Load {
    pub fn new(proxy: SocketAddr) -> Self {
        Self::at(proxy, "/jobs")
    }

    /// Whose jobs are posted to another route's path.
    pub fn at(proxy: SocketAddr, path: &'static str) -> Self {
        let callers = JoinSet::new();
        Self {
            proxy,
            path,
            callers,
        }
    }

    /// So many more, who ask without a pause.
    pub fn callers(&mut self, count: usize) {
        self.paced(count, || Duration::ZERO);
    }

    /// So many more, who rest for so long after each answer.
    pub fn paced(&mut self, count: usize, rest: impl Fn() -> Duration + Copy + Send + 'static) {
        for _ in 0..count {
            let (proxy, path, caller) = (self.proxy, self.path, self.callers.len());
            self.callers.spawn(async move {
                let mut connection = KeepAlive::connect(proxy).await;
                for n in 0.. {
                    let id = format!("{caller}-{n}");
                    let job = format!(r#"{{"id":"{id}","body":{{"text":"hello from {id}"}}}}"#);
                    // The proxy may be stopped meanwhile.
                    if connection
                        .try_send(Request::job(job).to("POST", path))
                        .await
                        .is_err()
                    {
                        return;
                    }
                    tokio::time::sleep(rest()).await;
                }
            });
        }
    }
}
