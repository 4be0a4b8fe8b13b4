//! The connections of one runtime to the upstream: kept between calls, given up
//! before the upstream does, renewed, and never used again once an answer on one
//! was not its call's.
//!
//! A [`Lease`](super::lease::Lease) takes one for each call, and brings it back.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::connect::{self, ConnectError, Connector};
use super::connection::{Connection, Life};
use super::error::chain;
use super::socket::Track;

/// How long connections are kept, and how many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Without a call.
    pub idle: Duration,
    /// However busy; zero for as long as they last.
    pub age: Duration,
    /// The most that are idle.
    pub idle_connections: usize,
}

/// The connections of one runtime.
pub(super) struct Pool {
    connector: Connector,
    limits: Limits,
    /// How many connections the pools of an upstream have made.
    made: Arc<AtomicU64>,
    /// Whether the upstream spoke HTTP/2 of late.
    speaks_http2: AtomicBool,
    /// Where it does one connection is made at a time, and serves all.
    connecting: tokio::sync::Mutex<()>,
    kept: Mutex<Kept>,
    /// Tells the sweeping task that it is to look earlier.
    sooner: Arc<Notify>,
}

#[derive(Default)]
struct Kept {
    /// HTTP/1.1, the one used last at the end.
    idle: Vec<Idle>,
    /// HTTP/2.
    shared: Option<Shared>,
    /// When the task that closes what is idle for too long looks again, if it runs.
    swept_at: Option<Instant>,
}

struct Idle {
    connection: Connection,
    until: Instant,
}

struct Shared {
    connection: Connection,
    calls: usize,
    /// When it is given up, while there are no calls.
    until: Instant,
}

impl Pool {
    pub fn new(connector: Connector, limits: Limits, made: Arc<AtomicU64>) -> Arc<Self> {
        Arc::new(Self {
            limits,
            made,
            speaks_http2: AtomicBool::new(connector.speaks_http2()),
            connector,
            connecting: tokio::sync::Mutex::default(),
            kept: Mutex::default(),
            sooner: Arc::default(),
        })
    }

    /// A connection that is kept, if one is good; over HTTP/2 a share of it.
    pub fn take(&self) -> Option<Connection> {
        let now = Instant::now();
        let mut kept = self.kept();
        let (mut found, worn) = kept.share(now);
        let mut stale = Vec::new();
        while found.is_none()
            && let Some(idle) = kept.idle.pop()
        {
            match idle.until > now && idle.connection.is_ready() {
                true => found = Some(idle.connection),
                false => stale.push(idle),
            }
        }
        drop(kept);
        // Closing wakes tasks, which is nothing to do under a lock.
        drop((worn, stale));
        found
    }

    /// A new connection; or over HTTP/2 the one that another call has made meanwhile.
    /// Says whether it is such a one.
    pub async fn connect(&self) -> Result<(Connection, bool), ConnectError> {
        let mut _turn = None;
        if self.speaks_http2.load(Ordering::Relaxed) {
            _turn = Some(self.connecting.lock().await);
            if let Some(connection) = self.take() {
                return Ok((connection, true));
            }
        }
        let connected = self.connector.connect().await?;
        let speaks_http2 = connected.version == connect::Version::Http2;
        self.speaks_http2.store(speaks_http2, Ordering::Relaxed);
        let life = self.life(Instant::now());
        let connection = Connection::open(connected, life).await;
        let connection = connection.map_err(|error| ConnectError::Failed(chain(&error)))?;
        let Some(share) = connection.share() else {
            return Ok((connection, false));
        };
        let mut kept = self.kept();
        let (found, worn) = kept.share(Instant::now());
        if found.is_none() {
            kept.shared = Some(Shared {
                connection,
                calls: 1,
                until: Instant::now(),
            });
        }
        drop(kept);
        drop(worn);
        Ok(match found {
            Some(found) => (found, true),
            None => (share, false),
        })
    }

    /// Connections that were made at once are not renewed at once: each lives for
    /// another share of the greatest age, by the golden ratio, which spreads them
    /// evenly however many they are.
    fn life(&self, now: Instant) -> Life {
        let made = self.made.fetch_add(1, Ordering::Relaxed);
        let share = (0.5 + made as f64 * 0.618_033_988_749_895).fract();
        let age = self.limits.age.mul_f64(share);
        Life {
            ends: (!self.limits.age.is_zero()).then(|| now + age),
            idle: self.limits.idle,
        }
    }

    /// Keeps a connection of which the call has ended.
    pub fn keep(self: &Arc<Self>, connection: Connection) {
        let Some(until) = connection.life.idle_until(Instant::now()) else {
            return;
        };
        let mut kept = self.kept();
        if kept.idle.len() >= self.limits.idle_connections {
            return;
        }
        kept.idle.push(Idle { connection, until });
        self.sweep_later(&mut kept, until);
    }

    /// A call over the shared connection that has this track has ended; whether that
    /// is not to be used again.
    pub fn release(self: &Arc<Self>, track: &Arc<Track>, is_suspect: bool) {
        let mut kept = self.kept();
        let Some(shared) = &mut kept.shared else {
            return;
        };
        if !Arc::ptr_eq(&shared.connection.track, track) {
            return;
        }
        shared.calls -= 1;
        let mut worn = None;
        match shared.connection.life.idle_until(Instant::now()) {
            Some(until) if !is_suspect => {
                shared.until = until;
                self.sweep_later(&mut kept, until);
            }
            _ => worn = kept.shared.take(),
        }
        drop(kept);
        drop(worn);
    }

    /// Sees to it that what is idle until then is closed; a task runs for that only
    /// while something is idle.
    fn sweep_later(self: &Arc<Self>, kept: &mut Kept, until: Instant) {
        match kept.swept_at {
            Some(at) if at <= until => {}
            Some(_) => {
                kept.swept_at = Some(until);
                self.sooner.notify_one();
            }
            None => {
                if let Ok(runtime) = Handle::try_current() {
                    kept.swept_at = Some(until);
                    let sooner = Arc::clone(&self.sooner);
                    runtime.spawn(sweep(Arc::downgrade(self), sooner));
                }
            }
        }
    }

    /// Closes what is idle for too long; when to look again.
    fn sweep(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut kept = self.kept();
        let worn: Vec<_> = kept.idle.extract_if(.., |it| it.until <= now).collect();
        let shared = kept.shared.take_if(|it| it.calls == 0 && it.until <= now);
        let idle = kept.idle.iter().map(|it| it.until);
        let shared_until = kept.shared.as_ref().filter(|it| it.calls == 0);
        let next = idle.chain(shared_until.map(|it| it.until)).min();
        kept.swept_at = next;
        drop(kept);
        drop((worn, shared));
        next
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing panics while it is held.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// A share of the shared connection, for one call more; or that connection, if
    /// it is no good any more. Its calls go on.
    fn share(&mut self, now: Instant) -> (Option<Connection>, Option<Shared>) {
        let Some(shared) = &mut self.shared else {
            return (None, None);
        };
        let connection = &shared.connection;
        let was_idle_for_too_long = shared.calls == 0 && shared.until <= now;
        if !connection.is_ready() || connection.life.is_over(now) || was_idle_for_too_long {
            return (None, self.shared.take());
        }
        shared.calls += 1;
        (shared.connection.share(), None)
    }
}

async fn sweep(pool: Weak<Pool>, sooner: Arc<Notify>) {
    while let Some(next) = pool.upgrade().and_then(|pool| pool.sweep()) {
        tokio::select! {
            () = sleep_until(next) => {}
            () = sooner.notified() => {}
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
