//! Which calls share a batch: what the route's own batcher says, that has all of them before
//! it sends any.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::batcher::{self, Batch, Batcher, Wait};
use crate::config::settings::Route;
use crate::engine;
use crate::job::Job;

/// How long a call waits for others, which come at once.
const WAIT: Duration = Duration::from_secs(1);

/// How long one may be queued at most: the tests of a slow machine have time.
const STAY: Duration = Duration::from_secs(600);

/// The calls, with where they stand.
pub(super) type Named = (String, Job);

/// What has become of the calls.
pub(super) struct Gathered {
    /// In the order in which they would leave.
    pub batches: Vec<Vec<Named>>,
    /// Those that the batcher does not take.
    pub refused: Vec<(String, batcher::Error)>,
}

/// The settings of a batcher that sends so many calls no sooner than all are there.
pub(super) fn gathering(settings: batcher::Settings, calls: usize) -> batcher::Settings {
    batcher::Settings {
        max_wait: WAIT,
        wait: Wait::Fixed,
        min_interval: Duration::ZERO,
        queue_items: calls.max(1),
        queue_bytes: usize::MAX,
        ..settings
    }
}

/// Puts the jobs together as the route does.
pub(super) async fn gather(route: &Route, jobs: Vec<Named>) -> Gathered {
    let (sender, mut batches) = mpsc::channel(jobs.len().max(1));
    let settings = batcher::Settings {
        // One after another, so that their order is that of leaving.
        max_in_flight: 1,
        ..route.batcher.clone()
    };
    let batcher: Batcher<Named, ()> =
        Batcher::with_batches(settings, move |batch: Batch<Named, ()>| {
            let members = batch.members().iter().map(|it| it.item().clone());
            // There is room for as many batches as there are jobs.
            let _ = sender.try_send(members.collect());
            async move { drop(batch) }
        });
    let (mut waiting, mut refused) = (Vec::new(), Vec::new());
    for (name, job) in jobs {
        let options = engine::options(&route.shape, &job, Instant::now() + STAY);
        match batcher.submit_with((name.clone(), job), options) {
            Ok(reply) => waiting.push(reply),
            Err(error) => refused.push((name, error)),
        }
    }
    batcher.close();
    batcher.vacated().await;
    let mut gathered = Vec::new();
    while let Ok(batch) = batches.try_recv() {
        gathered.push(batch);
    }
    drop(waiting);
    Gathered {
        batches: gathered,
        refused,
    }
}
