//! The proxy that runs: what lives as long as the process, and the set of routes in force.
//!
//! Whatever serves goes by what is in force: connections ask at each request whether that
//! has changed, and the jobs for later follow the routes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::compose::{Clients, Set};
use super::door::{Door, Doors};
use super::leaving::Left;
use super::process::Process;
use crate::config::Settings;
use crate::config::settings::Shutdown;
use crate::http::{Caller, ForCallers, ForOperators, Jobs, Lane, Operator, Reloads};
use crate::later::store::Store;
use crate::observe::spans::Spans;
use crate::route::Routes;
use crate::server::Limits;
use crate::server::runtimes::Workers;
use crate::server::socket::Reached;

/// See the module.
pub(super) struct Proxy {
    /// What lives as long as the process.
    pub process: Process,
    /// Who shakes hands with callers, where that is done.
    pub callers_door: Option<Door>,
    /// Who does with operators.
    pub operators_door: Option<Door>,
    /// The set in force, until the process ends: whoever has this may have another take its
    /// place.
    set: Mutex<Option<Set>>,
    settings: watch::Sender<Arc<Settings>>,
    routes: watch::Sender<Routes>,
    for_callers: watch::Sender<Arc<ForCallers>>,
    /// None where there is no listener for operators.
    for_operators: Option<watch::Sender<Arc<ForOperators>>>,
}

impl Proxy {
    /// Calls are made by these clients, who connects comes in by these doors, jobs for later
    /// are kept in `store`, all are processed by `workers` and told to `spans`, and a reload is
    /// asked for there.
    pub fn new(
        settings: Settings,
        clients: Clients,
        doors: Doors,
        store: Option<Arc<dyn Store>>,
        spans: Spans,
        workers: Arc<Workers>,
        reloads: Reloads,
    ) -> Self {
        let process = Process::new(&settings, store, doors, spans, workers, reloads);
        let set = Set::new(&process, &settings, clients);
        let routes = watch::Sender::new(set.routes.clone());
        if let Some(later) = &process.later {
            let lane = Lane::new(routes.subscribe(), later.clone(), settings.jobs.timing);
            later.start(Arc::new(lane));
        }
        Self {
            callers_door: process.doors.callers(&process.observer),
            operators_door: process.doors.operators(&process.observer),
            process,
            settings: watch::Sender::new(Arc::new(settings)),
            routes,
            for_callers: watch::Sender::new(Arc::clone(&set.for_callers)),
            for_operators: set.for_operators.clone().map(watch::Sender::new),
            set: Mutex::new(Some(set)),
        }
    }

    /// Has the set of these settings take the place of the one in force. Whether it could:
    /// once the process ends, nothing takes its place.
    pub fn swap(&self, settings: Settings, clients: Clients) -> bool {
        let mut in_force = self.set();
        let Some(before) = &*in_force else {
            return false;
        };
        let set = before.succeeded(&self.process, &settings, clients);
        self.settings.send_replace(Arc::new(settings));
        self.routes.send_replace(set.routes.clone());
        self.for_callers.send_replace(Arc::clone(&set.for_callers));
        if let (Some(told), Some(now)) = (&self.for_operators, &set.for_operators) {
            told.send_replace(Arc::clone(now));
        }
        *in_force = Some(set);
        true
    }

    /// The set in force stays so to the end.
    pub fn end(&self) {
        self.set().take();
    }

    /// Whether it ends.
    pub fn is_ending(&self) -> bool {
        self.set().is_none()
    }

    fn set(&self) -> MutexGuard<'_, Option<Set>> {
        // What panicked while it made a set has not put it here.
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The routes in force.
    pub fn routes(&self) -> Routes {
        self.routes.borrow().clone()
    }

    /// All that may still have jobs or requests: of the routes in force, and what has left.
    pub fn busy(&self) -> Vec<Left> {
        let routes = self.routes();
        let routes = routes.all().iter().map(|it| Left {
            batcher: Some(it.batcher.clone()),
            forwarder: it.alone.clone(),
        });
        let passthrough = self.jobs().passthrough.clone().map(|it| Left {
            batcher: None,
            forwarder: Some(it.to.clone()),
        });
        let leaving = self.process.leaving.all();
        routes.chain(passthrough).chain(leaving).collect()
    }

    /// What answering calls takes.
    pub fn jobs(&self) -> Jobs {
        self.for_callers.borrow().jobs().clone()
    }

    /// What bounds a caller's connection that begins.
    pub fn callers_limits(&self) -> Limits {
        self.settings.borrow().callers
    }

    /// What bounds an operator's.
    pub fn operators_limits(&self) -> Limits {
        self.settings.borrow().operators
    }

    /// How the process ends.
    pub fn shutdown(&self) -> Shutdown {
        self.settings.borrow().shutdown
    }

    /// What serves a caller whom this worker has, and who has reached us so.
    pub fn caller(&self, worker: usize, reached: Reached) -> Caller {
        Caller::new(self.for_callers.subscribe(), worker, reached)
    }

    /// What serves an operator who has reached us so, unless nothing does.
    pub fn operator(&self, reached: Reached) -> Option<Operator> {
        let in_force = self.for_operators.as_ref()?.subscribe();
        Some(Operator::new(in_force, reached))
    }
}
