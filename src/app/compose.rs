//! What the settings make: a set of routes with all that they take, and what answers by
//! them on both listeners.
//!
//! A [`Set`] never changes. One of other settings may take its place, and shares with it
//! what lives as long as the process.

use std::sync::Arc;

use super::door::Tokens;
use super::files::Files;
use super::process::Process;
use super::route::{self, route};
use crate::config::Settings;
use crate::forward::Forwarder;
use crate::http::{Admin, ForCallers, ForOperators, Jobs, JobsInner, Watched, WriteLine};
use crate::route::Routes;
use crate::route::paths::Paths;
use crate::telemetry;
use crate::upstream::{SetupError, Tls};

/// See the module.
pub(super) struct Set {
    /// What is served.
    pub routes: Routes,
    /// Where requests are passed on to that are no route's.
    pub passthrough: Option<Forwarder>,
    /// What serves callers.
    pub for_callers: Arc<ForCallers>,
    /// What answers operators, unless there is no listener for them.
    pub for_operators: Option<Arc<ForOperators>>,
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
        // No settings of a route reach another service.
        let passthrough = settings.passthrough.clone();
        let passthrough = passthrough.map(|it| Forwarder::new(it, Tls::system()));
        Ok(Self {
            routes: routes.collect::<Result<_, _>>()?,
            passthrough: passthrough.transpose()?,
        })
    }

    /// Has the files of their certificates looked at again as long as they are in use.
    pub fn watched_by(&self, files: &Files) {
        let certified = self.routes.iter().filter_map(|it| it.tls.files());
        certified.for_each(|it| files.watch_certificates(&it));
    }
}

impl Set {
    /// Calls are made by these clients, and these tokens let in.
    pub fn new(process: &Process, settings: Settings, clients: Clients, tokens: &Tokens) -> Self {
        let Settings {
            jobs,
            access_log,
            routes: of_routes,
            admin,
            ..
        } = settings;
        let shown = of_routes.iter().map(|it| (it.drawn.clone(), it.advice));
        let shown: Vec<_> = shown.collect();
        let mut paths = Paths::default();
        let made = of_routes.into_iter().zip(clients.routes).enumerate();
        let made = made.map(|(number, (settings, clients))| {
            // The settings have found no fault with it.
            let _captures = paths.add(&settings.path, number);
            route(settings, clients, process)
        });
        let made: Vec<_> = made.collect();
        let routes = Routes::new(made, paths);
        let batchers = process.workers.for_each(|number| {
            let batchers = routes.all().iter().map(|route| match number {
                0 => route.batcher.clone(),
                _ => route.batcher.on_this_runtime(),
            });
            batchers.collect()
        });
        let observer = &process.observer;
        let passthrough = clients.passthrough;
        let passthrough =
            passthrough.map(|it| it.told_in(observer.throttle(Forwarder::LINES), None));
        let jobs = Jobs::from(JobsInner {
            routes: routes.clone(),
            observer: Arc::clone(observer),
            hosts: jobs.hosts,
            tokens: tokens.callers.clone(),
            buffered: Arc::clone(&process.buffered),
            connected: process.connected.clone(),
            max_body: jobs.max_body,
            request_timeout: jobs.request_timeout,
            read_timeout: jobs.read_timeout,
            timing: jobs.timing,
            phase: process.phase.subscribe(),
            access: access_log.then_some(telemetry::write_access as WriteLine),
            later: process.later.clone(),
            passthrough: passthrough.clone(),
        });
        let watched = routes.all().iter().zip(shown);
        let watched = watched.map(|(route, (limits, advice))| Watched {
            route: Arc::clone(route),
            limits,
            advice,
        });
        let for_operators = admin.map(|admin| {
            let answers = Admin {
                routes: watched.collect(),
                observer: Arc::clone(observer),
                ready: Arc::clone(&process.ready),
                config: admin.toml,
                settings: admin.settings,
                later: process.later.clone(),
                buffered: Arc::clone(&process.buffered),
                connected: process.connected.clone(),
                tokens: tokens.all(),
            };
            let tokens = tokens.operators.clone();
            Arc::new(ForOperators::new(answers, admin.hosts, tokens))
        });
        Self {
            routes,
            passthrough,
            for_callers: Arc::new(ForCallers::new(jobs, batchers)),
            for_operators,
        }
    }
}
