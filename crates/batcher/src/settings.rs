//! How a batcher behaves.

use std::time::Duration;

use crate::extent::MORE_THAN_ANY_BATCH;
use crate::frame::Frame;

/// The limits and times of a [`Batcher`](crate::Batcher).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The most items of a batch, at least 1, where each weighs 1: the most that they weigh
    /// together, as [`Options::weight`](crate::Options::weight) tells. Default 100.
    pub max_size: usize,
    /// The most bytes of a batch: of its items, as
    /// [`Options::bytes_in_batch`](crate::Options::bytes_in_batch) tells them, and what it
    /// has besides. An item that is larger even alone is refused. Default 1 MiB.
    pub max_bytes: usize,
    /// The bytes that a batch has besides its items, such as brackets, where these have no
    /// frame; each frame [says](crate::Frame::with_overhead) how many that is with it.
    /// Default 0.
    pub batch_overhead: usize,
    /// The longest an item waits for company while a slot is free; half of the time
    /// until its deadline where that is less. Zero sends after one turn of the event
    /// loop. A day at most. Default 5 ms.
    pub max_wait: Duration,
    /// The longest a detached item waits for company, while a slot is free and no batch
    /// with callers is ready for it; half of the time until its deadline where that is
    /// less. A batch whose oldest item has waited ten times as long, 100 ms at least,
    /// takes turns with those of callers. A day at most. Default 1 s.
    pub detached_max_wait: Duration,
    /// Whether to wait that long always, or only while it can pay.
    pub wait: Wait,
    /// How many batches are processed at a time, at least 1. Default 10.
    pub max_in_flight: usize,
    /// The least time between two batches leaving, a day at most. Default none.
    pub min_interval: Duration,
    /// Whether waits end when their time has come, give or take a fifth of a millisecond, and
    /// not with the next tick of tokio's timers, which round up to whole ones: by a timer of
    /// the system's, on Linux and with the crate's feature `precise`. The runtimes have I/O
    /// enabled then. Without the feature, and elsewhere, it changes nothing. Default no.
    pub precise: bool,
    /// The most items that wait, at least 1; detached ones do not count, here and in all
    /// that follows. Default 10,000.
    ///
    /// Of those that wait while an earlier one that has a key of theirs does, the overflow
    /// included, a tenth of this, or `max_size` if that is more: with one key, or a few,
    /// nobody can fill the queue for all. One more is refused at once, with
    /// [`OnFull::Wait`] too.
    pub queue_items: usize,
    /// The most bytes that wait, as [`Options::bytes`](crate::Options::bytes) tells them; of
    /// those that wait for another of their key a tenth, or `max_bytes`. Default 64 MiB.
    pub queue_bytes: usize,
    /// What happens to an item that finds the queue full.
    pub on_full: OnFull,
}

impl Settings {
    /// Longer times than this are as long as this: a day.
    const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

    pub(crate) fn bounded(mut self) -> Self {
        self.max_size = self.max_size.min(MORE_THAN_ANY_BATCH - 1);
        self.max_wait = self.max_wait.min(Self::LONGEST);
        self.detached_max_wait = self.detached_max_wait.min(Self::LONGEST);
        self.min_interval = self.min_interval.min(Self::LONGEST);
        self
    }

    /// The bytes that a batch has besides its items.
    pub(crate) fn overhead_of(&self, frame: Option<&Frame>) -> usize {
        frame.map_or(self.batch_overhead, Frame::overhead)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_size: 100,
            max_bytes: 1 << 20,
            batch_overhead: 0,
            max_wait: Duration::from_millis(5),
            detached_max_wait: Duration::from_secs(1),
            wait: Wait::Fixed,
            max_in_flight: 10,
            min_interval: Duration::ZERO,
            precise: false,
            queue_items: 10_000,
            queue_bytes: 64 << 20,
            on_full: OnFull::Reject,
        }
    }
}

/// How long items wait for company.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// As long as `max_wait` says.
    #[default]
    Fixed,
    /// Never longer, and not at all where waiting can't pay: every known
    /// [`Source`](crate::Source) has its item in, or at the rate seen lately the
    /// next is not expected in time.
    Adaptive,
}

/// What happens to an item that finds the queue full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFull {
    /// It is refused at once.
    #[default]
    Reject,
    /// It waits for room, first come first in, until its deadline. As many items
    /// and bytes may wait so as the queue holds, or 1,000 and 64 MiB if that is
    /// more; beyond that they are refused.
    Wait,
}
