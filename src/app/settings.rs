//! From the configuration to the settings of each room.

use std::num::NonZeroUsize;
use std::sync::Arc;

use ::http::StatusCode;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::batcher::{self, Batcher};
use crate::config::{self, Config, MaxConnections, MaxInFlight, Threads};
use crate::engine::circuit::Circuit;
use crate::engine::outcome::JobResult;
use crate::engine::{Phase, Policy, Results, encode};
use crate::http::{Buffered, HostNames, Jobs, JobsInner, Limits, Setting};
use crate::job::Job;
use crate::observe::{Observer, advice};
use crate::resilience::backoff::Backoff;
use crate::resilience::budget::Budget;
use crate::resilience::limit;
use crate::resilience::size::Size;
use crate::server::{self, files};
use crate::upstream;

/// Concurrent requests of one HTTP/2 connection, a caller's and an operator's.
const MAX_STREAMS: u32 = 100;
const OPERATOR_STREAMS: u32 = 10;

pub(super) fn threads(config: &Config) -> usize {
    match config.server.threads {
        Threads::Fixed(threads) => threads,
        // Where the system does not tell, one is right for any machine.
        Threads::Auto => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
    }
}

pub(super) fn server_limits(config: &Config) -> server::Limits {
    server::Limits {
        read_timeout: config.server.read_timeout,
        idle_timeout: config.server.idle_timeout,
        write_timeout: config.server.write_timeout,
        max_body: config.server.max_body,
        max_streams: MAX_STREAMS,
    }
}

/// As callers', but for operators, whose answers are not accounted for.
pub(super) fn admin_limits(config: &Config) -> server::Limits {
    server::Limits {
        max_streams: OPERATOR_STREAMS,
        ..server_limits(config)
    }
}

pub(super) fn max_connections(config: &Config) -> usize {
    // Also where callers get a fixed number: the upstream takes some too.
    let files = files::raise_limit();
    match config.server.max_connections {
        MaxConnections::Fixed(connections) => connections,
        MaxConnections::Auto => files::for_callers(files, upstream_settings(config).connections),
    }
}

pub(super) fn jobs(
    config: &Config,
    batcher: &Batcher<Job, JobResult>,
    observer: &Arc<Observer>,
    circuit: &Arc<Circuit>,
    phase: watch::Receiver<Phase>,
) -> Jobs {
    let status = StatusCode::from_u16(config.upstream.job_error_status);
    Jobs::from(JobsInner {
        batcher: batcher.clone(),
        observer: Arc::clone(observer),
        hosts: HostNames::new(&config.server.hosts, &config.server.listen),
        buffered: Buffered::new(config.server.max_buffered, config.server.max_body),
        max_body: config.server.max_body,
        max_depth: config.server.max_depth,
        request_timeout: config.server.request_timeout,
        read_timeout: config.server.read_timeout,
        timing: config.server.timing,
        idempotent: config.upstream.idempotent,
        phase,
        circuit: Arc::clone(circuit),
        job_error_status: status.unwrap_or(StatusCode::UNPROCESSABLE_ENTITY),
    })
}

pub(super) fn settings(config: &Config) -> Arc<[Setting]> {
    let settings = config.printed().into_iter();
    settings
        .map(|(key, value)| Setting { key, value })
        .collect()
}

pub(super) fn limits(config: &Config) -> Limits {
    Limits {
        max_size: config.batch.max_size,
        max_bytes: config.batch.max_bytes,
        max_wait_ms: config.batch.max_wait.as_secs_f64() * 1e3,
        max_in_flight: batcher_settings(config).max_in_flight,
        adaptive_in_flight: config.upstream.max_in_flight == MaxInFlight::Adaptive,
        queue_jobs: config.queue.max_jobs,
        queue_bytes: config.queue.max_bytes,
    }
}

pub(super) fn advice_limits(config: &Config) -> advice::Limits {
    advice::Limits {
        max_size: config.batch.max_size,
        max_wait_ms: config.batch.max_wait.as_secs_f64() * 1e3,
        adaptive_wait: config.batch.wait == config::Wait::Adaptive,
        adaptive_in_flight: config.upstream.max_in_flight == MaxInFlight::Adaptive,
        queue_jobs: config.queue.max_jobs,
        waits_for_room: config.queue.on_full == config::OnFull::Wait,
        idempotent: config.upstream.idempotent,
        upstream_timeout_ms: config.upstream.timeout.as_secs_f64() * 1e3,
        request_timeout_ms: config.server.request_timeout.as_secs_f64() * 1e3,
    }
}

pub(super) fn policy(config: &Config) -> Policy {
    Policy {
        results: match config.upstream.results {
            config::Results::ById => Results::ById,
            config::Results::None => Results::None,
        },
        idempotent: config.upstream.idempotent,
        split_on: config.upstream.split_on.clone(),
        max_attempts: config.retry.max_attempts,
        backoff: Backoff {
            base: config.retry.base,
            cap: config.retry.cap,
        },
        longest_wait: config.upstream.timeout.min(config.server.request_timeout),
        largest: Size {
            jobs: config.batch.max_size,
            bytes: config.batch.max_bytes - encode::BYTES_PER_ARRAY,
        },
        excerpts: config.log.upstream_errors,
    }
}

pub(super) fn budget(retry: &config::Retry) -> Budget {
    Budget::new(retry.budget, retry.budget_min, Instant::now())
}

pub(super) fn batcher_settings(config: &Config) -> batcher::Settings {
    batcher::Settings {
        max_size: config.batch.max_size,
        max_bytes: config.batch.max_bytes - encode::BYTES_PER_ARRAY,
        item_overhead: encode::BYTES_PER_JOB,
        max_wait: config.batch.max_wait,
        wait: match config.batch.wait {
            config::Wait::Fixed => batcher::Wait::Fixed,
            config::Wait::Adaptive => batcher::Wait::Adaptive,
        },
        max_in_flight: match config.upstream.max_in_flight {
            MaxInFlight::Fixed(slots) => slots,
            MaxInFlight::Adaptive => limit::START,
        },
        min_interval: config.upstream.min_interval,
        queue_jobs: config.queue.max_jobs,
        queue_bytes: config.queue.max_bytes,
        on_full: match config.queue.on_full {
            config::OnFull::Reject => batcher::OnFull::Reject,
            config::OnFull::Wait => batcher::OnFull::Wait,
        },
    }
}

pub(super) fn upstream_settings(config: &Config) -> upstream::Settings {
    let runtimes = threads(config);
    let config = &config.upstream;
    upstream::Settings {
        runtimes,
        url: config.url.clone(),
        headers: config.headers.clone(),
        timeout: config.timeout,
        connect_timeout: config.connect_timeout,
        max_response: config.max_response,
        idle_timeout: config.idle_timeout,
        max_connection_age: config.max_connection_age,
        connections: match config.max_in_flight {
            MaxInFlight::Fixed(slots) => slots,
            MaxInFlight::Adaptive => limit::MAX,
        },
    }
}
