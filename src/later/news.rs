//! What is new in a store that lasts, told to those it concerns: claimers, and whoever
//! waits for what other processes have done.

use std::sync::Arc;

use tokio::sync::Notify;

use super::backlog::News;
use super::claimer::Signals;
use super::record::StreamName;
use super::reported::Reported;
use super::watchers::{Told, Watchers};
use super::withdrawals::Withdrawals;
use crate::job::Handle;

/// Whom it concerns.
pub(super) struct Concerned {
    pub claimers: Arc<Signals>,
    pub withdrawals: Arc<Withdrawals>,
    pub records: Watchers<Handle, Told>,
    pub streams: Watchers<StreamName>,
    /// There may be a first record to expire.
    pub expiry: Arc<Notify>,
}

/// Tells it, for ever.
pub(super) async fn run(store: &Reported, concerned: &Concerned) {
    let Concerned {
        claimers,
        withdrawals,
        records,
        streams,
        expiry,
    } = concerned;
    while let Some(news) = store.news().await {
        let News {
            finished,
            streams: told_on,
            deleted,
            missed,
        } = news;
        // Of what was claimed here as well nothing more is to come.
        let over = finished.iter().chain(&deleted);
        over.for_each(|&handle| withdrawals.withdraw(handle));
        records.tell(deleted.iter().map(|handle| (handle, Told::Deleted)));
        records.wake(&finished);
        streams.wake(&told_on);
        // Here too, since whoever finished them may be gone by then.
        if missed || !finished.is_empty() {
            expiry.notify_one();
        }
        if missed {
            records.wake_all();
            streams.wake_all();
        }
        claimers.wake_all();
    }
}
