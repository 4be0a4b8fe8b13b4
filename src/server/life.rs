//! How far the end has come for the connections of a listener, and what their times
//! are told from.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How far the end of the process has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Phase {
    /// Not begun.
    Open,
    /// Every answer is its connection's last.
    Closing,
    /// Everybody is answered: who is silent is waited for no more.
    Ending,
}

/// What a listener's connections have in common.
#[derive(Debug)]
pub(super) struct Life {
    phase: AtomicU8,
    start: Instant,
}

impl Life {
    pub fn new() -> Self {
        Self {
            phase: AtomicU8::new(Phase::Open as u8),
            start: Instant::now(),
        }
    }

    /// Whoever is to see it has to be woken.
    pub fn turn(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Open,
            1 => Phase::Closing,
            _ => Phase::Ending,
        }
    }

    pub fn is_closing(&self) -> bool {
        self.phase() != Phase::Open
    }

    /// The time of this instant, in microseconds.
    pub fn micros_at(&self, now: Instant) -> u64 {
        micros(now - self.start)
    }
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
