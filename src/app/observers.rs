//! The observers of a process, one for each route that it has had.
//!
//! A route that comes back has the observer that it had: what was counted never falls. There
//! are [not too many](KEPT) of those that nobody has: of a route that has gone and is through
//! before so many others its sums are left, and if it comes back it begins afresh.

use std::ops::Add as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::observe::{Bounds, ByCode, Observer};

/// Most observers that are kept of routes that have gone and are through.
const KEPT: usize = 100;

/// See the module. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Observers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Whom the others are beside.
    process: Observer,
    all: Mutex<All>,
}

/// Every route that there was.
#[derive(Clone, Debug, Default)]
pub(super) struct All {
    /// The eldest first.
    pub routes: Vec<Arc<Observer>>,
    /// Of those that are kept no longer.
    pub others: Sums,
}

/// What became of the jobs of some routes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub accepted: u64,
    pub cancelled: u64,
    /// Of those that were answered.
    pub outcomes: ByCode,
    /// Of those that were not accepted.
    pub refusals: ByCode,
}

impl Sums {
    /// With what is counted on this route.
    #[must_use]
    pub fn with(&self, route: &Observer) -> Self {
        let (batchers, metrics) = (route.batchers(), &route.metrics);
        let cancelled = batchers.cancelled_queued + batchers.cancelled_in_flight;
        Self {
            accepted: self.accepted + batchers.accepted,
            cancelled: self.cancelled + cancelled,
            outcomes: self.outcomes.with(&metrics.outcomes(), u64::add),
            refusals: self.refusals.with(&metrics.refusals(), u64::add),
        }
    }
}

impl All {
    /// Adds up those of the eldest that nobody has, where there are too many.
    fn forget(&mut self) {
        // Nobody comes to have one meanwhile: it is had from here, under the lock.
        let gone = |it: &Arc<Observer>| Arc::strong_count(it) == 1;
        let many = self.routes.iter().filter(|it| gone(it)).count();
        let mut over = many.saturating_sub(KEPT);
        let Self { routes, others } = self;
        routes.retain(|it| {
            let forgotten = over > 0 && gone(it);
            if forgotten {
                over -= 1;
                it.tell_rest();
                *others = others.with(it);
            }
            !forgotten
        });
    }
}

impl Observers {
    /// None yet; each will be [beside](Observer::beside) this one.
    pub fn new(process: Observer) -> Self {
        let all = Mutex::default();
        Self(Arc::new(Inner { process, all }))
    }

    /// That of the route of this name, which has batches up to these bounds.
    pub fn of(&self, route: &str, bounds: Bounds) -> Arc<Observer> {
        let mut all = self.lock();
        if let Some(known) = all.routes.iter().find(|it| it.route() == route) {
            known.bound(bounds);
            return Arc::clone(known);
        }
        all.forget();
        let new = Arc::new(self.0.process.beside(route, bounds));
        all.routes.push(Arc::clone(&new));
        new
    }

    /// All of them.
    pub fn all(&self) -> All {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        // Nothing panics while it is held.
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::code::Code;
    use crate::observe::Event;

    const BOUNDS: Bounds = Bounds {
        max_size: 1,
        max_bytes: 1,
    };

    fn answered(observers: &Observers, route: &str) -> Arc<Observer> {
        let observer = observers.of(route, BOUNDS);
        let (outcome, after) = (Code::Ok, Duration::ZERO);
        observer.tell(Event::Answered { outcome, after });
        observer
    }

    #[test]
    fn of_routes_that_have_gone_so_many_are_kept_and_sums_of_the_others() {
        let observers = Observers::new(Observer::new(BOUNDS));
        let stays = answered(&observers, "stays");
        for number in 0..3 * KEPT {
            drop(answered(&observers, &number.to_string()));
        }
        let All { routes, others } = observers.all();
        assert!(Arc::ptr_eq(&routes[0], &stays), "somebody has it");
        // And the last, which somebody had when it came.
        assert_eq!(routes.len(), 1 + KEPT + 1);
        assert_eq!(others.outcomes[Code::Ok], 2 * KEPT as u64 - 1);
        let all = routes.iter().fold(others, |sums, it| sums.with(it));
        assert_eq!(all.outcomes.sum(), 3 * KEPT as u64 + 1);
        drop(routes);
        let count = |route: &str| observers.of(route, BOUNDS).metrics.outcomes().sum();
        assert_eq!(count(&(3 * KEPT - 1).to_string()), 1, "it comes back");
        assert_eq!(count("0"), 0, "it was forgotten");
    }
}
