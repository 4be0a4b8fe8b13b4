//! The proxy that runs: what lives as long as the process, and the set of routes in force.
//!
//! Whatever serves goes by what is in force: connections ask at each request whether that
//! has changed, and the jobs for later follow the routes.

use std::sync::Arc;

use tokio::sync::watch;

use super::compose::{Clients, Set};
use super::process::Process;
use crate::config::Settings;
use crate::forward::Forwarder;
use crate::http::{Caller, ForCallers, ForOperators, Jobs, Lane, Operator};
use crate::later::store::Store;
use crate::route::Routes;
use crate::server::runtimes::Workers;
use crate::server::socket::Reached;

/// See the module.
pub(super) struct Proxy {
    /// What lives as long as the process.
    pub process: Process,
    passthrough: Option<Forwarder>,
    routes: watch::Sender<Routes>,
    for_callers: watch::Sender<Arc<ForCallers>>,
    /// None where there is no listener for operators.
    for_operators: Option<watch::Sender<Arc<ForOperators>>>,
}

impl Proxy {
    /// Calls are made by these clients, jobs for later are kept in `store`, and all are
    /// processed by `workers`.
    pub fn new(
        settings: Settings,
        clients: Clients,
        store: Option<Arc<dyn Store>>,
        workers: Arc<Workers>,
    ) -> Self {
        let process = Process::new(&settings, store, workers);
        let timing = settings.jobs.timing;
        let Set {
            routes,
            passthrough,
            for_callers,
            for_operators,
        } = Set::new(&process, settings, clients);
        let routes = watch::Sender::new(routes);
        if let Some(later) = &process.later {
            let lane = Lane::new(routes.subscribe(), later.clone(), timing);
            later.start(Arc::new(lane));
        }
        Self {
            process,
            passthrough,
            routes,
            for_callers: watch::Sender::new(for_callers),
            for_operators: for_operators.map(watch::Sender::new),
        }
    }

    /// The routes in force.
    pub fn routes(&self) -> Routes {
        self.routes.borrow().clone()
    }

    /// Where requests are passed on to, one by one.
    pub fn forwarders(&self) -> Vec<Forwarder> {
        let routes = self.routes();
        let of_routes = routes.all().iter().filter_map(|it| it.alone.clone());
        of_routes.chain(self.passthrough.clone()).collect()
    }

    /// What answering calls takes.
    pub fn jobs(&self) -> Jobs {
        self.for_callers.borrow().jobs().clone()
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
