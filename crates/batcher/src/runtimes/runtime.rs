//! One runtime, with what serves all batchers there.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::alarms::{Alarms, Key};
use super::wakes::WakeQueue;
use crate::sync::{AtomicBool, Mutex, MutexGuard};

pub(crate) struct Runtime {
    pub handle: Handle,
    /// Who is to be woken there.
    pub wakes: WakeQueue,
    alarms: Mutex<Alarms>,
    /// Tells the clock of an alarm that is earlier than all it knows.
    pub earlier: Notify,
    /// The clock is to come when a time has, see
    /// [`Settings::precise`](crate::Settings::precise).
    precise: AtomicBool,
    /// Its two tasks were spawned.
    started: AtomicBool,
    /// Its two tasks are to end.
    retired: AtomicBool,
}

impl Runtime {
    pub fn new(handle: Handle) -> Self {
        Self {
            handle,
            wakes: WakeQueue::new(),
            alarms: Mutex::default(),
            earlier: Notify::new(),
            precise: AtomicBool::new(false),
            started: AtomicBool::new(false),
            retired: AtomicBool::new(false),
        }
    }

    /// Has the clock call `served` at this time at the latest.
    pub fn set_alarm(&self, key: Key, time: Instant) {
        let first = self.alarms().set(key, time);
        if first {
            self.earlier.notify_one();
        }
    }

    /// Somebody is served whose waits are to end when their time has come.
    pub fn set_precise(&self) {
        self.precise.store(true, Ordering::Relaxed);
    }

    pub fn is_precise(&self) -> bool {
        self.precise.load(Ordering::Relaxed)
    }

    /// Whether the caller is the first, who is to spawn the tasks.
    pub fn start(&self) -> bool {
        !self.started.swap(true, Ordering::Relaxed)
    }

    /// Has the two tasks end: nobody is left to serve.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
        self.earlier.notify_one();
        self.wakes.notify();
    }

    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    pub fn alarms(&self) -> MutexGuard<'_, Alarms> {
        // Nothing panics while it is held.
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}
