//! The connections of one runtime to the upstream: kept between calls, given up
//! before the upstream does, renewed, and never used again once an answer on one
//! was not its call's.
//!
//! [`Upstream`](super::Upstream) leases one for each call. A [`Lease`] that ends
//! well brings its connection back; any other way it is gone, over HTTP/2 with the
//! calls that are still under way on it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::{HeaderMap, Request, Response, Version};
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::chain;
use super::connect::{self, ConnectError, Connector};
use super::connection::{Connection, Life, NoAnswer};
use super::response::{Ended, Origin};
use super::socket::Track;
use super::witness::Witness;

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
    state: Mutex<State>,
    /// Tells the sweeping task that it is to look earlier.
    sooner: Arc<Notify>,
}

#[derive(Default)]
struct State {
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

/// A connection for one call.
pub(super) struct Lease {
    pool: Arc<Pool>,
    connection: Connection,
    /// Over HTTP/2: in the count of calls.
    share: Option<Share>,
    /// Whether it had calls before.
    kept: bool,
    /// The bytes of the call's body.
    length: usize,
}

/// A call over the shared connection.
struct Share {
    pool: Arc<Pool>,
    track: Arc<Track>,
    /// Whether the connection is not to be used again.
    is_suspect: bool,
}

impl Pool {
    pub fn new(connector: Connector, limits: Limits, made: Arc<AtomicU64>) -> Arc<Self> {
        Arc::new(Self {
            limits,
            made,
            speaks_http2: AtomicBool::new(connector.speaks_http2()),
            connector,
            connecting: tokio::sync::Mutex::default(),
            state: Mutex::default(),
            sooner: Arc::default(),
        })
    }

    /// A connection that is kept, if one is good.
    pub fn kept(self: &Arc<Self>) -> Option<Lease> {
        let now = Instant::now();
        let mut state = self.state();
        let (mut found, worn) = state.share(now);
        let mut stale = Vec::new();
        while found.is_none()
            && let Some(idle) = state.idle.pop()
        {
            match idle.until > now && idle.connection.is_ready() {
                true => found = Some(idle.connection),
                false => stale.push(idle),
            }
        }
        drop(state);
        // Closing wakes tasks, which is nothing to do under a lock.
        drop((worn, stale));
        found.map(|connection| self.lease(connection, true))
    }

    /// A new connection; or over HTTP/2 the one that another call has made
    /// meanwhile.
    pub async fn connect(self: &Arc<Self>) -> Result<Lease, ConnectError> {
        let mut _turn = None;
        if self.speaks_http2.load(Ordering::Relaxed) {
            _turn = Some(self.connecting.lock().await);
            if let Some(lease) = self.kept() {
                return Ok(lease);
            }
        }
        let connected = self.connector.connect().await?;
        let speaks_http2 = connected.version == connect::Version::Http2;
        self.speaks_http2.store(speaks_http2, Ordering::Relaxed);
        let life = self.life(Instant::now());
        let connection = Connection::open(connected, life).await;
        let connection = connection.map_err(|error| ConnectError::Failed(chain(&error)))?;
        let Some(share) = connection.share() else {
            return Ok(self.lease(connection, false));
        };
        let mut state = self.state();
        let (found, worn) = state.share(Instant::now());
        if found.is_none() {
            state.shared = Some(Shared {
                connection,
                calls: 1,
                until: Instant::now(),
            });
        }
        drop(state);
        drop(worn);
        Ok(match found {
            Some(found) => self.lease(found, true),
            None => self.lease(share, false),
        })
    }

