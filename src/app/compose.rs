//! What the settings make: the routes with all that they take, and what answers on both
//! listeners.
//!
//! A [`Proxy`] never changes. Listeners ask it for whatever serves a connection, so
//! that one of other settings can take its place for those that come, while those it
//! has served end by its own.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::Router;
use tokio::sync::watch;

use super::door::{Door, Doors};
use super::route::{self, route};
use crate::config::Settings;
use crate::engine::Phase;
use crate::forward::Forwarder;
use crate::http::{
    Admin, Batchers, Buffered, Caller, Connected, HostNames, Jobs, JobsInner, Lane, Operator,
    Watched, admin_router, jobs_router,
};
use crate::later::Later;
use crate::later::store::Store;
use crate::observe::{Observer, Process};
use crate::route::Routes;
use crate::route::paths::Paths;
use crate::server::runtimes::Workers;
use crate::server::socket::Reached;
use crate::telemetry;
use crate::upstream::SetupError;

/// See the module.
pub(super) struct Proxy {
    /// What is served.
    pub routes: Routes,
    /// The jobs whose answers are fetched later, unless there are none.
    pub later: Option<Later>,
    /// How far the process's life has come.
    pub phase: watch::Sender<Phase>,
    /// Whether to send traffic here.
    pub ready: Arc<AtomicBool>,
    /// What answers operators, unless there is no listener for them.
    pub operators: Option<Operators>,
    /// Who shakes hands with callers, where that is done.
    pub door: Option<Door>,
    /// Where requests are passed on to, one by one.
    pub forwarders: Vec<Forwarder>,
    /// The routes' batchers as each worker has them.
    batchers: Vec<Batchers>,
    jobs: Jobs,
    jobs_router: Router,
}

/// The clients of all that calls.
#[derive(Debug)]
pub(super) struct Clients {
    routes: Vec<route::Clients>,
    passthrough: Option<Forwarder>,
}

impl Clients {
    /// Prepares to call; nothing is connected yet.
    pub fn new(settings: &Settings) -> Result<Self, SetupError> {
        let routes = settings.routes.iter().map(route::Clients::new);
        let passthrough = settings.passthrough.clone().map(Forwarder::new);
        Ok(Self {
            routes: routes.collect::<Result<_, _>>()?,
            passthrough: passthrough.transpose()?,
        })
    }
}

impl Proxy {
    /// Calls are made by these clients, callers and operators come in by these doors, jobs for later are kept in `store`, and all are
    /// processed by `workers`.
    pub fn new(
        settings: Settings,
        clients: Clients,
        doors: &Doors,
        store: Option<Arc<dyn Store>>,
        workers: &Workers,
    ) -> Self {
        let Settings {
            jobs,
            routes: of_routes,
            admin,
            later,
            ..
        } = settings;
        let (phase, current) = watch::channel(Phase::Running);
        let process = Observer::new(of_routes[0].bounds).with_log(telemetry::lines_dropped);
        let observers = of_routes.iter().map(|route| {
            let observer = process.beside(route.name.as_str(), route.bounds);
            Arc::new(observer)
        });
        let observers: Vec<Arc<Observer>> = observers.collect();
        // What is no route's is counted with the first.
        let observer = Arc::clone(&observers[0]);
        let later = later.zip(store);
        let later = later.map(|(it, store)| Later::new(store, it.records, observers.clone()));
        let shown = of_routes.iter().map(|it| (it.drawn.clone(), it.advice));
        let shown: Vec<_> = shown.collect();
        let mut paths = Paths::default();
        let made = of_routes.into_iter().zip(clients.routes).zip(observers);
        let made = made
            .enumerate()
            .map(|(number, ((settings, clients), observer))| {
                // The settings have found no fault with it.
                let _captures = paths.add(&settings.path, number);
                route(settings, clients, observer, current.clone(), later.as_ref())
            });
        let made: Vec<_> = made.collect();
        let routes = Routes::new(made, paths);
        let batchers = workers.for_each(|number| {
            let batchers = routes.all().iter().map(|route| match number {
                0 => route.batcher.clone(),
                _ => route.batcher.on_this_runtime(),
            });
            batchers.collect()
        });
        if let Some(later) = &later {
            let lane = Lane::new(routes.clone(), later.clone(), jobs.timing);
            later.start(Arc::new(lane));
        }
        let passthrough = clients.passthrough;
        let passthrough =
            passthrough.map(|it| it.told_in(observer.throttle(Forwarder::LINES), None));
        let of_routes = routes.all().iter().filter_map(|route| route.alone.clone());
        let forwarders = of_routes.chain(passthrough.clone()).collect();
        let jobs = Jobs::from(JobsInner {
            routes: routes.clone(),
            hosts: jobs.hosts,
            buffered: Buffered::new(jobs.max_buffered, jobs.max_body),
            connected: Connected::default(),
            max_body: jobs.max_body,
            request_timeout: jobs.request_timeout,
            read_timeout: jobs.read_timeout,
            timing: jobs.timing,
            phase: current,
            later: later.clone(),
            passthrough,
        });
        let watched = routes.all().iter().zip(shown);
        let watched = watched.map(|(route, (limits, advice))| Watched {
            route: Arc::clone(route),
            limits,
            advice,
        });
        let watched = watched.collect();
        let ready = Arc::new(AtomicBool::new(true));
        let operators = admin.map(|admin| Operators {
            router: admin_router(Admin {
                routes: watched,
                observer: Arc::clone(&observer),
                ready: Arc::clone(&ready),
                config: admin.toml,
                settings: admin.settings,
                later: later.clone(),
                buffered: Arc::clone(&jobs.buffered),
                connected: jobs.connected.clone(),
            }),
            hosts: admin.hosts,
            door: doors.operators(&observer),
        });
        Self {
            routes,
            later,
            phase,
            ready,
            forwarders,
            operators,
            door: doors.callers(&observer),
            batchers,
            jobs_router: jobs_router(&jobs),
            jobs,
        }
    }

    /// Who is told what happens on no route.
    pub fn process(&self) -> &Arc<Process> {
        self.routes.first().observer.process()
    }

    /// What answering calls takes.
    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// What serves a caller whom this worker has, and who has reached us so.
    pub fn caller(&self, worker: usize, reached: Reached) -> Caller {
        let (jobs, router) = (self.jobs.clone(), self.jobs_router.clone());
        Caller::new(jobs, &self.batchers[worker], router, reached)
    }
}

/// What answers operators.
#[derive(Clone)]
pub(super) struct Operators {
    /// Who shakes hands with them, where that is done.
    pub door: Option<Door>,
    router: Router,
    hosts: HostNames,
}

impl Operators {
    /// What serves an operator who has reached us so.
    pub fn operator(&self, reached: Reached) -> Operator {
        Operator::new(self.router.clone(), &self.hosts, reached)
    }
}
