//! The task of each desk that sleeps: until something could be due.

use tokio::time::sleep_until;

use super::desk::Station;

/// Runs until the batcher is gone. Sleeps without a timer while nothing waits.
///
/// The station is made before the first poll, since a runtime may end before
/// that: where the runtime ends first, nobody comes to send what is queued.
pub(super) async fn run<J: Send + 'static, R: Send + 'static>(station: Station<J, R>) {
    while let Some(local) = station.local() {
        let due = local.tick();
        drop(local);
        let woken = station.desk.clock.notified();
        match due {
            Some(due) => tokio::select! {
                () = woken => tokio::task::yield_now().await,
                () = sleep_until(due) => {}
            },
            None => {
                woken.await;
                tokio::task::yield_now().await;
            }
        }
    }
}
