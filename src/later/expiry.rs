//! Removes records whose time is over, when it is.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, sleep_until};

use super::clock;
use super::reported::Reported;

/// The pause after the store has failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs for ever; `finished` tells that there may be a first record to expire.
pub(super) async fn run(store: &Reported, finished: &Notify) {
    loop {
        match store.expire(clock::now()).await.map(|it| it.next) {
            Ok(Some(next)) => {
                // What finishes meanwhile expires later.
                sleep_until(clock::instant_at(next)).await;
                // Many that are due go in portions, and others between them.
                tokio::task::yield_now().await;
            }
            Ok(None) => finished.notified().await,
            Err(_) => sleep(PAUSE).await,
        }
    }
}
