//! What is no longer in force and not through yet: batchers that still have jobs, and
//! requests that are still being passed on.
//!
//! Nothing of it is closed. Whoever had it before may still use it, for a request that came
//! before it left; what waits in it leaves by its own rules. It is through when nobody has it
//! any more and nothing is in it. The end of the process waits for it as for all else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::batcher::Batcher;
use crate::engine::outcome::JobResult;
use crate::forward::Forwarder;
use crate::http::Passthrough;
use crate::job::Job;
use crate::route::Route;

/// The most that may be leaving before other settings are refused: each may have as many jobs
/// and calls as its settings allow.
const MOST: usize = 1_000;

/// See the module. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Leaving(Arc<Mutex<Vec<Arc<Left>>>>);

/// Something that has left.
#[derive(Clone, Debug)]
pub(super) struct Left {
    /// Where jobs wait, of a route.
    pub batcher: Option<Batcher<Job, JobResult>>,
    /// What requests are passed on by.
    pub forwarder: Option<Forwarder>,
}

impl Left {
    /// Resolves when nothing is in it.
    pub async fn vacated(&self) {
        if let Some(batcher) = &self.batcher {
            batcher.vacated().await;
        }
        if let Some(forwarder) = &self.forwarder {
            forwarder.vacated().await;
        }
    }
}

impl Leaving {
    /// Whether more may leave.
    pub fn has_room(&self) -> bool {
        self.lock().len() < MOST
    }

    /// A route leaves. To be called before another of its name begins.
    pub fn route(&self, route: &Route) {
        let counted = route.observer.leaves();
        let observer = Arc::clone(&route.observer);
        let left = Left {
            batcher: Some(route.batcher.clone()),
            forwarder: route.alone.clone(),
        };
        self.add(left, route.held.released(), move || {
            if let Some(counted) = counted {
                observer.ended(&counted);
            }
        });
    }

    /// What is no route's goes elsewhere.
    pub fn passthrough(&self, passthrough: &Passthrough) {
        let left = Left {
            batcher: None,
            forwarder: Some(passthrough.to.clone()),
        };
        self.add(left, passthrough.held.released(), || {});
    }

    fn add(
        &self,
        left: Left,
        released: impl Future<Output = ()> + Send + 'static,
        through: impl FnOnce() + Send + 'static,
    ) {
        let (all, left) = (self.clone(), Arc::new(left));
        self.lock().push(Arc::clone(&left));
        tokio::spawn(async move {
            released.await;
            left.vacated().await;
            through();
            all.lock().retain(|it| !Arc::ptr_eq(it, &left));
        });
    }

    /// All that is not through yet.
    pub fn all(&self) -> Vec<Left> {
        self.lock().iter().map(|it| Left::clone(it)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Left>>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::yield_now;

    use super::*;
    use crate::route;

    #[tokio::test]
    async fn so_much_may_be_leaving_and_no_more() {
        let (routes, leaving) = (route::tests::jobs(), Leaving::default());
        for _ in 0..MOST {
            assert!(leaving.has_room());
            leaving.route(routes.first());
        }
        yield_now().await;
        assert!(!leaving.has_room());
        // It is through when nobody has it any more.
        drop(routes);
        while !leaving.all().is_empty() {
            yield_now().await;
        }
        assert!(leaving.has_room());
    }
}
