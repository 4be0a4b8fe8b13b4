//! How far the end has come for the connections of a listener, and what their times
//! are told from.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How far the end of the process has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Ending {
    /// Not begun.
    NotBegun,
    /// Every answer is its connection's last.
    LastAnswers,
    /// Everybody is answered: who is silent is waited for no more.
    AllAnswered,
}

/// What a listener's connections have in common.
#[derive(Debug)]
pub(super) struct Life {
    ending: AtomicU8,
    start: Instant,
}

impl Life {
    pub fn new() -> Self {
        Self {
            ending: AtomicU8::new(Ending::NotBegun as u8),
            start: Instant::now(),
        }
    }

    /// The connections that are to see it have to be woken.
    pub fn turn(&self, ending: Ending) {
        self.ending.store(ending as u8, Ordering::Relaxed);
    }

    pub fn ending(&self) -> Ending {
        match self.ending.load(Ordering::Relaxed) {
            0 => Ending::NotBegun,
            1 => Ending::LastAnswers,
            _ => Ending::AllAnswered,
        }
    }

    pub fn is_closing(&self) -> bool {
        self.ending() != Ending::NotBegun
    }

    /// The time of this instant, in microseconds.
    pub fn micros_at(&self, now: Instant) -> u64 {
        micros(now - self.start)
    }
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
