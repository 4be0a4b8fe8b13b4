//! The settings: what the options come to, checked, in the types of those who go by them.
//!
//! `main` gets [`Settings`] from [`super::load`], and `app` hands each part to whom it is for.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use ::http::{HeaderMap, HeaderName};
use url::Url;

use super::options::{Options, RouteOptions};
use super::routes::{self, RouteOf};
use crate::batcher::{self, OnFull, Wait};
use crate::engine::Policy;
use crate::forward::{self, Destination};
use crate::http::{self, HostNames, Setting};
use crate::job::RouteName;
use crate::later::{self, StoreKind};
use crate::observe::{Bounds, RecordBounds, advice};
use crate::resilience::backoff::Backoff;
use crate::resilience::limit;
use crate::resilience::size::Size;
use crate::route::paths::Paths;
use crate::shape::{self, Shape};
use crate::upstream::{self, Target};
use crate::{server, telemetry};

/// Concurrent requests of one HTTP/2 connection, a caller's and an operator's.
const MAX_STREAMS: u32 = 100;
const OPERATOR_STREAMS: u32 = 10;

/// All there is to go by. Its `Debug` text has none of it, since there are secrets among it.
#[derive(Clone)]
pub struct Settings {
    /// Where jobs come in.
    pub listen: String,
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
    pub later: Option<later::Settings>,
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
    pub listen: String,
    /// The names that it answers to on loopback.
    pub hosts: HostNames,
    /// Every setting, as TOML.
    pub toml: Arc<str>,
    /// Every setting, by its key.
    pub settings: Arc<[Setting]>,
}

