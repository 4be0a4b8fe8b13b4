//! The settings of one route: what its options come to, in the types of those who go by them.

use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, HeaderName};
use tokio_rustls::rustls::pki_types::ServerName;

use super::options::{Options, RouteOptions, UpstreamTlsOptions};
use super::routes::RouteOf;
use crate::batcher::{self, OnFull, Wait};
use crate::engine::Policy;
use crate::forward::{self, Destination};
use crate::http;
use crate::job::RouteName;
use crate::later;
use crate::observe::{Bounds, RecordBounds, advice};
use crate::resilience::backoff::Backoff;
use crate::resilience::limit;
use crate::resilience::size::Size;
use crate::shape::{self, Shape};
use crate::upstream::{self, Endpoint, Target, TlsSettings};

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
    /// What is verified and shown where that is `https`, or where calls go that are not merged.
    pub tls: TlsSettings,
    /// Where calls go that are not merged, where there are such.
    pub alone: Option<forward::Settings>,
    /// What the histograms of batches reach up to.
    pub bounds: Bounds,
    /// What the page draws as limits.
    pub drawn: http::Limits,
    /// What advice is measured by.
    pub advice: advice::Limits,
}

/// What an `https` upstream is verified by, and shown.
fn tls(options: &UpstreamTlsOptions) -> Option<TlsSettings> {
    let name = match options.server_name.get() {
        None => None,
        Some(name) => Some(ServerName::try_from(name).ok()?),
    };
    Some(TlsSettings {
        ca: options.ca.get(),
        identity: options.cert.get().zip(options.key.get()),
        server_name: name,
    })
}

/// How requests are passed on, for those that have these options.
pub(super) fn forwarding(
    options: &Options,
    to: Destination,
    headers: HeaderMap,
) -> Option<forward::Settings> {
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
    pub(super) fn of(
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
            upstream_tls,
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
        let target = |to: &Endpoint| Target::compile(to.clone(), &captures).ok();
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
            // Whoever has runtimes with I/O says so.
            precise: false,
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
            tls: tls(upstream_tls)?,
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
