//! What claimers are told by others: that there is something new, that what waits is to be
//! sent, that their route is served otherwise, that the process ends.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use crate::job::RouteName;
use crate::later::lane::ClaimingLane;
use crate::later::record::Millis;

/// Those of all claimers: of as many as there were names of routes in the settings of this
/// process.
#[derive(Debug)]
pub(in crate::later) struct Signals {
    each: Mutex<BTreeMap<RouteName, Arc<Signal>>>,
    stop: watch::Sender<bool>,
}

/// Those of the claimer of one route.
pub(in crate::later) struct Signal {
    changed: Notify,
    /// What was handed in until then is to be sent as soon as it can be.
    flushed: AtomicU64,
    /// What jobs are claimed for.
    lane: Mutex<Arc<dyn ClaimingLane>>,
}

impl Signals {
    pub fn new() -> Self {
        Self {
            each: Mutex::default(),
            stop: watch::Sender::new(false),
        }
    }

    /// Jobs are claimed for these lanes from here on. What the claimers are told that are to
    /// begin, of routes that had none.
    pub fn lead(&self, lanes: Vec<Arc<dyn ClaimingLane>>) -> Vec<Arc<Signal>> {
        let mut each = self.each();
        let mut new = Vec::new();
        for lane in lanes {
            let route = lane.route().clone();
            match each.get(&route) {
                Some(signal) => signal.lead(lane),
                None => {
                    let signal = Arc::new(Signal::new(lane));
                    each.insert(route, Arc::clone(&signal));
                    new.push(signal);
                }
            }
        }
        new
    }

    /// The routes that have a claimer.
    pub fn routes(&self) -> Vec<RouteName> {
        self.each().keys().cloned().collect()
    }

    /// There may be something new of a route.
    pub fn wake(&self, route: &RouteName) {
        if let Some(signal) = self.each().get(route) {
            signal.changed.notify_one();
        }
    }

    /// There may be something new of any route.
    pub fn wake_all(&self) {
        for signal in self.each().values() {
            signal.changed.notify_one();
        }
    }

    /// What was handed in on a route until then is to be sent as soon as it can be.
    pub fn flush(&self, route: &RouteName, until: Millis) {
        if let Some(signal) = self.each().get(route) {
            signal.flushed.fetch_max(until, Ordering::Relaxed);
            signal.changed.notify_one();
        }
    }

    /// Nothing is claimed any more.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Tells a claimer that it is to stop; it lives as long as the claimer.
    pub(super) fn stops(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Waits until no claimer is left.
    pub async fn stopped(&self) {
        self.stop.closed().await;
    }

    /// Nobody is told anything any more.
    pub fn forget(&self) {
        let each = std::mem::take(&mut *self.each());
        drop(each);
    }

    fn each(&self) -> MutexGuard<'_, BTreeMap<RouteName, Arc<Signal>>> {
        // Nothing panics while it is held.
        self.each.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Signal {
    fn new(lane: Arc<dyn ClaimingLane>) -> Self {
        Self {
            changed: Notify::new(),
            flushed: AtomicU64::new(0),
            lane: Mutex::new(lane),
        }
    }

    fn lead(&self, lane: Arc<dyn ClaimingLane>) {
        let before = std::mem::replace(&mut *self.held(), lane);
        // Not under the lock: it may be the last of what it was.
        drop(before);
        self.changed.notify_one();
    }

    /// What jobs are claimed for.
    pub(super) fn lane(&self) -> Arc<dyn ClaimingLane> {
        Arc::clone(&self.held())
    }

    /// Resolves when there may be something new since it last did.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Until when what was handed in is to be sent as soon as it can be.
    pub(super) fn flushed(&self) -> Option<Millis> {
        Some(self.flushed.load(Ordering::Relaxed)).filter(|&it| it > 0)
    }

    fn held(&self) -> MutexGuard<'_, Arc<dyn ClaimingLane>> {
        // Nothing panics while it is held.
        self.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signal")
            .field("route", self.lane().route())
            .field("flushed", &self.flushed())
            .finish_non_exhaustive()
    }
}
