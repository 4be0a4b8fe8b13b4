//! What is known of one connection: noted where it happens, read by its guard.
//!
//! A connection and its streams run on one thread, one at a time; the atomics are
//! there to be shared, not to be raced for, and all are relaxed, but for what other
//! threads tell the connection's task by waking it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::Incoming;
use tokio::time::Instant;

use super::guard::Activity;
use super::life::Life;
use super::task::Task;

const NEW: u8 = 0;
const HEAD: u8 = 1;
const RECEIVING: u8 = 2;
const SERVING: u8 = 3;
const IDLE: u8 = 4;
const ANSWERING: u8 = 5;
const HANDSHAKE: u8 = 6;

/// A note that something is so.
#[derive(Debug, Default)]
pub(super) struct Flag(AtomicBool);

impl Flag {
    pub fn set(&self, to: bool) {
        self.0.store(to, Ordering::Relaxed);
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether it was set since this was last called.
    pub fn take(&self) -> bool {
        self.is_set() && self.0.swap(false, Ordering::Relaxed)
    }
}

/// How often something happened; what counts is that it differs from before.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU32);

impl Count {
    pub fn bump(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The notes.
#[derive(Debug)]
pub(super) struct Progress {
    pub life: Arc<Life>,
    /// What drives it.
    pub task: Arc<Task>,
    stage: AtomicU8,
    /// Heads that were complete so far.
    heads: Count,
    /// It is HTTP/2.
    pub multiplexed: Flag,
    /// HTTP/2 streams whose answer is not taken yet.
    streams: AtomicU32,
    /// How often anything of an answer was handed on to the HTTP library.
    pub moves: Count,
    /// An HTTP/2 stream has room for more of its answer than there is yet, since this
    /// was last reset.
    pub awaits_answer: Flag,
    /// How often the socket took anything.
    writes: Count,
    /// The socket took nothing when it was last asked.
    pub blocked: Flag,
    /// The caller closed its sending side while its request was served.
    pub departed: Flag,
    /// Its place is needed.
    pub evicted: Flag,
    /// From when on it can be evicted, by the clock of its listener's connections.
    evictable_since: AtomicU64,
    /// It was told to close while nothing of a request had come: nothing is to come
    /// that could get in the way of what was said.
    pub closes_idle: Flag,
    /// A request's body broke off, or was framed wrong: nothing can follow it.
    pub broken: Flag,
    /// A request is being answered at this moment, see [`Self::unread`].
    collecting: Flag,
    has_unread: Flag,
    unread: Mutex<Option<Incoming>>,
}

/// See [`Progress::collect`].
#[must_use = "it is over when this is dropped"]
pub(super) struct Collecting<'a>(&'a Flag);

impl Drop for Collecting<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Progress {
    pub fn new(life: Arc<Life>) -> Self {
        Self {
            evictable_since: AtomicU64::new(life.micros_at(Instant::now())),
            life,
            stage: AtomicU8::new(NEW),
            heads: Count::default(),
            multiplexed: Flag::default(),
            streams: AtomicU32::new(0),
            moves: Count::default(),
            awaits_answer: Flag::default(),
            writes: Count::default(),
            blocked: Flag::default(),
            departed: Flag::default(),
            evicted: Flag::default(),
            closes_idle: Flag::default(),
            broken: Flag::default(),
            task: Arc::default(),
            collecting: Flag::default(),
            has_unread: Flag::default(),
            unread: Mutex::new(None),
        }
    }

    fn stage(&self) -> u8 {
        self.stage.load(Ordering::Relaxed)
    }

    fn set(&self, stage: u8) {
        self.stage.store(stage, Ordering::Relaxed);
    }

    /// Bytes of a handshake have come.
    pub fn shakes_hands(&self) {
        self.set(HANDSHAKE);
    }

    /// Whether anything has come at all.
    pub fn has_begun(&self) -> bool {
        self.stage() != NEW
    }

