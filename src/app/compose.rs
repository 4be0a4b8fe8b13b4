//! What the settings make: a set of routes with all that they take, and what answers by
//! them on both listeners.
//!
//! A [`Set`] never changes. One of other settings may take its place, and shares with it
//! what lives as long as the process.

use std::sync::Arc;

use super::door::Doors;
use super::files::Files;
use super::process::Process;
use super::route::{self, route};
use crate::config::{Changes, RouteChanges, Settings};
use crate::forward::Forwarder;
use crate::http::{
    Admin, ForCallers, ForOperators, Jobs, JobsInner, Passthrough, Watched, WriteLine,
};
use crate::route::Routes;
use crate::route::held::Held;
use crate::route::paths::Paths;
use crate::telemetry;
use crate::upstream::{SetupError, Tls};

/// See the module.
pub(super) struct Set {
    /// What is served.
    pub routes: Routes,
    /// Where requests are passed on to that are no route's.
    pub passthrough: Option<Arc<Passthrough>>,
    /// What serves callers.
    pub for_callers: Arc<ForCallers>,
    /// What answers operators, unless there is no listener for them.
    pub for_operators: Option<Arc<ForOperators>>,
}

/// What a set takes that may not be had: the clients of all that calls.
#[derive(Debug)]
pub(super) struct Clients {
    /// Of each route, unless the one before goes on.
    routes: Vec<Option<route::Clients>>,
    passthrough: Onward,
}

/// Where requests go that are no route's.
#[derive(Debug)]
enum Onward {
    /// Where they went before.
    Same,
    /// There, if anywhere.
    To(Option<Forwarder>),
}

impl Clients {
    /// Prepares to call; nothing is connected yet.
    pub fn new(settings: &Settings) -> Result<Self, SetupError> {
        Self::of(settings, |_| true, true)
    }

    /// The same for a set that takes another's place, of what differs from that.
    pub fn differing(settings: &Settings, changes: &Changes) -> Result<Self, SetupError> {
        let RouteChanges { added, changed, .. } = &changes.routes;
        let differs = |name: &str| added.iter().chain(changed).any(|it| it == name);
        Self::of(settings, differs, changes.passthrough)
    }

    fn of(
        settings: &Settings,
        differs: impl Fn(&str) -> bool,
        passthrough: bool,
    ) -> Result<Self, SetupError> {
        let routes = settings.routes.iter();
        let routes = routes.map(|it| match differs(it.name.as_str()) {
            true => route::Clients::new(it).map(Some),
            false => Ok(None),
        });
        // No settings of a route reach another service.
        let onward = |it| Forwarder::new(it, Tls::system());
        let to = || settings.passthrough.clone().map(onward).transpose();
        Ok(Self {
            routes: routes.collect::<Result<_, _>>()?,
            passthrough: match passthrough {
                true => Onward::To(to()?),
                false => Onward::Same,
            },
        })
    }

    /// Has the files of their certificates looked at again as long as they are in use.
    pub fn watched_by(&self, files: &Files) {
        let certified = self.routes.iter().flatten();
        let certified = certified.filter_map(|it| it.tls.files());
        certified.for_each(|it| files.watch_certificates(&it));
    }
}

impl Set {
    /// The first.
    pub fn new(process: &Process, settings: &Settings, clients: Clients, doors: &Doors) -> Self {
        Self::of(process, settings, clients, doors, None)
    }

    /// One that takes this one's place. What differs of this one, or is gone, leaves.
    pub fn succeeded(
        &self,
        process: &Process,
        settings: &Settings,
        clients: Clients,
        doors: &Doors,
    ) -> Self {
        let stays = |name: &str| {
            let routes = settings.routes.iter().zip(&clients.routes);
            let mut kept = routes.filter(|(_, new)| new.is_none());
            kept.any(|(it, _)| it.name.as_str() == name)
        };
        for route in self.routes.all() {
            if !stays(route.name.as_str()) {
                process.leaving.route(route);
            }
        }
        if let (Onward::To(_), Some(passthrough)) = (&clients.passthrough, &self.passthrough) {
            process.leaving.passthrough(passthrough);
        }
        Self::of(process, settings, clients, doors, Some(self))
    }

    fn of(
        process: &Process,
        settings: &Settings,
        clients: Clients,
        doors: &Doors,
        before: Option<&Self>,
    ) -> Self {
        let mut paths = Paths::default();
        let made = settings.routes.iter().zip(clients.routes).enumerate();
        let made = made.map(|(number, (settings, clients))| {
            // The settings have found no fault with it.
            let _captures = paths.add(&settings.path, number);
            let kept = before.and_then(|it| it.routes.get(settings.name.as_str()));
            match (clients, kept) {
                (Some(clients), _) => Some(Arc::new(route(settings.clone(), clients, process))),
                (None, kept) => kept.cloned(),
            }
        });
        let made: Vec<_> = made.flatten().collect();
        let routes = Routes::new(made, paths);
        let batchers = process.workers.for_each(|number| {
            let batchers = routes.all().iter().map(|route| match number {
                0 => route.batcher.clone(),
                _ => route.batcher.on_this_runtime(),
            });
            batchers.collect()
        });
        let observer = &process.observer;
        let tokens = doors.tokens();
        let passthrough = match clients.passthrough {
            Onward::Same => before.and_then(|it| it.passthrough.clone()),
            Onward::To(to) => to.map(|it| {
                let lines = observer.throttle(Forwarder::LINES);
                let (to, held) = (it.told_in(lines, None), Held::default());
                Arc::new(Passthrough { to, held })
            }),
        };
        let jobs = &settings.jobs;
        let jobs = Jobs::from(JobsInner {
            routes: routes.clone(),
            observer: Arc::clone(observer),
            hosts: jobs.hosts.clone(),
            tokens: tokens.callers.clone(),
            buffered: Arc::clone(&process.buffered),
            connected: process.connected.clone(),
            max_body: jobs.max_body,
            request_timeout: jobs.request_timeout,
            read_timeout: jobs.read_timeout,
            timing: jobs.timing,
            phase: process.phase.subscribe(),
            access: settings
                .access_log
                .then_some(telemetry::write_access as WriteLine),
            later: process.later.clone(),
            passthrough: passthrough.clone(),
        });
        let watched = routes.all().iter().zip(&settings.routes);
        let watched = watched.map(|(route, settings)| Watched {
            route: Arc::clone(route),
            limits: settings.drawn.clone(),
            advice: settings.advice,
        });
        let for_operators = settings.admin.as_ref().map(|admin| {
            let answers = Admin {
                routes: watched.collect(),
                observer: Arc::clone(observer),
                ready: Arc::clone(&process.ready),
                config: Arc::clone(&admin.toml),
                settings: Arc::clone(&admin.settings),
                reloads: process.reloads.clone(),
                later: process.later.clone(),
                buffered: Arc::clone(&process.buffered),
                connected: process.connected.clone(),
                tokens: tokens.all(),
            };
            let tokens = tokens.operators.clone();
            Arc::new(ForOperators::new(answers, admin.hosts.clone(), tokens))
        });
        Self {
            routes,
            passthrough,
            for_callers: Arc::new(ForCallers::new(jobs, batchers)),
            for_operators,
        }
    }
}
