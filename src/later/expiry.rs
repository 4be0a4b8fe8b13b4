//! Removes records whose time is over, when it is.

use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{sleep, sleep_until};

use super::clock;
use super::reported::Reported;
use super::settings::Settings;

/// The pause after the store has failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs for ever; `finished` tells that there may be a first record to expire.
pub(super) async fn run(
    store: &Reported,
    finished: &Notify,
    settings: &mut watch::Receiver<Settings>,
) {
    loop {
        let now = clock::now();
        match store.expire(now).await.map(|it| it.next) {
            Ok(Some(next)) => {
                // What finishes meanwhile is kept for so long, whatever holds for the others.
                let keep = clock::millis(settings.borrow_and_update().keep);
                let next = next.min(now.saturating_add(keep));
                tokio::select! {
                    () = sleep_until(clock::instant_at(next)) => {}
                    _ = settings.changed() => {}
                }
                // Many that are due go in portions, and others between them.
                tokio::task::yield_now().await;
            }
            Ok(None) => finished.notified().await,
            Err(_) => sleep(PAUSE).await,
        }
    }
}
