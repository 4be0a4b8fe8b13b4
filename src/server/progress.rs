//! What is known of one connection: noted where it happens, read by its guard.
//!
//! A connection and its streams run on one thread, one at a time; the atomics are
//! there to be shared, not to be raced for, and all are relaxed, but for what other
//! threads tell the connection's task by waking it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Duration;

use hyper::body::Incoming;

use super::connections::{Connections, micros};
use super::guard::Stage;

const NEW: u8 = 0;
const HEAD: u8 = 1;
const RECEIVING: u8 = 2;
const SERVING: u8 = 3;
const IDLE: u8 = 4;

/// The notes.
#[derive(Debug)]
pub(super) struct Progress {
    pub connections: Arc<Connections>,
    stage: AtomicU8,
    /// Heads that were complete so far.
    heads: AtomicU32,
    multiplexed: AtomicBool,
    /// HTTP/2 streams whose answer is not taken yet.
    streams: AtomicU32,
    /// How often anything of an answer was handed on to the HTTP library.
    moves: AtomicU32,
    /// How often the socket took anything.
    writes: AtomicU32,
    /// Whether the socket took nothing when it was last asked.
    blocked: AtomicBool,
    /// The caller closed its sending side while its request was served.
    departed: AtomicBool,
    /// Its place is needed.
    evicted: AtomicBool,
    /// From when on it can be evicted, in microseconds of its connections' clock.
    evictable_since: AtomicU64,
    /// It closes while nothing of a request has come.
    closes_idle: AtomicBool,
    broken: AtomicBool,
    waker: OnceLock<Waker>,
    /// Whether a request is being answered at this moment, see [`Self::unread`].
    collecting: AtomicBool,
    unread: Mutex<Option<Incoming>>,
}

impl Progress {
    pub fn new(connections: Arc<Connections>) -> Self {
        let evictable_since = AtomicU64::new(connections.micros());
        Self {
            connections,
            stage: AtomicU8::new(NEW),
            heads: AtomicU32::new(0),
            multiplexed: AtomicBool::new(false),
            streams: AtomicU32::new(0),
            moves: AtomicU32::new(0),
            writes: AtomicU32::new(0),
            blocked: AtomicBool::new(false),
            departed: AtomicBool::new(false),
            evicted: AtomicBool::new(false),
            evictable_since,
            closes_idle: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            waker: OnceLock::new(),
            collecting: AtomicBool::new(false),
            unread: Mutex::new(None),
        }
    }

    fn stage(&self) -> u8 {
        self.stage.load(Ordering::Relaxed)
    }

    fn set(&self, stage: u8) {
        self.stage.store(stage, Ordering::Relaxed);
    }

    /// Bytes have come.
    pub fn received(&self) {
        if matches!(self.stage(), NEW | IDLE) {
            self.set(HEAD);
        }
    }

    /// It is HTTP/2.
    pub fn multiplex(&self) {
        self.multiplexed.store(true, Ordering::Relaxed);
    }

    pub fn is_multiplexed(&self) -> bool {
        self.multiplexed.load(Ordering::Relaxed)
    }

    /// A head is complete, and so may be the body.
    pub fn head_done(&self, whole: bool) {
        bump(&self.heads);
        self.set(if whole { SERVING } else { RECEIVING });
    }

    /// A request's body broke off, or was framed wrong: nothing can follow it.
    pub fn broke(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    pub fn has_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Nobody waits for more of the request's body.
    pub fn body_done(&self) {
        if self.stage() == RECEIVING {
            self.set(SERVING);
        }
    }

    /// An answer is ready: the next head may come.
    pub fn answered(&self) {
        self.moved();
        self.set(IDLE);
    }

    /// Whether the caller of an HTTP/1 request waits, and nothing else is to come.
    pub fn is_serving(&self) -> bool {
        self.stage() == SERVING && !self.is_multiplexed()
    }

    pub fn stream_opened(&self) {
        bump(&self.streams);
    }

    pub fn stream_closed(&self) {
        // Its guard is to begin the time that a connection may be idle.
        if self.streams.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.wake();
        }
    }

