//! The observers of a process, one for each route that it has had.
//!
//! A route that comes back has the observer that it had: what was counted never falls.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::observe::{Bounds, Observer};

/// See the module. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Observers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Whom the others are beside.
    process: Observer,
    routes: Mutex<Vec<Arc<Observer>>>,
}

impl Observers {
    /// None yet; each will be [beside](Observer::beside) this one.
    pub fn new(process: Observer) -> Self {
        let routes = Mutex::default();
        Self(Arc::new(Inner { process, routes }))
    }

    /// That of the route of this name, which has batches up to these bounds.
    pub fn of(&self, route: &str, bounds: Bounds) -> Arc<Observer> {
        let mut routes = self.lock();
        if let Some(known) = routes.iter().find(|it| it.route() == route) {
            return Arc::clone(known);
        }
        let new = Arc::new(self.0.process.beside(route, bounds));
        routes.push(Arc::clone(&new));
        new
    }

    /// All of them, the eldest first.
    pub fn all(&self) -> Vec<Arc<Observer>> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Observer>>> {
        // Nothing panics while it is held.
        let routes = self.0.routes.lock();
        routes.unwrap_or_else(PoisonError::into_inner)
    }
}
