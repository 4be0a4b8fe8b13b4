//! The proof of being alive that a watchdog asks for.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::notify::{Notifier, watchdog};
use crate::server::runtimes::Workers;

/// Tells the service manager that every worker still runs what it is given, twice in the time after
/// which it would restart the process; `None` where it would not. A worker that is stuck leaves the
/// manager without word.
pub(super) fn prove(notifier: &Notifier, workers: &Arc<Workers>) -> Option<JoinHandle<()>> {
    let time = watchdog()?;
    let (notifier, workers) = (notifier.clone(), Arc::clone(workers));
    Some(tokio::spawn(async move {
        let mut often = interval((time / 2).max(Duration::from_millis(1)));
        often.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            often.tick().await;
            workers.answer().await;
            notifier.alive();
        }
    }))
}
