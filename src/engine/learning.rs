//! What is learned of one upstream from each call: how many it bears at once (the
//! limit), how long it usually takes, and how large a batch it takes.
//!
//! The rules are pure values in [`resilience`](crate::resilience); here they are told
//! of calls, and the batcher of what follows. An [`Attempt`](super::attempt::Attempt)
//! is what tells.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::batch::Batcher;
use crate::resilience::latency::Latency;
use crate::resilience::limit::{Limit, LoadSignal, Sample};
use crate::resilience::size::{LearnedSize, Size};

/// What share of the time that anybody may wait is most of it.
const MOST: f64 = 0.8;

/// What is known of one upstream.
#[derive(Debug)]
pub(super) struct Learning {
    is_adaptive: bool,
    /// As long as anybody waits for the upstream, unless in a hurry.
    longest_wait: Duration,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    limit: Limit,
    latency: Latency,
    sizes: LearnedSize,
}

impl Learning {
    /// Nothing is known yet. Where it `is_adaptive`, it finds out how many calls the
    /// upstream bears at once.
    pub fn new(is_adaptive: bool, largest: Size, longest_wait: Duration) -> Self {
        Self {
            is_adaptive,
            longest_wait,
            known: Mutex::new(Known {
                limit: Limit::new(),
                latency: Latency::default(),
                sizes: LearnedSize::new(largest),
            }),
        }
    }

    /// Whether a batch of this size may leave.
    pub fn allows(&self, size: Size) -> bool {
        self.known().sizes.allows(size, Instant::now())
    }

    /// Whether a call that was abandoned after so long had evidently hung: the
    /// upstream had it for most of the time that anybody may wait, or for far longer
    /// than it usually takes. A caller in a hurry can't make it so.
    pub fn has_hung(&self, after: Duration) -> bool {
        after > self.longest_wait.mul_f64(MOST) || self.known().latency.hangs(after)
    }

    /// Learns from a call that began then and has ended, while it still has its slot;
    /// from its size too, where that was refused as too large. Returns how many slots
    /// there were and are, where that has changed.
    pub fn call_ended(
        &self,
        batcher: &Batcher,
        (started, ended): (Instant, Instant),
        load: LoadSignal,
        too_large: Option<Size>,
    ) -> Option<(usize, usize)> {
        let in_flight = self.is_adaptive.then(|| batcher.snapshot().in_flight);
        // Locked to the end, so that the batcher gets the changes in their order.
        let mut known = self.known();
        if load == LoadSignal::Answered {
            known
                .latency
                .answered(ended.saturating_duration_since(started));
        }
        if let Some(size) = too_large
            && let Some(cap) = known.sizes.refused(size, ended)
        {
            batcher.cap(cap);
        }
        let from = known.limit.current();
        let to = known.limit.record(Sample {
            started,
            ended,
            in_flight: in_flight?,
            load,
        })?;
        batcher.set_max_in_flight(to);
        Some((from, to))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing panics while it is held.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
