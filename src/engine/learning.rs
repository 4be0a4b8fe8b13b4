//! What the proxy learns of one upstream from each call: whether it is well (the
//! circuit), how many calls it bears at once (the limit), how long it usually takes,
//! and how large a batch it takes.
//!
//! The rules are pure values in [`upstream`](crate::upstream); here they are told of
//! calls, and the batcher of what follows. [`Attempt`](super::attempt::Attempt) is
//! the one who tells.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info};

use super::outcome::JobResult;
use crate::batcher::Batcher;
use crate::job::Job;
use crate::observe::Observer;
use crate::resilience::circuit::Circuit;
use crate::resilience::latency::Latency;
use crate::resilience::limit::{self, Limit};
use crate::resilience::size::{LearnedSize, Size};
use crate::throttle::LogThrottle;

/// What share of the time that anybody may wait is most of it.
const MOST: f64 = 0.8;

/// What is known of one upstream.
#[derive(Debug)]
pub(super) struct Learning {
    pub circuit: Arc<Circuit>,
    pub observer: Arc<Observer>,
    /// None where the number of slots is fixed.
    limit: Option<Mutex<Limit>>,
    latency: Mutex<Latency>,
    sizes: Mutex<LearnedSize>,
    /// As long as anybody waits for the upstream, unless in a hurry.
    patience: Duration,
    changes: LogThrottle,
}

impl Learning {
    /// Nothing is known yet.
    pub fn new(
        circuit: Arc<Circuit>,
        observer: Arc<Observer>,
        largest: Size,
        patience: Duration,
    ) -> Self {
        Self {
            circuit,
            observer,
            limit: None,
            latency: Mutex::default(),
            sizes: Mutex::new(LearnedSize::new(largest)),
            patience,
            changes: LogThrottle::default(),
        }
    }

    /// The same, which finds out how many calls the upstream bears at once.
    pub fn adaptive(mut self) -> Self {
        self.limit = Some(Mutex::new(Limit::new()));
        self
    }

    /// Whether a call that everybody left after so long had evidently hung: the
    /// upstream had it for most of the time that anybody may wait, or for far longer
    /// than it usually takes. A caller in a hurry can't make it so.
    pub fn has_hung(&self, after: Duration) -> bool {
        after > self.patience.mul_f64(MOST) || lock(&self.latency).hangs(after)
    }

    /// The upstream has done its work in that time.
    pub fn answered(&self, took: Duration) {
        lock(&self.latency).answered(took);
    }

    /// Adapts the number of slots to a call that has ended, while it still has its
    /// own.
    pub fn adapt(&self, batcher: &Batcher<Job, JobResult>, call: limit::Call) {
        let Some(limit) = &self.limit else {
            return;
        };
        // Locked to the end, so that the batcher gets the changes in their order.
        let mut limit = lock(limit);
        let from = limit.current();
        let Some(to) = limit.record(call) else {
            return;
        };
        batcher.set_max_in_flight(to);
        drop(limit);
        match self.changes.admit() {
            Some(silent) => info!(from, to, changes_not_told = silent, "slots changed"),
            None => debug!(from, to, "slots changed"),
        }
    }

    /// A batch of this size was too large.
    pub fn refused(&self, batcher: &Batcher<Job, JobResult>, size: Size, now: Instant) {
        let mut sizes = lock(&self.sizes);
        if let Some(cap) = sizes.refused(size, now) {
            batcher.cap(cap);
        }
    }

    /// Whether a batch of this size may leave.
    pub fn allows(&self, size: Size) -> bool {
        lock(&self.sizes).allows(size, Instant::now())
    }
}

fn lock<T>(known: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held.
    known.lock().unwrap_or_else(PoisonError::into_inner)
}
