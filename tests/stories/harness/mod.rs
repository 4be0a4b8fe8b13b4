//! What every story needs: the real binary, scripted upstreams, and callers.
//!
//! Nothing here sleeps to synchronise. A story waits for a log line of the
//! proxy, for a call that reaches the upstream, or for an answer; each of these
//! waits is guarded by [`within`], so a hang becomes a failure that says what
//! was waited for.

pub mod certificates;
mod client;
pub mod h2;
pub mod issued;
mod lasting;
mod later;
mod log;
mod peer;
mod ports;
mod problem;
mod proxy;
mod raw_client;
mod raw_upstream;
mod redis;
mod resource;
mod routes;
mod scrape;
pub mod set_up;
mod siege;
#[allow(dead_code, reason = "for `tests/stories`")]
pub mod sockets;
mod submit;
mod tokens;
mod upstream;
mod wire;

pub use client::{Answer, Caller, H2c, KeepAlive, Request, post, send};
pub use lasting::Machine;
pub use later::{Event, Handed, Listening};
pub use log::{Line, Log};
pub use peer::{Peer, PeerUpstream};
pub use ports::{Deaf, Reserved};
pub use problem::Problem;
#[allow(unused_imports, reason = "for `tests/durability`")]
pub use proxy::Starting;
pub use proxy::{Proxy, command};
pub use raw_client::RawClient;
pub use raw_upstream::{Play, RawUpstream};
pub use redis::Redis;
pub use resource::{Resource, Unkind};
pub use routes::{Routes, answers, call, route};
pub use rustix::process::Signal;
pub use scrape::Scrape;
pub use set_up::SetUp;
pub use siege::Siege;
pub use submit::{Submit, jobs, results, word};
pub use tokens::{TokenFile, token_entry};
pub use upstream::{Call, ScriptedUpstream};
pub use wire::{Wire, WireUpstream};

use std::time::Duration;

/// How long anything may take before the story counts as hung. It is no
/// expectation of speed: a healthy run never comes near it.
const HANG: Duration = Duration::from_secs(30);

/// A `batch.max_wait` that no wait of the harness outlives: only another flush
/// reason, or the story's own `POST /flush`, lets a batch leave.
pub const LONG_WAIT: [&str; 2] = ["--max-wait", "50s"];

/// Awaits `future`, and fails the story with `what` when it hangs.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(HANG, future).await {
        Ok(value) => value,
        Err(_) => panic!("hung while waiting for {what}"),
    }
}

/// Asks again and again until `probe` gives something. For states that nothing
/// announces, such as a listener that has closed.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut probe: impl FnMut() -> F,
) -> T {
    within(what, async {
        loop {
            if let Some(value) = probe().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}
