//! The HTTP library's clients, one for each runtime: no call crosses over to a connection
//! that another thread serves.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use hyper_util::client::legacy::{Builder, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::runtime::{Handle, Id};

use super::outgoing::Outgoing;
use crate::upstream::Dialer;

/// The largest head of an answer over HTTP/1, in bytes, and the most that is read at a time.
const MAX_HEAD: usize = 64 * 1024;

/// How much of an answer HTTP/2 may be sent before its caller takes it, in bytes.
const STREAM_WINDOW: u32 = 64 * 1024;

/// The most that all answers of an HTTP/2 connection may be sent, in bytes: the window that
/// the protocol allows (RFC 9113, section 6.9.1). Callers that take nothing of theirs are
/// not to use up what others' need.
const MAX_WINDOW: u32 = (1 << 31) - 1;

/// What HTTP/2 may keep of a request's body in the library's buffer, in bytes.
const SEND_BUFFER: usize = 64 * 1024;

/// How often an HTTP/2 connection is asked whether it lives while calls are under way, and
/// how long it has to say so.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// The clients of one upstream.
#[derive(Debug)]
pub(super) struct Clients {
    builder: Builder,
    dialer: Dialer,
    upgrading: Dialer,
    made: RwLock<Vec<(Id, Runtime)>>,
}

/// Those of one runtime.
#[derive(Clone, Debug)]
struct Runtime {
    usual: Client<Dialer, Outgoing>,
    /// For calls that ask for another protocol, which HTTP/2 can't change to.
    upgrading: Client<Dialer, Outgoing>,
}

/// How connections are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// For how long without a call.
    pub idle: Duration,
    /// How many there may be at once, and so are kept at most.
    pub most: usize,
}

impl Clients {
    pub fn new(dialer: Dialer, kept: Kept) -> Self {
        let mut builder = Client::builder(TokioExecutor::new());
        let calls = u32::try_from(kept.most).unwrap_or(u32::MAX);
        let window = STREAM_WINDOW.saturating_mul(calls).min(MAX_WINDOW);
        builder
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(kept.idle)
            .pool_max_idle_per_host(kept.most)
            .http1_max_buf_size(MAX_HEAD)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(window)
            .http2_max_send_buf_size(SEND_BUFFER)
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_TIMEOUT);
        Self {
            builder,
            upgrading: dialer.clone().only_http1(),
            dialer,
            made: RwLock::default(),
        }
    }

    /// The one of this runtime, for a call that asks for another protocol or not.
    pub fn here(&self, upgrades: bool) -> Client<Dialer, Outgoing> {
        let runtime = self.of(Handle::current().id());
        match upgrades {
            true => runtime.upgrading,
            false => runtime.usual,
        }
    }

    fn of(&self, id: Id) -> Runtime {
        let of = |made: &[(Id, Runtime)]| {
            let found = made.iter().find(|(it, _)| *it == id);
            found.map(|(_, runtime)| runtime.clone())
        };
        let made = self.made.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = of(&made) {
            return runtime;
        }
        drop(made);
        let mut made = self.made.write().unwrap_or_else(PoisonError::into_inner);
        of(&made).unwrap_or_else(|| {
            let runtime = Runtime {
                usual: self.builder.build(self.dialer.clone()),
                upgrading: self.builder.build(self.upgrading.clone()),
            };
            made.push((id, runtime.clone()));
            runtime
        })
    }
}
