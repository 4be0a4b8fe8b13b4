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
use crate::later::Later;
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
    /// The set in force, until the process ends: whoever has this may have another take its
    /// place.
    set: Mutex<Option<Set>>,
    /// Where jobs for later wait, if there are such.
    lane: Option<(Later, Arc<Lane>)>,
    settings: watch::Sender<Arc<Settings>>,
    doors: watch::Sender<Open>,
    routes: watch::Sender<Routes>,
    for_callers: watch::Sender<Arc<ForCallers>>,
    /// None where there is no listener for operators.
    for_operators: Option<watch::Sender<Arc<ForOperators>>>,
}

/// The doors that are in force.
struct Open {
    doors: Doors,
    callers: Option<Door>,
    operators: Option<Door>,
}

impl Open {
    fn new(doors: Doors, process: &Process) -> Self {
        Self {
            callers: doors.callers(&process.observer),
            operators: doors.operators(&process.observer),
            doors,
        }
    }
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
        let process = Process::new(&settings, store, spans, workers, reloads);
        let set = Set::new(&process, &settings, clients, &doors);
        let routes = watch::Sender::new(set.routes.clone());
        let lane = process.later.clone().map(|later| {
            let lane = Lane::new(routes.subscribe(), later.clone(), settings.jobs.timing);
            let lane = Arc::new(lane);
            later.start(Arc::clone(&lane) as _);
            (later, lane)
        });
        Self {
            doors: watch::Sender::new(Open::new(doors, &process)),
            process,
            lane,
            settings: watch::Sender::new(Arc::new(settings)),
            routes,
            for_callers: watch::Sender::new(Arc::clone(&set.for_callers)),
            for_operators: set.for_operators.clone().map(watch::Sender::new),
            set: Mutex::new(Some(set)),
        }
    }

    /// Has the set of these settings take the place of the one in force. Whether it could:
    /// once the process ends, nothing takes its place. To be called within a runtime: jobs for
    /// later may be claimed for a route that is new.
    pub fn swap(&self, settings: Settings, clients: Clients, doors: Doors) -> bool {
        let mut in_force = self.set();
        let Some(before) = &*in_force else {
            return false;
        };
        let set = before.succeeded(&self.process, &settings, clients, &doors);
        let (jobs, later) = (&settings.jobs, settings.later.as_ref());
        let buffered = &self.process.buffered;
        buffered.set(jobs.max_buffered, jobs.max_body);
        self.routes.send_replace(set.routes.clone());
        if let Some(((to, lane), later)) = self.lane.as_ref().zip(later) {
            to.set(later.records, later.longest_call);
            lane.follow(self.process.observers.all().routes, jobs.timing);
        }
        self.settings.send_replace(Arc::new(settings));
        self.doors.send_replace(Open::new(doors, &self.process));
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

    /// The doors in force.
    pub fn doors(&self) -> Doors {
        self.doors.borrow().doors.clone()
    }

    /// Who shakes hands with a caller who connects, where that is done.
    pub fn callers_door(&self) -> Option<Door> {
        self.doors.borrow().callers.clone()
    }

    /// Who does with an operator.
    pub fn operators_door(&self) -> Option<Door> {
        self.doors.borrow().operators.clone()
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
