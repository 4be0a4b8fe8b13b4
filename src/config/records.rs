//! The settings of answers fetched later: their bounds and times, and the store to open.

use std::path::PathBuf;
use std::time::Duration;

use super::options::Options;
use super::routes::RouteOf;
use crate::later::{self, StoreKind, redis};

/// Answers fetched later.
#[derive(Clone, Debug)]
pub struct Later {
    /// The bounds and times of records.
    pub records: later::Settings,
    /// The longest that a job may take once it is sent.
    pub longest_call: Duration,
    /// Where they are kept.
    pub store: Store,
}

/// A store, with what it takes to open it.
#[derive(Clone, Debug)]
pub enum Store {
    /// In memory, until the process ends.
    Memory,
    /// In a file of SQLite.
    Sqlite(PathBuf),
    /// In a Redis.
    Redis(redis::Options),
}

impl Later {
    /// What the options come to, if each has a value; `Some(None)` where the store is off.
    pub(super) fn of(options: &Options, routes: &[RouteOf]) -> Option<Option<Self>> {
        let later = &options.later;
        let longest_call = longest_call(routes);
        let store = match later.store.get()? {
            StoreKind::Off => return Some(None),
            StoreKind::Memory => Store::Memory,
            StoreKind::Sqlite(file) => Store::Sqlite(file),
            StoreKind::Redis(url) => Store::Redis(redis::Options {
                url: url.0.into(),
                prefix: later.prefix.get()?,
                lease: later.lease.get()?,
                timeout: later.timeout.get()?,
                upstream_timeout: longest_call,
                ca: later.ca.get(),
                allow_volatile: later.allow_volatile.get()?,
            }),
        };
        Some(Some(Later {
            store,
            longest_call,
            records: later::Settings {
                max_jobs: later.max_jobs.get()?,
                max_bytes: later.max_bytes.get()?,
                keep: later.keep.get()?,
                job_timeout: later.job_timeout.get()?,
                max_wait: later.max_wait.get()?,
                max_attempts: later.max_attempts.get()?,
            },
        }))
    }
}

fn longest_call(routes: &[RouteOf]) -> Duration {
    let timeouts = routes.iter();
    let timeouts = timeouts.filter_map(|route| route.options.route.upstream.timeout.get());
    timeouts.max().unwrap_or_default()
}
