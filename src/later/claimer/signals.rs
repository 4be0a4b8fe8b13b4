//! What claimers are told by others: that there is something new, that what waits is to be
//! sent, that the process ends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::{Notify, watch};

use crate::job::RouteName;
use crate::later::record::Millis;

/// Those of all claimers.
#[derive(Debug)]
pub(in crate::later) struct Signals {
    /// Once there are claimers.
    each: OnceLock<Box<[Told]>>,
    stop: watch::Sender<bool>,
}

/// A route, and what its claimer is told.
type Told = (RouteName, Arc<Signal>);

/// Those of the claimer of one route.
#[derive(Debug, Default)]
pub(super) struct Signal {
    changed: Notify,
    /// What was handed in until then is to be sent as soon as it can be.
    flushed: AtomicU64,
}

impl Signals {
    pub fn new() -> Self {
        Self {
            each: OnceLock::new(),
            stop: watch::Sender::new(false),
        }
    }

    /// The claimers of these routes begin: what each is told.
    pub(super) fn begin(&self, routes: impl IntoIterator<Item = RouteName>) -> Vec<Arc<Signal>> {
        let each = routes.into_iter().map(|it| (it, Arc::default()));
        let each = self.each.get_or_init(|| each.collect());
        each.iter().map(|it| Arc::clone(&it.1)).collect()
    }

    /// There may be something new of a route.
    pub fn wake(&self, route: &RouteName) {
        if let Some(signal) = self.of(route) {
            signal.changed.notify_one();
        }
    }

    /// There may be something new of any route.
    pub fn wake_all(&self) {
        for (_, signal) in self.all() {
            signal.changed.notify_one();
        }
    }

    /// What was handed in on a route until then is to be sent as soon as it can be.
    pub fn flush(&self, route: &RouteName, until: Millis) {
        if let Some(signal) = self.of(route) {
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

    fn all(&self) -> impl Iterator<Item = &Told> {
        self.each.get().into_iter().flatten()
    }

    fn of(&self, route: &RouteName) -> Option<&Signal> {
        let mut all = self.all();
        all.find(|it| it.0 == *route).map(|it| &*it.1)
    }
}

impl Signal {
    /// Resolves when there may be something new since it last did.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Until when what was handed in is to be sent as soon as it can be.
    pub fn flushed(&self) -> Option<Millis> {
        Some(self.flushed.load(Ordering::Relaxed)).filter(|&it| it > 0)
    }
}
