//! When a process ends.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::ledger::Ledger;
use crate::upstream::Upstream;

/// When a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Whenever.
    Any,
    /// Just after a batch has reached the upstream.
    Reached,
    /// Just after the upstream has answered: before the answers are committed, or after.
    Answered,
    /// Just after a job was accepted.
    Accepted,
    /// While it starts.
    Starting,
    /// While it drains.
    Draining,
    /// After it has drained.
    Drained,
}

impl Moment {
    pub fn drawn(rng: &mut StdRng) -> Self {
        match rng.random_range(0..100) {
            0..25 => Self::Any,
            25..45 => Self::Reached,
            45..70 => Self::Answered,
            70..80 => Self::Accepted,
            80..88 => Self::Starting,
            88..95 => Self::Draining,
            _ => Self::Drained,
        }
    }

    /// Waits for it while the process works.
    pub async fn wait(self, rng: &mut StdRng, ledger: &Ledger, upstream: &Upstream) {
        let event = match self {
            Self::Reached => Some(upstream.arrived()),
            Self::Answered => Some(upstream.answered()),
            Self::Accepted => Some(ledger.accepted.subscribe()),
            _ => None,
        };
        let Some(event) = event else {
            return sleep(micros(rng, 200_000)).await;
        };
        // Not the first, so that there is something under way.
        let count = rng.random_range(1..12);
        let _ = timeout(Duration::from_secs(1), nth(event, count)).await;
        // A commit is over soon.
        match rng.random_range(0..3) {
            0 => {}
            1 => sleep(micros(rng, 1_000)).await,
            _ => sleep(micros(rng, 4_000)).await,
        }
    }
}

/// Fewer microseconds than this.
pub fn micros(rng: &mut StdRng, below: u64) -> Duration {
    Duration::from_micros(rng.random_range(0..below))
}

/// Waits until so many more have come.
async fn nth(mut event: watch::Receiver<u64>, count: u64) {
    let goal = *event.borrow_and_update() + count;
    let _ = event.wait_for(|it| *it >= goal).await;
}
