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

use super::settings;
use crate::batcher::Batcher;
use crate::config::{Config, MaxInFlight};
use crate::engine::circuit::Circuit;
use crate::engine::outcome::JobResult;
use crate::engine::{Engine, Phase};
use crate::http::{Admin, Caller, HostNames, Jobs, Operator, admin_router, jobs_router};
use crate::job::Job;
use crate::observe::{Bounds, Observer};
use crate::server::runtimes::Workers;
use crate::telemetry;
use crate::upstream::Upstream;

/// See the module.
pub(super) struct Proxy {
    /// Where jobs wait.
    pub batcher: Batcher<Job, JobResult>,
    /// Who is told what happens.
    pub observer: Arc<Observer>,
    /// How far the process's life has come.
    pub phase: watch::Sender<Phase>,
    /// Whether to send traffic here.
    pub ready: Arc<AtomicBool>,
    /// The batcher as each worker has it.
    batchers: Vec<Batcher<Job, JobResult>>,
    jobs: Jobs,
    jobs_router: Router,
    admin_router: Router,
    admin_hosts: HostNames,
}

impl Proxy {
    /// Calls go to `upstream`, and jobs are processed by `workers`.
    pub fn new(config: &Config, upstream: Upstream, workers: &Workers) -> Self {
        let observer = Observer::new(Bounds {
            max_size: config.batch.max_size,
            max_bytes: config.batch.max_bytes,
        });
        let observer = Arc::new(observer.with_log(telemetry::lines_dropped));
        let (phase, current) = watch::channel(Phase::Running);
        let circuit = Arc::new(Circuit::new(
            config.circuit.failures,
            config.circuit.open_for,
        ));
        let engine = Engine::new(
            upstream,
            settings::policy(config),
            settings::budget(&config.retry),
            Arc::clone(&circuit),
            current.clone(),
            Arc::clone(&observer),
        );
        let engine = Arc::new(match config.upstream.max_in_flight {
            MaxInFlight::Fixed(_) => engine,
            MaxInFlight::Adaptive => engine.adaptive(),
        });
        let batcher = Batcher::with_batches(settings::batcher_settings(config), move |batch| {
            let engine = Arc::clone(&engine);
            engine.process(batch)
        });
        let batchers = workers.for_each(|number| match number {
            0 => batcher.clone(),
            _ => batcher.on_this_runtime(),
        });
        let jobs = settings::jobs(config, &batcher, &observer, &circuit, current);
        let ready = Arc::new(AtomicBool::new(true));
        let admin_router = admin_router(Admin {
            batcher: batcher.clone(),
            ready: Arc::clone(&ready),
            config: config.to_toml().into(),
            settings: settings::settings(config),
            limits: settings::limits(config),
            advice: settings::advice_limits(config),
            observer: Arc::clone(&observer),
            circuit,
            buffered: Arc::clone(&jobs.buffered),
        });
        let admin_listen = config.admin.listen.as_deref().unwrap_or_default();
        Self {
            batcher,
            observer,
            phase,
            ready,
            batchers,
            jobs_router: jobs_router(jobs.clone()),
            jobs,
            admin_router,
            admin_hosts: HostNames::new(&config.admin.hosts, admin_listen),
        }
    }

    /// What serves a caller whom this worker has, and who has reached us at `local`.
    pub fn caller(&self, worker: usize, local: Option<IpAddr>) -> Caller {
        let (jobs, router) = (self.jobs.clone(), self.jobs_router.clone());
        Caller::new(jobs, &self.batchers[worker], router, local)
    }

    /// What serves an operator who has reached us at `local`.
    pub fn operator(&self, local: Option<IpAddr>) -> Operator {
        Operator::new(self.admin_router.clone(), &self.admin_hosts, local)
    }
}
