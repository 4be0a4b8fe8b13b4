//! The proxy as a whole: bind, then run until told to stop, then drain.
//!
//! [`App::bind`] takes the addresses, so that a second proxy on the same port is
//! an error before anything runs. [`App::run`] has `proxy` answer, hands it
//! connections, and leaves the order of the end to `drain`.
//!
//! | file | what it is |
//! |---|---|
//! | `check` | the files that the settings name, looked at before anything goes by them |
//! | `door` | hands shaken with who connects, where there is a certificate |
//! | `files` | what is read again while the proxy runs |
//! | `process`, `observers` | what lives as long as the process |
//! | `compose`, `route` | a set of routes with all that they take, from the settings |
//! | `proxy` | both, as they serve |
//! | `reload` | the settings loaded again, and another set in the place of the one in force |
//! | `leaving` | what is no longer in force and not through yet |
//! | `store` | the store of jobs for later, opened |
//! | `drain` | the order of the end |
//! | `trial` | the same without a listener |

mod alive;
mod check;
mod compose;
mod described;
mod door;
mod drain;
mod files;
mod leaving;
mod observers;
mod process;
mod proxy;
mod reload;
mod route;
mod store;
mod trial;

use std::io;
use std::sync::Arc;

use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tracing::info;

use crate::address::Address;
use crate::config::{Loaded, Mistakes, Source, keys};
use crate::http::{self, AsksForReload, Reloads};
use crate::later::store::Store;
use crate::notify::Notifier;
use crate::server::connections::Connections;
use crate::server::files::{OPERATORS, raise_limit};
use crate::server::listener::accept;
use crate::server::runtimes::Workers;
use crate::server::socket::{BindError, Socket};
use crate::telemetry::{self, Exporting};
use crate::upstream;
pub use check::check_files;
use compose::Clients;
use door::Doors;
pub use drain::Report;
use drain::{Listeners, drain};
use files::Files;
use proxy::Proxy;
use reload::{Reloader, max_connections};
pub use reload::{reload_at, reload_when_changed};
pub use store::OpenError;
pub use trial::{Trial, TrialError, try_out};

