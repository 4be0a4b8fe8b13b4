//! The proxy as a whole: bind, then run until told to stop, then drain.
//!
//! [`App::bind`] takes the addresses, so that a second proxy on the same port is
//! an error before anything runs. [`App::run`] owns the order of the end:
//! not ready, delay, no new jobs, no new connections, drain, give up, done.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ::http::StatusCode;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{info, warn};

use crate::batcher::{self, Batcher};
use crate::config::{self, Config, MaxConnections, MaxInFlight, Threads};
use crate::engine::outcome::JobResult;
use crate::engine::{Phase, Policy, Processor, Results, encode};
use crate::http::{
    self, Admin, Buffered, Caller, HostNames, Jobs, JobsInner, Limits, Operator, Setting,
};
use crate::job::Job;
use crate::observe::{Bounds, Observer, advice};
use crate::resilience::backoff::Backoff;
use crate::resilience::budget::Budget;
use crate::resilience::circuit::Circuit;
use crate::resilience::limit;
use crate::resilience::size::Size;
use crate::server::connections::Connections;
use crate::server::listener::{BindError, accept, bind};
use crate::server::{self, files};
use crate::telemetry::{self, Seldom};
use crate::upstream::{self, Upstream};
use crate::workers::Workers;

/// The time for answers to be written once the last job is answered, and for
/// members to be answered once they are given up.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The time after that for callers to have read what they were told.
const LAST_READS: Duration = Duration::from_millis(400);

/// Concurrent requests of one HTTP/2 connection, a caller's and an operator's.
const MAX_STREAMS: u32 = 100;
const OPERATOR_STREAMS: u32 = 10;

/// Why the proxy can't start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A listener's address can't be taken.
    #[error("{key}: can't listen on {address}: {error}; {}", .error.way_out(key))]
    Listen {
        /// The setting that names it.
        key: &'static str,
        /// The address.
        address: String,
        /// The system's reason.
        error: BindError,
    },
    /// A thread to serve callers can't be had.
    #[error("server.threads: the system gives no thread for each; ask for fewer: {0}")]
    Threads(io::Error),
    /// The HTTP client can't be set up.
    #[error("upstream: the HTTP client can't be set up: {0}")]
    Client(#[from] upstream::SetupError),
}

/// A proxy whose listeners are bound.
#[derive(Debug)]
pub struct App {
    jobs_listener: TcpListener,
    admin_listener: Option<TcpListener>,
    workers: Workers,
    upstream: Upstream,
    config: Config,
}

async fn listen(key: &'static str, address: &str) -> Result<TcpListener, StartError> {
    bind(address).await.map_err(|error| StartError::Listen {
        key,
        address: address.to_owned(),
        error,
    })
}