/// Where jobs go, and how.
#[derive(Clone)]
pub struct Route {
    /// What it is called.
    pub name: RouteName,
    /// The pattern of the paths that it answers to.
    pub path: String,
    /// How calls become a batch, and its answer replies.
    pub shape: Arc<Shape>,
    /// The headers of callers that travel with a batch.
    pub forward_headers: Vec<HeaderName>,
    /// What may be merged.
    pub limits: shape::Limits,
    /// When a batch leaves, and what may wait.
    pub batcher: batcher::Settings,
    /// What is done about answers and failures.
    pub policy: Policy,
    /// Whether the number of slots is found out.
    pub adaptive: bool,
    /// Retries allowed, as a share of the batches sent lately.
    pub budget: f64,
    /// Retries allowed whatever was sent.
    pub budget_min: u32,
    /// Failed calls in a row that open the circuit; 0 for never.
    pub circuit_failures: u32,
    /// The time from then on to the probing batch.
    pub circuit_open_for: Duration,
    /// Where to call.
    pub upstream: upstream::Settings,
    /// Where calls go that are not merged, where there are such.
    pub alone: Option<forward::Settings>,
    /// What the histograms of batches reach up to.
    pub bounds: Bounds,
    /// What the page draws as limits.
    pub drawn: http::Limits,
    /// What advice is measured by.
    pub advice: advice::Limits,
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
            hosts: HostNames::new(&server.hosts.get()?, &listen),
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
        let later = match options.later.store.get()? {
            StoreKind::Memory => Some(later::Settings {
                max_jobs: options.later.max_jobs.get()?,
                max_bytes: options.later.max_bytes.get()?,
                keep: options.later.keep.get()?,
                job_timeout: options.later.job_timeout.get()?,
                max_wait: options.later.max_wait.get()?,
            }),
            StoreKind::Off => None,
        };
        let mut paths = Paths::default();
        let routes = routes::all(options);
        let routes = routes.iter().map(|route| {
            let captures = paths.add(&route.path()?, 0).ok()?;
            Route::of(route, &captures, threads, later.as_ref())
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
                    hosts: HostNames::new(&options.admin.hosts.get()?, &listen),
                    listen,
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

/// How requests are passed on, for those that have these options.
fn forwarding(options: &Options, to: Destination, headers: HeaderMap) -> Option<forward::Settings> {
    let upstream = &options.route.upstream;
    Some(forward::Settings {
        to,
        headers,
        timeout: upstream.timeout.get()?,
        connect_timeout: upstream.connect_timeout.get()?,
        idle_timeout: upstream.idle_timeout.get()?,
        read_timeout: options.server.read_timeout.get()?,
        max_alone: upstream.max_alone.get()?,
        request_timeout: options.server.request_timeout.get()?,
    })
}

impl Route {
    fn of(
        route: &RouteOf,
        captures: &[String],
        runtimes: usize,
        later: Option<&later::Settings>,
    ) -> Option<Self> {
        let options = &route.options;
        let request_timeout = options.server.request_timeout.get()?;
        let RouteOptions {
            own,
            shape,
            batch,
            queue,
            upstream,
            retry,
            circuit,
            ..
        } = &options.route;
        let captures: Vec<&str> = captures.iter().map(String::as_str).collect();
        let shape = match shape.is_given() {
            false => Arc::clone(Shape::jobs()),
            true => Arc::new(shape.compile(&captures).ok()?),
        };
        let url = upstream.url.get()?;
        let target = |url: &Url| Target::compile(url.clone(), &captures).ok();
        let alone = match upstream.alone_url.origin() {
            None => target(&url)?,
            Some(_) => target(&upstream.alone_url.get()?)?,
        };
        let slots = upstream.max_in_flight.get()?;
        let timeout = upstream.timeout.get()?;
        let bounds = Bounds {
            max_size: batch.max_size.get()?,
            max_bytes: batch.max_bytes.get()?,
        };
        let largest = Size {
            jobs: bounds.max_size,
            bytes: bounds.max_bytes,
        };
        let batcher = batcher::Settings {
            max_size: largest.jobs,
            max_bytes: largest.bytes,
            batch_overhead: shape.batch_overhead(),
            max_wait: batch.max_wait.get()?,
            detached_max_wait: options.later.max_wait.get()?,
            wait: batch.wait.get()?,
            max_in_flight: slots.unwrap_or(limit::START),
            min_interval: upstream.min_interval.get()?,
            queue_items: queue.max_jobs.get()?,
            queue_bytes: queue.max_bytes.get()?,
            on_full: queue.on_full.get()?,
        };
        let idempotent = upstream.idempotent.get()?;
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let drawn = http::Limits {
            max_size: bounds.max_size,
            max_bytes: bounds.max_bytes,
            max_wait_ms: milliseconds(batcher.max_wait),
            max_in_flight: batcher.max_in_flight,
            adaptive_in_flight: slots.is_none(),
            queue_jobs: batcher.queue_items,
            queue_bytes: batcher.queue_bytes,
        };
        let advice = advice::Limits {
            max_size: bounds.max_size,
            max_wait_ms: drawn.max_wait_ms,
            adaptive_wait: batcher.wait == Wait::Adaptive,
            adaptive_in_flight: slots.is_none(),
            queue_jobs: batcher.queue_items,
            waits_for_room: batcher.on_full == OnFull::Wait,
            idempotent,
            upstream_timeout_ms: milliseconds(timeout),
            request_timeout_ms: milliseconds(request_timeout),
            later: later.map(|later| advice::BacklogLimits {
                store: RecordBounds {
                    records: later.max_jobs,
                    bytes: later.max_bytes,
                },
                max_wait_ms: milliseconds(later.max_wait),
                keep_ms: milliseconds(later.keep),
                job_timeout_ms: milliseconds(later.job_timeout),
            }),
        };
        Some(Route {
            name: route.name.clone(),
            path: route.path()?,
            forward_headers: own.forward_headers.get()?,
            limits: shape::Limits {
                max_depth: options.server.max_depth.get()?,
                max_items: bounds.max_size,
                max_bytes: bounds.max_bytes,
            },
            batcher,
            policy: Policy {
                idempotent,
                split_on: upstream.split_on.get()?,
                max_attempts: retry.max_attempts.get()?,
                backoff: Backoff {
                    base: retry.base.get()?,
                    cap: retry.cap.get()?,
                },
                longest_wait: timeout.min(request_timeout),
                largest,
                excerpts: options.log.upstream_errors.get()?,
            },
            adaptive: slots.is_none(),
            budget: retry.budget.get()?,
            budget_min: retry.budget_min.get()?,
            circuit_failures: circuit.failures.get()?,
            circuit_open_for: circuit.open_for.get()?,
            upstream: upstream::Settings {
                runtimes,
                url: target(&url)?,
                headers: upstream.headers.get()?,
                timeout,
                connect_timeout: upstream.connect_timeout.get()?,
                max_response: upstream.max_response.get()?,
                idle_timeout: upstream.idle_timeout.get()?,
                max_connection_age: upstream.max_connection_age.get()?,
                connections: slots.unwrap_or(limit::MAX),
            },
            alone: match shape.lets_alone() {
                false => None,
                true => Some(forwarding(
                    options,
                    Destination::At(alone),
                    upstream.headers.get()?,
                )?),
            },
            shape,
            bounds,
            drawn,
            advice,
        })
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