/// Why the proxy can't start.
#[derive(Debug, Error)]
pub enum StartError {
    /// There is nothing to serve.
    #[error("there is no route: set upstream.url, or name a route in [routes.NAME]")]
    NoRoute,
    /// A listener's address can't be taken.
    #[error("{key}: can't listen on {address}: {error}; {}", .error.way_out(key, flag))]
    Listen {
        /// The setting that names it.
        key: &'static str,
        /// The flag that does.
        flag: &'static str,
        /// The address.
        address: Address,
        /// The system's reason.
        error: BindError,
    },
    /// Files that the settings name do not do.
    #[error(transparent)]
    Files(#[from] Mistakes),
    /// The store of answers fetched later can't be had.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// A thread to serve callers can't be had.
    #[error("server.threads: the system gives no thread for each; ask for fewer: {0}")]
    Threads(io::Error),
    /// Spans can't be sent.
    #[error(transparent)]
    Spans(#[from] telemetry::StartError),
    /// The HTTP client can't be set up.
    #[error("upstream: the HTTP client can't be set up: {0}")]
    Client(#[from] upstream::SetupError),
}

/// A proxy whose listeners are bound.
#[derive(Debug)]
pub struct App {
    jobs_listener: Socket,
    admin_listener: Option<Socket>,
    workers: Workers,
    clients: Clients,
    doors: Doors,
    store: Option<Arc<dyn Store>>,
    exporting: Option<Exporting>,
    loaded: Loaded,
    source: Source,
    reloads: Reloads,
    asked: mpsc::Receiver<AsksForReload>,
}

async fn listen(key: &'static str, address: &Address, mode: u32) -> Result<Socket, StartError> {
    let flag = keys().iter().find(|it| it.key == key);
    let bound = Socket::bind(address, mode).await;
    bound.map_err(|error| StartError::Listen {
        key,
        flag: flag.and_then(|it| it.flag).unwrap_or(key),
        address: address.clone(),
        error,
    })
}

impl App {
    /// Binds the listeners, opens the store of answers fetched later, and prepares the
    /// upstreams' clients. At a reload the settings come from `source` again.
    ///
    /// # Errors
    /// [`StartError`]; nothing is bound then.
    pub async fn bind(loaded: Loaded, source: Source) -> Result<Self, StartError> {
        let settings = &loaded.settings;
        if settings.routes.is_empty() {
            return Err(StartError::NoRoute);
        }
        check_files(settings)?;
        let clients = Clients::new(settings)?;
        let doors = Doors::open(settings)?;
        let jobs_listener = listen("server.listen", &settings.listen, settings.socket_mode).await?;
        let admin_listener = match &settings.admin {
            Some(admin) => Some(listen("admin.listen", &admin.listen, admin.socket_mode).await?),
            None => None,
        };
        // After the listeners, so that a second process of the same settings hears of its port.
        let store = match &settings.later {
            Some(later) => Some(store::open(later.clone()).await?),
            None => None,
        };
        let workers = Workers::start(settings.threads).map_err(StartError::Threads)?;
        let exporting = settings.spans.clone().map(Exporting::start).transpose()?;
        let (reloads, asked) = Reloads::new();
        Ok(Self {
            jobs_listener,
            admin_listener,
            workers,
            clients,
            doors,
            store,
            exporting,
            loaded,
            source,
            reloads,
            asked,
        })
    }

    /// Where a reload is asked for.
    pub fn reloads(&self) -> Reloads {
        self.reloads.clone()
    }

    /// Where jobs come in.
    ///
    /// # Errors
    /// The system's, if it can't tell.
    pub fn jobs_address(&self) -> io::Result<Address> {
        self.jobs_listener.address()
    }

    /// Where operators come in, unless that is off.
    ///
    /// # Errors
    /// The system's, if it can't tell.
    pub fn admin_address(&self) -> io::Result<Option<Address>> {
        self.admin_listener
            .as_ref()
            .map(Socket::address)
            .transpose()
    }

    /// Where it is, for whoever looks at it as a service.
    fn status(&self) -> String {
        let told = |address: io::Result<Address>| {
            address.map_or_else(|_| "somewhere".to_owned(), |it| it.to_string())
        };
        let jobs = format!("jobs on {}", told(self.jobs_address()));
        match self.admin_address().transpose() {
            Some(admin) => format!("{jobs}, administration on {}", told(admin)),
            None => jobs,
        }
    }

    /// Serves until `stop` resolves, then drains and returns.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Report {
        let notifier = Notifier::of_environment();
        let status = self.status();
        let Self {
            jobs_listener,
            admin_listener,
            workers,
            clients,
            doors,
            store,
            exporting,
            loaded,
            source,
            reloads,
            asked,
        } = self;
        let settings = loaded.settings.clone();
        let workers = Arc::new(workers);
        // Also where callers get a fixed number: the upstream takes some too.
        let open_files = raise_limit();
        let callers = Connections::new(max_connections(&settings, open_files));
        let files = Arc::new(Files::default());
        clients.watched_by(&files);
        doors.watched_by(&files);
        let spans = exporting.as_ref().map(Exporting::spans).unwrap_or_default();
        let workers_too = Arc::clone(&workers);
        let proxy = Proxy::new(settings, clients, doors, store, spans, workers_too, reloads);
        let proxy = Arc::new(proxy);
        // To the very end, as what goes by them.
        let (looking, process) = (Arc::clone(&files), Arc::clone(&proxy));
        tokio::spawn(async move { looking.look_on(process.process.observer.process()).await });
        let reloader = Reloader {
            source,
            proxy: Arc::clone(&proxy),
            files,
            callers: Arc::clone(&callers),
            open_files,
            notifier: notifier.clone(),
            status: status.clone(),
        };
        let (stop_accepting, stopped) = watch::channel(false);
        let (made, runtimes) = (Arc::clone(&proxy), Arc::clone(&workers));
        let places = Arc::clone(&callers);
        let accepting = accept(jobs_listener, places, stopped, move |accepted, permit| {
            let proxy = Arc::clone(&made);
            runtimes.spawn(async move |worker| {
                let Some((stream, reached)) = accepted.open() else {
                    return;
                };
                let (caller, limits) = (|| proxy.caller(worker, reached), proxy.callers_limits());
                match proxy.callers_door() {
                    None => http::serve_jobs(stream, caller(), limits, permit).await,
                    Some(door) => {
                        // On the heap: no task of a plain connection is the larger for it.
                        Box::pin(async {
                            let mut permit = permit;
                            if let Some(stream) = door.shake(stream, limits, &mut permit).await {
                                http::serve_jobs(stream, caller(), limits, permit).await;
                            }
                        })
                        .await;
                    }
                }
            });
        });
        let accepting = tokio::spawn(accepting);
        let operators = Connections::new(OPERATORS);
        // To the very end: the admin listener goes with the process.
        let (_never, to_the_end) = watch::channel(false);
        if let Some(listener) = admin_listener {
            let places = Arc::clone(&operators);
            let made = Arc::clone(&proxy);
            let serving = accept(listener, places, to_the_end, move |accepted, permit| {
                let proxy = Arc::clone(&made);
                tokio::spawn(async move {
                    let Some((stream, reached)) = accepted.open() else {
                        return;
                    };
                    let limits = proxy.operators_limits();
                    let Some(operator) = proxy.operator(reached) else {
                        return;
                    };
                    match proxy.operators_door() {
                        None => http::serve_admin(stream, operator, limits, permit).await,
                        Some(door) => {
                            let mut permit = permit;
                            if let Some(stream) = door.shake(stream, limits, &mut permit).await {
                                http::serve_admin(stream, operator, limits, permit).await;
                            }
                        }
                    }
                });
            });
            tokio::spawn(serving);
        }
        info!("ready");
        notifier.ready(status);
        // A reload that was asked for before is told after that.
        let reloading = tokio::spawn(reloader.run(loaded, asked));
        let alive = alive::prove(&notifier, &workers);

        stop.await;
        let listeners = Listeners {
            callers,
            operators,
            accepting,
            stop_accepting,
        };
        notifier.stopping(drain::longest(&proxy.shutdown())).await;
        let report = drain(&proxy, listeners).await;
        reloading.abort();
        if let Some(alive) = alive {
            // It has the workers, too.
            alive.abort();
            let _ = alive.await;
        }
        // Their threads end here; what is left on one may take a moment to notice.
        drop(workers);
        if let Some(exporting) = exporting {
            exporting.flush().await;
        }
        report
    }
}
