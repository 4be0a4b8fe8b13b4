//! What a batch knows of those that its members' answers are for.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::Notify;

use crate::sync::{AtomicBool, AtomicUsize};

/// Whether anybody is left to answer.
#[derive(Debug, Default)]
pub(crate) struct Liveness {
    /// Members that are unanswered and whose answer somebody still wants.
    live: AtomicUsize,
    empty: Notify,
    /// Whether the members count as waiting. Read and written under the
    /// batcher's lock alone.
    parked: AtomicBool,
}

impl Liveness {
    /// Whether the batch has given its slot back for a while.
    pub fn is_parked(&self) -> bool {
        self.parked.load(Ordering::Relaxed)
    }

    /// Sets that, under the batcher's lock.
    pub fn set_parked(&self, parked: bool) {
        self.parked.store(parked, Ordering::Relaxed);
    }

    /// Waits until no member is left to answer. One waiter at a time.
    pub async fn emptied(&self) {
        while self.live.load(Ordering::Acquire) > 0 {
            self.empty.notified().await;
        }
    }
}

/// That somebody wants the answer to a member of a batch. The batch has one such member
/// less when it is dropped: outside of locks, since whoever waits for the last is woken.
#[derive(Debug)]
pub(crate) struct Membership {
    liveness: Arc<Liveness>,
    bytes: usize,
}

impl Membership {
    /// That of an item of this many bytes.
    pub fn of(liveness: &Arc<Liveness>, bytes: usize) -> Self {
        liveness.live.fetch_add(1, Ordering::Relaxed);
        Self {
            liveness: Arc::clone(liveness),
            bytes,
        }
    }

    /// The bytes of the item, where its batch is parked, so that it counts as waiting.
    pub fn parked_bytes(&self) -> Option<usize> {
        self.liveness.is_parked().then_some(self.bytes)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if self.liveness.live.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.liveness.empty.notify_one();
        }
    }
}
