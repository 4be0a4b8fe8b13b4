//! The batchers that a runtime's clock serves, and when each is to be looked after next.

use std::collections::BTreeSet;
use std::sync::Arc;

use slab::Slab;
use tokio::time::Instant;

/// A batcher, as the clock of one runtime knows it.
pub(crate) trait Served: Send + Sync {
    /// Does what is due, and tells when it is to be called again.
    fn tick(&self) -> Option<Instant>;

    /// It is not served any more: its last call panicked, or the runtime has ended, which
    /// is told in either case.
    fn ended(&self);
}

/// Which of those that a clock serves.
pub(crate) type Key = usize;

struct Alarm {
    served: Arc<dyn Served>,
    at: Option<Instant>,
}

/// All that one clock serves.
#[derive(Default)]
pub(crate) struct Alarms {
    alarms: Slab<Alarm>,
    order: BTreeSet<(Instant, Key)>,
}

impl Alarms {
    /// One more is served.
    pub fn join(&mut self, served: Arc<dyn Served>) -> Key {
        self.alarms.insert(Alarm { served, at: None })
    }

    /// One is served no longer.
    pub fn leave(&mut self, key: Key) -> Option<Arc<dyn Served>> {
        let gone = self.alarms.try_remove(key)?;
        if let Some(at) = gone.at {
            self.order.remove(&(at, key));
        }
        if self.alarms.is_empty() {
            self.alarms.shrink_to_fit();
        }
        Some(gone.served)
    }

    /// It is to be looked after at this time, or sooner if that was said before. True
    /// if this is the earliest time of all, and was not said of any.
    pub fn set(&mut self, key: Key, time: Instant) -> bool {
        let Some(alarm) = self.alarms.get_mut(key) else {
            return false;
        };
        if alarm.at.is_some_and(|at| at <= time) {
            return false;
        }
        let first = self.order.first().is_none_or(|&(first, _)| time < first);
        if let Some(before) = alarm.at.replace(time) {
            self.order.remove(&(before, key));
        }
        self.order.insert((time, key));
        first
    }

    /// When the next is to be looked after.
    pub fn next(&self) -> Option<Instant> {
        self.order.first().map(|&(time, _)| time)
    }

    /// The next whose time has come; it has none any more.
    pub fn pop(&mut self, now: Instant) -> Option<(Key, Arc<dyn Served>)> {
        let &(time, key) = self.order.first()?;
        if time > now {
            return None;
        }
        self.order.pop_first();
        let alarm = self.alarms.get_mut(key)?;
        alarm.at = None;
        Some((key, Arc::clone(&alarm.served)))
    }

    /// Whether there is nobody to serve.
    pub fn is_empty(&self) -> bool {
        self.alarms.is_empty()
    }

    /// Takes all out.
    pub fn clear(&mut self) -> Vec<Arc<dyn Served>> {
        self.order.clear();
        self.alarms.drain().map(|alarm| alarm.served).collect()
    }
}