    fn lease(self: &Arc<Self>, connection: Connection, kept: bool) -> Lease {
        let is_shared = connection.version() == Version::HTTP_2;
        Lease {
            share: is_shared.then(|| Share {
                pool: Arc::clone(self),
                track: Arc::clone(&connection.track),
                is_suspect: false,
            }),
            pool: Arc::clone(self),
            connection,
            kept,
            length: 0,
        }
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
    fn keep(self: &Arc<Self>, connection: Connection) {
        let Some(until) = connection.life.idle_until(Instant::now()) else {
            return;
        };
        let mut state = self.state();
        if state.idle.len() >= self.limits.idle_connections {
            return;
        }
        state.idle.push(Idle { connection, until });
        self.sweep_later(&mut state, until);
    }

    /// A call over the shared connection has ended.
    fn release(self: &Arc<Self>, share: &Share) {
        let mut state = self.state();
        let Some(shared) = &mut state.shared else {
            return;
        };
        if !Arc::ptr_eq(&shared.connection.track, &share.track) {
            return;
        }
        shared.calls -= 1;
        let mut worn = None;
        match shared.connection.life.idle_until(Instant::now()) {
            Some(until) if !share.is_suspect => {
                shared.until = until;
                self.sweep_later(&mut state, until);
            }
            _ => worn = state.shared.take(),
        }
        drop(state);
        drop(worn);
    }

    /// Sees to it that what is idle until then is closed; a task runs for that only
    /// while something is idle.
    fn sweep_later(self: &Arc<Self>, state: &mut State, until: Instant) {
        match state.swept_at {
            Some(at) if at <= until => {}
            Some(_) => {
                state.swept_at = Some(until);
                self.sooner.notify_one();
            }
            None => {
                if let Ok(runtime) = Handle::try_current() {
                    state.swept_at = Some(until);
                    let sooner = Arc::clone(&self.sooner);
                    runtime.spawn(sweep(Arc::downgrade(self), sooner));
                }
            }
        }
    }

    /// Closes what is idle for too long; when to look again.
    fn sweep(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut state = self.state();
        let worn: Vec<_> = state.idle.extract_if(.., |it| it.until <= now).collect();
        let shared = state.shared.take_if(|it| it.calls == 0 && it.until <= now);
        let idle = state.idle.iter().map(|it| it.until);
        let shared_until = state.shared.as_ref().filter(|it| it.calls == 0);
        let next = idle.chain(shared_until.map(|it| it.until)).min();
        state.swept_at = next;
        drop(state);
        drop((worn, shared));
        next
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
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

impl Lease {
    pub fn is_kept(&self) -> bool {
        self.kept
    }

    /// The version that a request must have.
    pub fn version(&self) -> Version {
        self.connection.version()
    }

    /// Sends a request with `length` bytes of body; returns with the head of its
    /// answer.
    pub async fn call(
        &mut self,
        request: Request<Witness>,
        length: usize,
    ) -> Result<Response<Incoming>, NoAnswer> {
        self.length = length;
        self.connection.call(request, self.kept).await
    }

    /// Whether nothing of the call has left this process, nor will.
    pub fn is_unwritten(&self) -> bool {
        self.share.is_none() && self.connection.track.is_unwritten()
    }

    /// Takes note of what an answer says about its connection.
    pub fn heed(&mut self, headers: &HeaderMap) {
        self.connection.life.heed(headers);
    }

    /// Ends it after a call that failed; whether the connection is gone.
    pub fn end_with(self, error: &hyper::Error) -> bool {
        let gone = self.share.is_none() || error.is_canceled() || !self.connection.is_ready();
        self.end(match gone {
            true => Ended::Suspect,
            false => Ended::Cut,
        });
        gone
    }

    /// The call is over.
    pub fn end(mut self, how: Ended) {
        match &mut self.share {
            Some(share) => share.is_suspect = how == Ended::Suspect,
            None if matches!(how, Ended::Whole | Ended::Refused) && self.connection.is_ready() => {
                self.pool.keep(self.connection);
            }
            // What was answered well is written to its end, though it is not read; of
            // anything else nothing more is sent.
            None if how == Ended::Whole => {}
            None => self.connection.abort(),
        }
    }
}

impl Origin for Lease {
    fn is_early(&self) -> bool {
        let track = &self.connection.track;
        self.kept && self.share.is_none() && track.has_written_less_than(self.length)
    }

    fn ended(self: Box<Self>, how: Ended) {
        self.end(how);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        Arc::clone(&self.pool).release(self);
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease")
            .field("kept", &self.kept)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