impl App {
    /// Binds the listeners and prepares the upstream's client.
    ///
    /// # Errors
    /// [`StartError`]; nothing is bound then.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let upstream = Upstream::new(upstream_settings(&config))?;
        let jobs_listener = listen("server.listen", &config.server.listen).await?;
        let admin_listener = match &config.admin.listen {
            Some(address) => Some(listen("admin.listen", address).await?),
            None => None,
        };
        let workers = Workers::start(threads(&config)).map_err(StartError::Threads)?;
        Ok(Self {
            jobs_listener,
            admin_listener,
            workers,
            upstream,
            config,
        })
    }

    /// Where jobs come in.
    ///
    /// # Errors
    /// The system's, if it can't tell.
    pub fn jobs_address(&self) -> io::Result<SocketAddr> {
        self.jobs_listener.local_addr()
    }

    /// Where operators come in, unless that is off.
    ///
    /// # Errors
    /// The system's, if it can't tell.
    pub fn admin_address(&self) -> io::Result<Option<SocketAddr>> {
        self.admin_listener
            .as_ref()
            .map(TcpListener::local_addr)
            .transpose()
    }

    /// Serves until `stop` resolves, then drains and returns.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Report {
        let Self {
            jobs_listener,
            admin_listener,
            workers,
            upstream,
            config,
        } = self;
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
        let processor = Processor::new(
            upstream,
            policy(&config),
            budget(&config.retry),
            Arc::clone(&circuit),
            current.clone(),
            Arc::clone(&observer),
        );
        let processor = Arc::new(match config.upstream.max_in_flight {
            MaxInFlight::Fixed(_) => processor,
            MaxInFlight::Adaptive => processor.adaptive(),
        });
        let batcher = Batcher::with_batches(batcher_settings(&config), move |batch| {
            let processor = Arc::clone(&processor);
            processor.process(batch)
        });
        let workers = Arc::new(workers);
        let ready = Arc::new(AtomicBool::new(true));
        let jobs = jobs(&config, &batcher, &observer, &circuit, current);
        let buffered = Arc::clone(&jobs.buffered);
        let router = http::jobs_router(jobs.clone());
        let (server_limits, admin_limits) = (server_limits(&config), admin_limits(&config));
        let connections = Connections::new(max_connections(&config));
        let (stop_accepting, stopped) = watch::channel(false);
        let batchers: Arc<[_]> = workers
            .for_each(|number| match number {
                0 => batcher.clone(),
                _ => batcher.on_this_runtime(),
            })
            .into();
        let crew = Arc::clone(&workers);
        let places = Arc::clone(&connections);
        let accepting = accept(jobs_listener, places, stopped, move |stream, permit| {
            let (jobs, router) = (jobs.clone(), router.clone());
            let batchers = Arc::clone(&batchers);
            crew.spawn(async move |worker| {
                if let Some(stream) = watched(stream) {
                    let caller = Caller::new(jobs, &batchers[worker], router, local(&stream));
                    http::serve_jobs(stream, caller, server_limits, permit).await;
                }
            });
        });
        let accepting = tokio::spawn(accepting);
        let operators = Connections::new(files::OPERATORS);
        // To the very end: the admin listener goes with the process.
        let (_never, to_the_end) = watch::channel(false);
        if let Some(listener) = admin_listener {
            let router = http::admin_router(Admin {
                batcher: batcher.clone(),
                ready: Arc::clone(&ready),
                config: config.to_toml().into(),
                settings: settings(&config),
                limits: limits(&config),
                advice: advice_limits(&config),
                observer: Arc::clone(&observer),
                circuit: Arc::clone(&circuit),
                buffered,
            });
            let listen = config.admin.listen.as_deref().unwrap_or_default();
            let hosts = HostNames::new(&config.admin.hosts, listen);
            let places = Arc::clone(&operators);
            tokio::spawn(accept(
                listener,
                places,
                to_the_end,
                move |stream, permit| {
                    let (router, hosts) = (router.clone(), hosts.clone());
                    tokio::spawn(async move {
                        if let Some(stream) = watched(stream) {
                            let operator = Operator::new(router, &hosts, local(&stream));
                            http::serve_admin(stream, operator, admin_limits, permit).await;
                        }
                    });
                },
            ));
        }
        info!("ready");

        stop.await;
        ready.store(false, Ordering::Relaxed);
        // Callers go elsewhere, answer by answer, before this is closed to them.
        connections.close();
        operators.close();
        info!(
            delay = %humantime::format_duration(config.shutdown.delay),
            "draining"
        );
        sleep(config.shutdown.delay).await;
        let deadline = Instant::now() + config.shutdown.timeout;
        // First of the two, so that whoever sees the listener closed sees no more
        // jobs accepted either.
        batcher.close();
        phase.send_replace(Phase::Draining);
        stop_accepting.send_replace(true);
        let answered = async {
            if timeout_at(deadline, batcher.vacated()).await.is_err() {
                batcher.abandon();
                phase.send_replace(Phase::GivingUp);
                // Everybody has an answer as soon as its task runs.
                let _ = timeout(LAST_WORDS, batcher.vacated()).await;
            }
            // A request that is still coming in is refused when it is there. Whoever
            // neither sends nor reads by then does not hold up the end, nor whoever
            // waits for a place.
            connections.end();
        };
        // The end of `accepting` is the listener's: whoever is in the backlog has
        // been taken.
        let taken = accepting.abort_handle();
        let _ = tokio::join!(answered, timeout_at(deadline, accepting));
        taken.abort();
        let last_words = Instant::now() + LAST_WORDS;
        let _ = timeout_at(deadline.max(last_words), connections.vacated()).await;
        let _ = timeout(LAST_READS, connections.closed()).await;
        // Their threads end here; what is left on one may take a moment to notice.
        drop(workers);
        Report { batcher, observer }
    }
}

