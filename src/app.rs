//! The proxy as a whole: bind, then run until told to stop, then drain.
//!
//! [`App::bind`] takes the addresses, so that a second proxy on the same port is
//! an error before anything runs. [`App::run`] owns the order of the end:
//! not ready, delay, no new jobs, no new connections, drain, give up, done.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{info, warn};

use crate::batcher::Batcher;
use crate::config::{Settings, keys};
use crate::engine::outcome::JobResult;
use crate::engine::{Phase, Processor};
use crate::http::{self, Admin, Buffered, Caller, Jobs, JobsInner, Operator};
use crate::job::Job;
use crate::observe::Observer;
use crate::resilience::budget::Budget;
use crate::resilience::circuit::Circuit;
use crate::server::connections::Connections;
use crate::server::files;
use crate::server::listener::{BindError, accept, bind};
use crate::telemetry::{self, Seldom};
use crate::upstream::{self, Upstream};
use crate::workers::Workers;

/// The time for answers to be written once the last job is answered, and for
/// members to be answered once they are given up.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The time after that for callers to have read what they were told.
const LAST_READS: Duration = Duration::from_millis(400);

/// Why the proxy can't start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A listener's address can't be taken.
    #[error("{key}: can't listen on {address}: {error}; {}", .error.way_out(key, flag))]
    Listen {
        /// The setting that names it.
        key: &'static str,
        /// The flag that does.
        flag: &'static str,
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
    settings: Settings,
}

async fn listen(key: &'static str, address: &str) -> Result<TcpListener, StartError> {
    let flag = keys().iter().find(|it| it.key == key);
    bind(address).await.map_err(|error| StartError::Listen {
        key,
        flag: flag.and_then(|it| it.flag).unwrap_or(key),
        address: address.to_owned(),
        error,
    })
}

impl App {
    /// Binds the listeners and prepares the upstream's client.
    ///
    /// # Errors
    /// [`StartError`]; nothing is bound then.
    pub async fn bind(settings: Settings) -> Result<Self, StartError> {
        let upstream = Upstream::new(settings.route.upstream.clone())?;
        let jobs_listener = listen("server.listen", &settings.listen).await?;
        let admin_listener = match &settings.admin {
            Some(admin) => Some(listen("admin.listen", &admin.listen).await?),
            None => None,
        };
        let workers = Workers::start(settings.threads).map_err(StartError::Threads)?;
        Ok(Self {
            jobs_listener,
            admin_listener,
            workers,
            upstream,
            settings,
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
            settings,
        } = self;
        let Settings { jobs, route, .. } = settings;
        let observer = Observer::new(route.bounds).with_log(telemetry::lines_dropped);
        let observer = Arc::new(observer);
        let (phase, current) = watch::channel(Phase::Running);
        let circuit = Circuit::new(route.circuit_failures, route.circuit_open_for);
        let circuit = Arc::new(circuit);
        let processor = Processor::new(
            upstream,
            route.policy,
            Budget::new(route.budget, route.budget_min, Instant::now()),
            Arc::clone(&circuit),
            current.clone(),
            Arc::clone(&observer),
        );
        let processor = Arc::new(match route.adaptive {
            false => processor,
            true => processor.adaptive(),
        });
        let batcher = Batcher::new(route.batcher, move |batch| {
            let processor = Arc::clone(&processor);
            processor.process(batch)
        });
        let workers = Arc::new(workers);
        let ready = Arc::new(AtomicBool::new(true));
        // Also where callers get a fixed number: the upstream takes some too.
        let files = files::raise_limit();
        let for_callers = || files::for_callers(files, route.upstream.connections);
        let connections = settings.max_connections.unwrap_or_else(for_callers);
        let connections = Connections::new(connections);
        let buffered = Buffered::new(jobs.max_buffered, jobs.max_body);
        let jobs = Jobs::from(JobsInner {
            batcher: batcher.clone(),
            observer: Arc::clone(&observer),
            hosts: jobs.hosts,
            buffered: Arc::clone(&buffered),
            max_body: jobs.max_body,
            max_depth: jobs.max_depth,
            request_timeout: jobs.request_timeout,
            read_timeout: jobs.read_timeout,
            timing: jobs.timing,
            idempotent: jobs.idempotent,
            phase: current,
            circuit: Arc::clone(&circuit),
            job_error_status: jobs.error_status,
        });
        let router = http::jobs_router(jobs.clone());
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
                    http::serve_jobs(stream, caller, settings.callers, permit).await;
                }
            });
        });
        let accepting = tokio::spawn(accepting);
        let operators = Connections::new(files::OPERATORS);
        // To the very end: the admin listener goes with the process.
        let (_never, to_the_end) = watch::channel(false);
        if let Some((listener, admin)) = admin_listener.zip(settings.admin) {
            let router = http::admin_router(Admin {
                batcher: batcher.clone(),
                ready: Arc::clone(&ready),
                config: admin.toml,
                settings: admin.settings,
                limits: admin.limits,
                advice: admin.advice,
                observer: Arc::clone(&observer),
                circuit: Arc::clone(&circuit),
                buffered,
            });
            let places = Arc::clone(&operators);
            tokio::spawn(accept(
                listener,
                places,
                to_the_end,
                move |stream, permit| {
                    let (router, hosts) = (router.clone(), admin.hosts.clone());
                    tokio::spawn(async move {
                        if let Some(stream) = watched(stream) {
                            let operator = Operator::new(router, &hosts, local(&stream));
                            http::serve_admin(stream, operator, settings.operators, permit).await;
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
            delay = %humantime::format_duration(settings.shutdown.delay),
            "draining"
        );
        sleep(settings.shutdown.delay).await;
        let deadline = Instant::now() + settings.shutdown.timeout;
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
