//! What answering an operator takes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use super::buffered::Buffered;
use super::connected::Connected;
use super::reloads::Reloads;
use crate::later::Later;
use crate::observe::live::Recent;
use crate::observe::{CountsByRoute, Moment, Observer, RecordBounds, Records, advice};
use crate::route::Route;
use crate::tokens::{Guard, Name};

/// `Cache-Control` of what an operator is told: it is of the moment, and nobody
/// else's.
pub(super) const NO_STORE: &str = "no-store";

/// What answering an operator takes.
#[derive(Clone, Debug)]
pub struct Admin {
    /// What is served: at least one.
    pub routes: Arc<[Watched]>,
    /// Who is told what is the process's: of what comes to no route, of the log, and of the store of
    /// jobs for later.
    pub observer: Arc<Observer>,
    /// Whether to send traffic here.
    pub ready: Arc<AtomicBool>,
    /// The settings in force as TOML, secrets redacted.
    pub config: Arc<str>,
    /// The same one by one.
    pub settings: Arc<[Setting]>,
    /// Where the settings are asked to be loaded again.
    pub reloads: Reloads,
    /// The jobs for later, unless none are taken.
    pub later: Option<Later>,
    /// What is in memory before a job is queued and after it is answered.
    pub buffered: Arc<Buffered>,
    /// How many callers are connected.
    pub connected: Connected,
    /// The tokens that let requests in, on both listeners.
    pub tokens: Arc<[Guard]>,
}

impl Admin {
    /// How many requests each token has let in, by its name, on whichever listener.
    pub(super) fn requests_by_token(&self) -> BTreeMap<Name, u64> {
        let mut counts = BTreeMap::new();
        for guard in &*self.tokens {
            for (name, count) in guard.current().counts() {
                *counts.entry(name.clone()).or_default() += count;
            }
        }
        counts
    }

    /// The jobs for later at one moment, if such are taken.
    pub(super) fn records(&self) -> Option<RecordsByRoute> {
        let later = self.later.as_ref()?;
        let settings = later.settings();
        Some(RecordsByRoute {
            counts: later.counts(),
            bounds: RecordBounds {
                records: settings.max_jobs,
                bytes: settings.max_bytes,
            },
        })
    }

    /// Whether to send traffic here.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }
}

/// The jobs for later of all routes, and what their store may hold.
pub(super) struct RecordsByRoute {
    /// What is counted.
    pub counts: CountsByRoute,
    bounds: RecordBounds,
}

impl RecordsByRoute {
    /// Those of one route.
    pub fn of(&self, route: &str) -> Records {
        Records {
            counts: self.counts.of(route),
            bounds: self.bounds,
        }
    }

    /// Those of all.
    pub fn total(&self) -> Records {
        Records {
            counts: self.counts.total(),
            bounds: self.bounds,
        }
    }
}

/// A route, and what of its settings is shown.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The route.
    pub route: Arc<Route>,
    /// What the live page draws, but for the slots.
    pub limits: Limits,
    /// What the advice looks at.
    pub advice: advice::Limits,
}

impl Watched {
    /// What it is called.
    pub(super) fn name(&self) -> &str {
        self.route.name.as_str()
    }

    /// What happened lately on it, up to one moment.
    pub(super) fn recent(&self, records: Option<Records>) -> Recent {
        let batcher = || self.route.batcher.observe();
        self.route.observer.recent(batcher, records)
    }

    /// What is counted of it at one moment.
    pub(super) fn moment(&self) -> Moment {
        let batcher = || self.route.batcher.snapshot();
        self.route.observer.one_moment(batcher)
    }
}

/// What is in force on a route, for the page.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Limits {
    /// `batch.max_size`.
    pub max_size: usize,
    /// `batch.max_bytes`.
    pub max_bytes: usize,
    /// `batch.max_wait`, in milliseconds.
    pub max_wait_ms: f64,
    /// The slots there are now.
    pub max_in_flight: usize,
    /// Whether their number is found out.
    pub adaptive_in_flight: bool,
    /// `queue.max_jobs`.
    pub queue_jobs: usize,
    /// `queue.max_bytes`.
    pub queue_bytes: usize,
}

impl Limits {
    /// What two routes may hold and send at once; of how one batch is, the most.
    #[must_use]
    pub(super) fn with(self, other: Self) -> Self {
        Self {
            max_size: self.max_size.max(other.max_size),
            max_bytes: self.max_bytes.max(other.max_bytes),
            max_wait_ms: self.max_wait_ms.max(other.max_wait_ms),
            max_in_flight: self.max_in_flight + other.max_in_flight,
            adaptive_in_flight: self.adaptive_in_flight || other.adaptive_in_flight,
            queue_jobs: self.queue_jobs + other.queue_jobs,
            queue_bytes: self.queue_bytes + other.queue_bytes,
        }
    }
}

/// One setting as TOML, secrets redacted.
#[derive(Clone, Debug, Serialize)]
pub struct Setting {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}
