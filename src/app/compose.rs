//! What the settings make: the batcher with all that it takes, and what answers on
//! both listeners.
//!
//! A [`Proxy`] never changes. Listeners ask it for whatever serves a connection, so
//! that one of other settings can take its place for those that come, while those it
//! has served end by its own.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::Router;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::batcher::Batcher;
use crate::config::Settings;
use crate::engine::circuit::Circuit;
use crate::engine::outcome::JobResult;
use crate::engine::{Engine, Phase};
use crate::http::{
    Admin, Batchers, Buffered, Caller, HostNames, Jobs, JobsInner, Lane, Operator, Watched,
    admin_router, jobs_router,
};
use crate::job::{Job, RouteName};
use crate::later::Later;
use crate::later::memory::Memory;
use crate::observe::Observer;
use crate::resilience::budget::Budget;
use crate::route::paths::Paths;
use crate::route::{Route, Routes};
use crate::server::runtimes::Workers;
use crate::shape::Limits;
use crate::telemetry;
use crate::upstream::Upstream;

/// See the module.
pub(super) struct Proxy {
    /// Where jobs wait.
    pub batcher: Batcher<Job, JobResult>,
    /// The jobs whose answers are fetched later, unless there are none.
    pub later: Option<Later>,
    /// Who is told what happens.
    pub observer: Arc<Observer>,
    /// How far the process's life has come.
    pub phase: watch::Sender<Phase>,
    /// Whether to send traffic here.
    pub ready: Arc<AtomicBool>,
    /// What answers operators, unless there is no listener for them.
    pub operators: Option<Operators>,
    /// The routes' batchers as each worker has them.
    batchers: Vec<Batchers>,
    jobs: Jobs,
    jobs_router: Router,
}

impl Proxy {
    /// Calls go to `upstream`, and jobs are processed by `workers`.
    pub fn new(settings: Settings, upstream: Upstream, workers: &Workers) -> Self {
        let Settings {
            jobs,
            route,
            admin,
            later,
            ..
        } = settings;
        let observer = Observer::new(route.bounds).with_log(telemetry::lines_dropped);
        let observer = Arc::new(observer);
        let (phase, current) = watch::channel(Phase::Running);
        let later = later.map(|settings| {
            let store = Arc::new(Memory::new(&settings));
            Later::new(store, settings, Arc::clone(&observer))
        });
        let circuit = Circuit::new(route.circuit_failures, route.circuit_open_for);
        let circuit = circuit.on_route_of(&observer);
        let circuit = Arc::new(circuit);
        let engine = Engine::new(
            upstream,
            Arc::clone(&route.shape),
            route.policy,
            Budget::new(route.budget, route.budget_min, Instant::now()),
            Arc::clone(&circuit),
            current.clone(),
            Arc::clone(&observer),
        );
        let engine = match &later {
            Some(later) => engine.with_later(later.clone()),
            None => engine,
        };
        let engine = Arc::new(match route.adaptive {
            false => engine,
            true => engine.adaptive(),
        });
        let batcher = Batcher::with_batches(route.batcher, move |batch| {
            let engine = Arc::clone(&engine);
            engine.process(batch)
        });
        let route = Route {
            name: RouteName::jobs(),
            shape: route.shape,
            limits: Limits {
                max_depth: jobs.max_depth,
                max_items: route.bounds.max_size,
                max_bytes: route.bounds.max_bytes,
            },
            forward_headers: Box::default(),
            batcher: batcher.clone(),
            circuit,
            observer: Arc::clone(&observer),
            idempotent: jobs.idempotent,
            alone: None,
        };
        let mut paths = Paths::default();
        // It can't conflict with any other.
        let _captures = paths.add("/jobs", 0);
        let routes = Routes::new([route], paths);
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
        let jobs = Jobs::from(JobsInner {
            routes: routes.clone(),
            hosts: jobs.hosts,
            buffered: Buffered::new(jobs.max_buffered, jobs.max_body),
            max_body: jobs.max_body,
            request_timeout: jobs.request_timeout,
            read_timeout: jobs.read_timeout,
            timing: jobs.timing,
            phase: current,
            later: later.clone(),
            passthrough: None,
        });
        let ready = Arc::new(AtomicBool::new(true));
        let operators = admin.map(|admin| Operators {
            router: admin_router(Admin {
                routes: Arc::new([Watched {
                    route: Arc::clone(&routes.all()[0]),
                    limits: admin.limits,
                    advice: admin.advice,
                }]),
                observer: Arc::clone(&observer),
                ready: Arc::clone(&ready),
                config: admin.toml,
                settings: admin.settings,
                later: later.clone(),
                buffered: Arc::clone(&jobs.buffered),
            }),
            hosts: admin.hosts,
        });
        Self {
            batcher,
            later,
            observer,
            phase,
            ready,
            operators,
            batchers,
            jobs_router: jobs_router(&jobs),
            jobs,
        }
    }

    /// What serves a caller whom this worker has, and who has reached us at `local`.
    pub fn caller(&self, worker: usize, local: Option<IpAddr>) -> Caller {
        let (jobs, router) = (self.jobs.clone(), self.jobs_router.clone());
        Caller::new(jobs, &self.batchers[worker], router, local)
    }
}

/// What answers operators.
#[derive(Clone)]
pub(super) struct Operators {
    router: Router,
    hosts: HostNames,
}

impl Operators {
    /// What serves an operator who has reached us at `local`.
    pub fn operator(&self, local: Option<IpAddr>) -> Operator {
        Operator::new(self.router.clone(), &self.hosts, local)
    }
}