    /// Bytes have come.
    pub fn received(&self) {
        if matches!(self.stage(), NEW | IDLE) {
            self.set(HEAD);
        }
    }

    /// A head is complete, and so may be the body.
    pub fn head_done(&self, whole: bool) {
        self.heads.bump();
        self.set(if whole { SERVING } else { RECEIVING });
    }

    /// Nobody waits for more of the request's body.
    pub fn body_done(&self) {
        if self.stage() == RECEIVING {
            self.set(SERVING);
        }
    }

    /// An answer is ready: the next head may come.
    pub fn answered(&self) {
        self.moves.bump();
        self.set(IDLE);
    }

    /// The answer that is ready is one of which more is to come: its connection is
    /// not idle for as long as that takes.
    pub fn answer_opened(&self) {
        self.set(ANSWERING);
    }

    /// That was all of it, or nobody takes it any more.
    pub fn answer_closed(&self) {
        if self.stage() == ANSWERING {
            self.set(IDLE);
        }
    }

    /// Whether the caller of an HTTP/1 request waits, and nothing else is to come.
    pub fn is_serving(&self) -> bool {
        matches!(self.stage(), SERVING | ANSWERING) && !self.multiplexed.is_set()
    }

    /// Whether more of an HTTP/1 request's body may be to come, or be there unread.
    pub fn is_receiving(&self) -> bool {
        self.stage() == RECEIVING && !self.multiplexed.is_set()
    }

    pub fn stream_opened(&self) {
        self.streams.fetch_add(1, Ordering::Relaxed);
    }

    pub fn stream_closed(&self) {
        // Its guard is to begin the time that a connection may be idle.
        if self.streams.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.task.wake();
        }
    }

    /// The socket took something.
    pub fn wrote(&self) {
        self.writes.bump();
        if self.blocked.is_set() {
            self.blocked.set(false);
        }
    }

    /// Asks it to make room, if it is still idle when it hears of that.
    pub fn evict(&self) {
        self.evicted.set(true);
        self.evictable_since.store(u64::MAX, Ordering::Relaxed);
        self.task.wake();
    }

    /// From when on it can be evicted; none while it can't.
    pub fn evictable_since(&self) -> Option<u64> {
        Some(self.evictable_since.load(Ordering::Relaxed)).filter(|&since| since != u64::MAX)
    }

    /// It keeps its place until then; without end if that is none.
    pub fn keeps_place_until(&self, then: Option<Instant>) {
        let since = then.map_or(u64::MAX, |then| self.life.micros_at(then));
        self.evictable_since.store(since, Ordering::Relaxed);
    }

    /// Until what this gives is dropped, what is dropped of a request unread is kept.
    pub fn collect(&self) -> Collecting<'_> {
        self.collecting.set(true);
        Collecting(&self.collecting)
    }

    /// A request's body that was dropped before its end.
    pub fn unread(&self, body: Incoming) {
        self.body_done();
        if self.collecting.is_set() {
            *self.unread.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
            self.has_unread.set(true);
        }
    }

    pub fn take_unread(&self) -> Option<Incoming> {
        if !self.has_unread.take() {
            return None;
        }
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        unread.take()
    }

    /// All that its guard asks.
    pub fn seen(&self) -> Activity {
        let heads = self.heads.get();
        if self.blocked.is_set() {
            Activity::Writing(self.writes.get())
        } else if self.multiplexed.is_set() {
            match (self.streams.load(Ordering::Relaxed), heads) {
                (0, 0) => Activity::Head(0),
                (0, heads) => Activity::Idle(heads),
                _ => Activity::Busy,
            }
        } else {
            match self.stage() {
                NEW => Activity::New,
                HANDSHAKE => Activity::Handshake,
                HEAD => Activity::Head(heads),
                IDLE => Activity::Idle(heads),
                _ => Activity::Busy,
            }
        }
    }
}
