//! The settings: what the options come to, checked, in the types of those who go by them.
//!
//! `main` gets [`Settings`] from [`super::load`], and `app` hands each part to whom it is for.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use ::http::HeaderMap;

use super::options::Options;
pub use super::records::{Later, Store};
pub use super::route::Route;
use super::route::forwarding;
use super::routes;
use crate::address::Address;
use crate::forward::{self, Destination};
use crate::http::{HostNames, Setting};
use crate::route::paths::Paths;
use crate::{server, telemetry};

/// Concurrent requests of one HTTP/2 connection, a caller's and an operator's.
const MAX_STREAMS: u32 = 100;
const OPERATOR_STREAMS: u32 = 10;

/// All there is to go by. Its `Debug` text has none of it, since there are secrets among it.
#[derive(Clone)]
pub struct Settings {
    /// Where jobs come in.
    pub listen: Address,
    /// The permissions of that, where it is a socket.
    pub socket_mode: u32,
    /// How many threads serve callers.
    pub threads: usize,
    /// How many connections callers may have; without a number, as many as there are open files
    /// for.
    pub max_connections: Option<usize>,
    /// What bounds a caller's connection.
    pub callers: server::Limits,
    /// What bounds an operator's.
    pub operators: server::Limits,
    /// What jobs are held to before they are queued, and how their answers look.
    pub jobs: Intake,
    /// Where operators come in, unless that is off.
    pub admin: Option<Admin>,
    /// Where jobs go, and how: that of the top level first, if there is one, and the others by name.
    pub routes: Vec<Route>,
    /// Where requests go that are no route's, unless they are refused.
    pub passthrough: Option<forward::Settings>,
    /// Answers fetched later, unless that is off.
    pub later: Option<Later>,
    /// How the process ends.
    pub shutdown: Shutdown,
    /// What is logged.
    pub log: telemetry::Settings,
}

/// What jobs are held to, and how their answers look.
#[derive(Clone)]
pub struct Intake {
    /// The names that their listener answers to on loopback.
    pub hosts: HostNames,
    /// The largest body, in bytes.
    pub max_body: usize,
    /// How deep a job may nest, in levels.
    pub max_depth: usize,
    /// The most memory for bodies being received and answers not taken, in bytes.
    pub max_buffered: usize,
    /// The longest a job may stay.
    pub request_timeout: Duration,
    /// The longest a body, or the head before it, may take to arrive.
    pub read_timeout: Duration,
    /// Whether answers tell where their time went.
    pub timing: bool,
}

/// The listener for operators, and what it shows.
#[derive(Clone)]
pub struct Admin {
    /// Where they come in.
    pub listen: Address,
    /// The permissions of that, where it is a socket.
    pub socket_mode: u32,
    /// The names that it answers to on loopback.
    pub hosts: HostNames,
    /// Every setting, as TOML.
    pub toml: Arc<str>,
    /// Every setting, by its key.
    pub settings: Arc<[Setting]>,
}

/// How the process ends.
#[derive(Clone, Copy)]
pub struct Shutdown {
    /// The time from saying so to the listener closing.
    pub delay: Duration,
    /// The longest that accepted jobs may take to finish then.
    pub timeout: Duration,
}

impl Settings {
    /// What the options come to, if each has a value.
    pub(super) fn of(options: &Options) -> Option<Self> {
        let (server, log) = (&options.server, &options.log);
        let listen = server.listen.get()?;
        let cores = || available_parallelism().map_or(1, NonZeroUsize::get);
        // Where the system does not tell, one thread is right for any machine.
        let threads = server.threads.get()?.unwrap_or_else(cores);
        let jobs = Intake {
            hosts: HostNames::new(&server.hosts.get()?, listen.host()),
            max_body: server.max_body.get()?,
            max_depth: server.max_depth.get()?,
            max_buffered: server.max_buffered.get()?,
            request_timeout: server.request_timeout.get()?,
            read_timeout: server.read_timeout.get()?,
            timing: server.timing.get()?,
        };
        let callers = server::Limits {
            read_timeout: jobs.read_timeout,
            idle_timeout: server.idle_timeout.get()?,
            write_timeout: server.write_timeout.get()?,
            max_body: jobs.max_body,
            max_streams: MAX_STREAMS,
        };
        let mut paths = Paths::default();
        let routes = routes::all(options);
        let later = Later::of(options, &routes)?;
        let records = later.as_ref().map(|it| &it.records);
        let routes = routes.iter().map(|route| {
            let captures = paths.add(&route.path()?, 0).ok()?;
            Route::of(route, &captures, threads, records)
        });
        let routes = routes.collect::<Option<_>>()?;
        let passthrough = match options.passthrough.url.get() {
            None => None,
            // No credential of a route reaches another service.
            Some(url) => Some(forwarding(
                options,
                Destination::Below(url),
                HeaderMap::new(),
            )?),
        };
        Some(Settings {
            listen,
            socket_mode: server.socket_mode.get()?,
            threads,
            max_connections: server.max_connections.get()?,
            callers,
            // As callers', but for operators, whose answers are not accounted for.
            operators: server::Limits {
                max_streams: OPERATOR_STREAMS,
                ..callers
            },
            admin: match options.admin.listen.get()? {
                Some(listen) => Some(Admin {
                    hosts: HostNames::new(&options.admin.hosts.get()?, listen.host()),
                    listen,
                    socket_mode: options.admin.socket_mode.get()?,
                    toml: options.to_toml().into(),
                    settings: printed(options),
                }),
                None => None,
            },
            jobs,
            routes,
            passthrough,
            later,
            shutdown: Shutdown {
                delay: options.shutdown.delay.get()?,
                timeout: options.shutdown.timeout.get()?,
            },
            log: telemetry::Settings {
                targets: log.level.get()?.parse().ok()?,
                format: log.format.get()?,
            },
        })
    }
}

impl Settings {
    /// The most batches in flight at once, over all routes.
    pub fn slots(&self) -> usize {
        let routes = self.routes.iter();
        routes.map(|route| route.upstream.connections).sum()
    }

    /// The most calls that go alone at once, over all routes, and what is no route's.
    pub fn alone(&self) -> usize {
        let routes = self.routes.iter().flat_map(|route| &route.alone);
        routes.chain(&self.passthrough).map(|it| it.max_alone).sum()
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").finish_non_exhaustive()
    }
}

fn printed(options: &Options) -> Arc<[Setting]> {
    let entries = options.entries().into_iter();
    let settings = entries.map(|entry| Setting {
        key: entry.key(),
        value: entry.value,
    });
    settings.collect()
}