    pub fn moved(&self) {
        bump(&self.moves);
    }

    pub fn moves(&self) -> u32 {
        self.moves.load(Ordering::Relaxed)
    }

    pub fn wrote(&self) {
        bump(&self.writes);
        if self.blocked.load(Ordering::Relaxed) {
            self.blocked.store(false, Ordering::Relaxed);
        }
    }

    pub fn blocked(&self) {
        self.blocked.store(true, Ordering::Relaxed);
    }

    pub fn depart(&self) {
        self.departed.store(true, Ordering::Relaxed);
    }

    pub fn has_departed(&self) -> bool {
        self.departed.load(Ordering::Relaxed)
    }

    /// Asks it to make room, if it is still idle when it hears of that.
    pub fn evict(&self) {
        self.evicted.store(true, Ordering::Relaxed);
        self.evictable_since.store(u64::MAX, Ordering::Relaxed);
        self.wake();
    }

    /// Whether it was asked to since this was last called.
    pub fn take_evicted(&self) -> bool {
        self.evicted.load(Ordering::Relaxed) && self.evicted.swap(false, Ordering::Relaxed)
    }

    /// From when on it can be evicted; none while it can't.
    pub fn evictable_since(&self) -> Option<u64> {
        Some(self.evictable_since.load(Ordering::Relaxed)).filter(|&since| since != u64::MAX)
    }

    /// From now on it keeps its place for so long; without end if that is none.
    pub fn keeps_place_for(&self, time: Option<Duration>) {
        let since = match time {
            Some(time) => self.connections.micros() + micros(time),
            None => u64::MAX,
        };
        self.evictable_since.store(since, Ordering::Relaxed);
    }

    /// It is told to close while nothing of a request has come.
    pub fn close_idle(&self) {
        self.closes_idle.store(true, Ordering::Relaxed);
    }

    /// Whether nothing is to come that could get in the way of what was said.
    pub fn closes_idle(&self) -> bool {
        self.closes_idle.load(Ordering::Relaxed)
    }

    /// The task that drives the connection; it is always the same.
    pub fn driven_by(&self, waker: &Waker) {
        let _ = self.waker.set(waker.clone());
        // What was noted for it before it could be woken it now sees by itself, see
        // `wake`.
        fence(Ordering::SeqCst);
    }

    /// Has it look at what was noted.
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Within `answering`, what is dropped of a request unread is kept: what came
    /// of it, and that.
    pub fn collecting<T>(&self, answering: impl FnOnce() -> T) -> T {
        self.collecting.store(true, Ordering::Relaxed);
        let outcome = answering();
        self.collecting.store(false, Ordering::Relaxed);
        outcome
    }

    /// A request's body that was dropped before its end.
    pub fn unread(&self, body: Incoming) {
        self.body_done();
        if self.collecting.load(Ordering::Relaxed) {
            *self.unread.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }

    pub fn take_unread(&self) -> Option<Incoming> {
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        unread.take()
    }

    /// All that its guard asks.
    pub fn seen(&self) -> Stage {
        let heads = self.heads.load(Ordering::Relaxed);
        if self.blocked.load(Ordering::Relaxed) {
            Stage::Writing(self.writes.load(Ordering::Relaxed))
        } else if self.is_multiplexed() {
            match (self.streams.load(Ordering::Relaxed), heads) {
                (0, 0) => Stage::Head(0),
                (0, heads) => Stage::Idle(heads),
                _ => Stage::Busy,
            }
        } else {
            match self.stage() {
                NEW => Stage::New,
                HEAD => Stage::Head(heads),
                IDLE => Stage::Idle(heads),
                _ => Stage::Busy,
            }
        }
    }
}

/// One more; what counts is that it differs from before.
fn bump(counter: &AtomicU32) {
    counter.fetch_add(1, Ordering::Relaxed);
}