/// A connection on the runtime that this is called on. A system that has no means
/// left to watch it loses the connection, not the proxy.
fn watched(stream: std::net::TcpStream) -> Option<TcpStream> {
    static FAILURES: LazyLock<Seldom> = LazyLock::new(Seldom::default);
    match TcpStream::from_std(stream) {
        Ok(stream) => Some(stream),
        Err(error) => {
            if FAILURES.now().is_some() {
                warn!(%error, "can't watch a connection, closing it");
            }
            None
        }
    }
}

/// Where a connection has reached us.
fn local(stream: &TcpStream) -> Option<IpAddr> {
    stream.local_addr().ok().map(|address| address.ip())
}

/// How many jobs were answered, by outcome: what a proxy says last.
#[derive(Debug)]
#[must_use = "its line is to be the log's last"]
pub struct Report {
    batcher: Batcher<Job, JobResult>,
    observer: Arc<Observer>,
}

impl Report {
    /// Logs it. To be called when nothing else is left that might log.
    pub fn log(&self) {
        let Self { batcher, observer } = self;
        observer.tell_rest();
        let metrics = &observer.metrics;
        let counts = batcher.snapshot();
        info!(
            accepted = counts.accepted,
            answered = metrics.total_answered(),
            outcomes = %metrics.outcomes(),
            refused = metrics.total_refused(),
            refusals = %metrics.refusals(),
            cancelled = counts.cancelled_queued + counts.cancelled_in_flight,
            "done"
        );
    }
}

fn threads(config: &Config) -> usize {
    match config.server.threads {
        Threads::Fixed(threads) => threads,
        // Where the system does not tell, one is right for any machine.
        Threads::Auto => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
    }
}

fn server_limits(config: &Config) -> server::Limits {
    server::Limits {
        read_timeout: config.server.read_timeout,
        idle_timeout: config.server.idle_timeout,
        write_timeout: config.server.write_timeout,
        max_body: config.server.max_body,
        max_streams: MAX_STREAMS,
    }
}

/// As callers', but for operators, whose answers are not accounted for.
fn admin_limits(config: &Config) -> server::Limits {
    server::Limits {
        max_streams: OPERATOR_STREAMS,
        ..server_limits(config)
    }
}

fn max_connections(config: &Config) -> usize {
    // Also where callers get a fixed number: the upstream takes some too.
    let files = files::raise_limit();
    match config.server.max_connections {
        MaxConnections::Fixed(connections) => connections,
        MaxConnections::Auto => files::for_callers(files, upstream_settings(config).connections),
    }
}

fn jobs(
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

fn settings(config: &Config) -> Arc<[Setting]> {
    let settings = config.printed().into_iter();
    settings
        .map(|(key, value)| Setting { key, value })
        .collect()
}

fn limits(config: &Config) -> Limits {
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

fn advice_limits(config: &Config) -> advice::Limits {
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

fn policy(config: &Config) -> Policy {
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
        patience: config.upstream.timeout.min(config.server.request_timeout),
        largest: Size {
            jobs: config.batch.max_size,
            bytes: config.batch.max_bytes - encode::BYTES_PER_ARRAY,
        },
        excerpts: config.log.upstream_errors,
    }
}

fn budget(retry: &config::Retry) -> Budget {
    Budget::new(retry.budget, retry.budget_min, Instant::now())
}

fn batcher_settings(config: &Config) -> batcher::Settings {
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

fn upstream_settings(config: &Config) -> upstream::Settings {
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
