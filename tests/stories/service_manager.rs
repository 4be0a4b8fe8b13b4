//! What a service manager hears: ready, alive, reloading, stopping.

use std::time::Duration;

use tokio::net::UnixDatagram;

use crate::harness::{Proxy, Request, ScriptedUpstream, Signal, within};

/// A manager that has started a proxy.
struct Manager {
    socket: UnixDatagram,
    path: String,
    _directory: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        Self {
            socket: UnixDatagram::bind(&path).unwrap(),
            path: path.to_str().unwrap().to_owned(),
            _directory: directory,
        }
    }

    /// The next message's lines.
    async fn hears(&self) -> Vec<String> {
        let mut bytes = vec![0; 4096];
        let received = within("word of the proxy", self.socket.recv(&mut bytes)).await;
        let text = String::from_utf8(bytes[..received.unwrap()].to_vec()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// The next message that is not of the watchdog.
    async fn hears_of_more_than_life(&self) -> Vec<String> {
        loop {
            let heard = self.hears().await;
            if heard != ["WATCHDOG=1"] {
                return heard;
            }
        }
    }
}

#[tokio::test]
async fn a_manager_hears_when_it_is_ready_and_when_it_stops() {
    let (manager, mut upstream) = (Manager::new(), ScriptedUpstream::start().await);
    let env = [("NOTIFY_SOCKET", &*manager.path)];
    let flags = ["--max-size", "1", "--shutdown-timeout", "90s"];
    let mut proxy = Proxy::start(&upstream.url(), &flags, &env).await;
    let ready = manager.hears().await;
    let addresses = format!(
        "STATUS=jobs on {}, administration on {}",
        proxy.jobs_addr,
        proxy.admin_addr.unwrap()
    );
    assert_eq!(ready, ["READY=1", &addresses]);
    assert_eq!(
        proxy.send(Request::new("GET", "/healthz")).await.status,
        200
    );

    let waiting = proxy.enqueue(r#"{"id":"1"}"#).await;
    let busy = upstream.next().await;
    proxy.signal(Signal::TERM);
    let stopping = manager.hears().await;
    assert_eq!(stopping[0], "STOPPING=1", "{stopping:?}");
    let longest = stopping[1].strip_prefix("EXTEND_TIMEOUT_USEC=").unwrap();
    let longest = Duration::from_micros(longest.parse().unwrap());
    assert!((90..120).contains(&longest.as_secs()), "{longest:?}");
    assert_eq!(stopping[2], "STATUS=draining");

    busy.echo();
    assert_eq!(waiting.answer().await.status, 200);
    assert_eq!(proxy.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_manager_hears_of_a_reload_and_that_it_is_over_however_it_ended() {
    let (manager, upstream) = (Manager::new(), ScriptedUpstream::start().await);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("microbatch.toml");
    std::fs::write(&file, "").unwrap();
    let env = [("NOTIFY_SOCKET", &*manager.path)];
    let flags = ["--config", file.to_str().unwrap()];
    let proxy = Proxy::start(&upstream.url(), &flags, &env).await;
    let ready = manager.hears().await;
    for settings in ["[batch]\nmax_size = 1\n", "[batch]\nmax_size = 0\n"] {
        std::fs::write(&file, settings).unwrap();
        proxy.signal(Signal::HUP);
        let reloading = manager.hears().await;
        assert_eq!(reloading[0], "RELOADING=1", "{reloading:?}");
        let since = |line: &String| line.starts_with("MONOTONIC_USEC=");
        assert!(reloading.iter().any(since), "{reloading:?}");
        assert_eq!(manager.hears().await, ready, "{settings}");
    }
}

#[tokio::test]
async fn a_manager_hears_again_and_again_that_it_lives() {
    let (manager, upstream) = (Manager::new(), ScriptedUpstream::start().await);
    let env = [
        ("NOTIFY_SOCKET", &*manager.path),
        ("WATCHDOG_USEC", "200000"),
    ];
    let mut proxy = Proxy::start(&upstream.url(), &["--threads", "3"], &env).await;
    assert_eq!(manager.hears_of_more_than_life().await[0], "READY=1");
    for _ in 0..5 {
        assert_eq!(manager.hears().await, ["WATCHDOG=1"]);
    }
    proxy.signal(Signal::TERM);
    assert_eq!(manager.hears_of_more_than_life().await[0], "STOPPING=1");
    assert_eq!(proxy.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_manager_that_watches_another_process_hears_nothing_of_life() {
    let (manager, upstream) = (Manager::new(), ScriptedUpstream::start().await);
    let env = [
        ("NOTIFY_SOCKET", &*manager.path),
        ("WATCHDOG_USEC", "1000"),
        ("WATCHDOG_PID", "1"),
    ];
    let mut proxy = Proxy::start(&upstream.url(), &[], &env).await;
    assert_eq!(manager.hears().await[0], "READY=1");
    proxy.signal(Signal::TERM);
    assert_eq!(manager.hears().await[0], "STOPPING=1");
    assert_eq!(proxy.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_manager_that_is_gone_holds_nobody_up() {
    let upstream = ScriptedUpstream::start().await;
    let env = [
        ("NOTIFY_SOCKET", "/nowhere/at/all"),
        ("WATCHDOG_USEC", "1000"),
    ];
    let mut proxy = Proxy::start(&upstream.url(), &[], &env).await;
    assert_eq!(
        proxy.send(Request::new("GET", "/healthz")).await.status,
        200
    );
    let is_told =
        |line: &crate::harness::Line| line.message().starts_with("the service manager can't");
    proxy.log.wait_for_nth("a warning", 1, is_told).await;
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.exit_code().await, Some(0));
    assert_eq!(proxy.log.count(is_told), 1);
}
