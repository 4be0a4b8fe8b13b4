//! A batcher's place at a runtime.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::alarms::{Key, Served};
use super::clock::Clock;
use super::registry;
use super::runtime::Runtime;
use crate::sync::{AtomicBool, AtomicUsize};

/// That a batcher is served at a runtime; over when dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    runtime: Arc<Runtime>,
    key: Key,
    /// The runtime has ended.
    closed: AtomicBool,
    /// Batches that are processed there and have a slot.
    under_way: AtomicUsize,
}

impl Registration {
    /// Registers with the runtime that this is called on. To be [started](Self::start)
    /// as soon as `served` can be called. Whether its clock is to be `precise` is as any that
    /// it serves has it.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn here(served: Arc<dyn Served>, precise: bool) -> Self {
        let (runtime, key) = registry::join(served);
        if precise {
            runtime.set_precise();
        }
        Self {
            runtime,
            key,
            closed: AtomicBool::new(false),
            under_way: AtomicUsize::new(0),
        }
    }

    /// Has the runtime's tasks run, if nobody has before.
    pub fn start(&self) {
        if self.runtime.start() {
            let clock = Clock::new(Arc::clone(&self.runtime));
            let waking = Waking(Arc::clone(&self.runtime));
            self.runtime.handle.spawn(clock.run());
            self.runtime.handle.spawn(waking.run());
        }
    }

    /// Where its batches are spawned.
    pub fn handle(&self) -> &Handle {
        &self.runtime.handle
    }

    /// Has `served` called at this time at the latest.
    pub fn set_alarm(&self, time: Instant) {
        self.runtime.set_alarm(self.key, time);
    }

    /// Has callers woken who wait there.
    pub fn wake(&self, callers: Vec<Waker>) {
        self.runtime.wakes.post(callers);
    }

    /// The runtime has ended.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Whether the runtime has ended.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// How many batches are processed there that have a slot.
    pub fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        registry::leave(&self.runtime, self.key);
    }
}

/// A batch with a slot that is processed at a runtime, until it is dropped.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<Registration>);

impl UnderWay {
    pub fn at(registration: &Arc<Registration>) -> Self {
        registration.under_way.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(registration))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Wakes whom the runtime's wake queue names. What comes when it is gone is woken from
/// afar.
struct Waking(Arc<Runtime>);

impl Waking {
    async fn run(self) {
        while !self.0.is_retired() {
            self.0.wakes.filled().await;
            self.0.wakes.wake_all();
        }
    }
}

impl Drop for Waking {
    fn drop(&mut self) {
        self.0.wakes.close();
    }
}
