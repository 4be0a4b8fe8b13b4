//! A redis-server of the story's own, on a socket in a folder of its own.

use std::path::PathBuf;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use super::within;

/// A running server. Dropping it kills it and removes its data.
pub struct Redis {
    folder: TempDir,
    _child: Child,
}

impl Redis {
    /// What a store asks for that is to lose nothing.
    pub const LASTING: [&str; 6] = [
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--maxmemory-policy",
        "noeviction",
    ];

    /// Starts one with these settings, and returns as soon as it answers. Nothing, aloud,
    /// where there is no redis-server, and a failure where `CI` is set.
    pub async fn start(settings: &[&str]) -> Option<Self> {
        let folder = TempDir::new().expect("a folder");
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--unixsocket", "redis.sock"]);
        command.args(settings).current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let Ok(mut child) = command.kill_on_drop(true).spawn() else {
            assert!(
                std::env::var_os("CI").is_none(),
                "there is no redis-server, and CI is set"
            );
            println!("skipped: there is no redis-server (Debian: apt-get install redis-server)");
            return None;
        };
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        within("redis-server", async {
            loop {
                let line = lines.next_line().await.expect("its log");
                let line = line.expect("it starts");
                if line.contains("eady to accept connections at") {
                    break;
                }
            }
        })
        .await;
        // A reader that is gone would end it.
        let mut rest = lines.into_inner();
        tokio::spawn(async move {
            let mut rest_of_it = Vec::new();
            let _ = rest.read_to_end(&mut rest_of_it).await;
        });
        Some(Self {
            folder,
            _child: child,
        })
    }

    /// Where it is, as `later.store` names it.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }
}
