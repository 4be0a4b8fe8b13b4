//! The proxy as a whole: bind, then run until told to stop, then drain.
//!
//! [`App::bind`] takes the addresses, so that a second proxy on the same port is
//! an error before anything runs. [`App::run`] has `proxy` answer, hands it
//! connections, and leaves the order of the end to `drain`.
//!
//! | file | what it is |
//! |---|---|
//! | `process`, `observers` | what lives as long as the process |
//! | `compose`, `route` | a set of routes with all that they take, from the settings |
//! | `proxy` | both, as they serve |
//! | `reload` | the settings loaded again, and another set in the place of the one in force |
//! | `leaving` | what is no longer in force and not through yet |
//! | `store` | the store of jobs for later, opened |
//! | `drain` | the order of the end |
//! | `trial` | the same without a listener |

mod compose;
mod drain;
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
use tokio::sync::mpsc;
use tracing::info;

use crate::address::Address;
use crate::config::{Loaded, Source, keys};
use crate::http::{self, AsksForReload, Reloads};
use crate::later::store::Store;
use crate::server::connections::Connections;
use crate::server::files;
use crate::server::listener::accept;
use crate::server::runtimes::Workers;
use crate::server::socket::{BindError, Socket};
use crate::upstream;
use compose::Clients;
pub use drain::Report;
use drain::{Listeners, drain};
use proxy::Proxy;
use reload::Reloader;
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
    /// The store of answers fetched later can't be had.
    #[error(transparent)]
    Store(#[from] OpenError),
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
    jobs_listener: Socket,
    admin_listener: Option<Socket>,
    workers: Workers,
    clients: Clients,
    store: Option<Arc<dyn Store>>,
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
        let clients = Clients::new(settings)?;
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
        let (reloads, asked) = Reloads::new();
        Ok(Self {
            jobs_listener,
            admin_listener,
            workers,
            clients,
            store,
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

    /// Serves until `stop` resolves, then drains and returns.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Report {
        let Self {
            jobs_listener,
            admin_listener,
            workers,
            clients,
            store,
            loaded,
            source,
            reloads,
            asked,
        } = self;
        let settings = loaded.settings.clone();
        let workers = Arc::new(workers);
        // Also where callers get a fixed number: the upstream takes some too.
        let files = files::raise_limit();
        let for_callers = || files::for_callers(files, settings.slots(), settings.alone());
        let max_connections = settings.max_connections.unwrap_or_else(for_callers);
        let proxy = Proxy::new(settings, clients, store, Arc::clone(&workers), reloads);
        let proxy = Arc::new(proxy);
        let reloader = Reloader {
            source,
            loaded: Arc::new(loaded),
            proxy: Arc::clone(&proxy),
        };
        let reloading = tokio::spawn(reloader.run(asked));
        let (stop_accepting, stopped) = tokio::sync::watch::channel(false);
        let callers = Connections::new(max_connections);
        let (made, runtimes) = (Arc::clone(&proxy), Arc::clone(&workers));
        let places = Arc::clone(&callers);
        let accepting = accept(jobs_listener, places, stopped, move |accepted, permit| {
            let proxy = Arc::clone(&made);
            runtimes.spawn(async move |worker| {
                if let Some((stream, reached)) = accepted.open() {
                    let caller = proxy.caller(worker, reached);
                    http::serve_jobs(stream, caller, proxy.callers_limits(), permit).await;
                }
            });
        });
        let accepting = tokio::spawn(accepting);
        let operators = Connections::new(files::OPERATORS);
        // To the very end: the admin listener goes with the process.
        let (_never, to_the_end) = tokio::sync::watch::channel(false);
        if let Some(listener) = admin_listener {
            let places = Arc::clone(&operators);
            let made = Arc::clone(&proxy);
            let serving = accept(listener, places, to_the_end, move |accepted, permit| {
                let proxy = Arc::clone(&made);
                tokio::spawn(async move {
                    if let Some((stream, reached)) = accepted.open()
                        && let Some(operator) = proxy.operator(reached)
                    {
                        let limits = proxy.operators_limits();
                        http::serve_admin(stream, operator, limits, permit).await;
                    }
                });
            });
            tokio::spawn(serving);
        }
        info!("ready");

        stop.await;
        let listeners = Listeners {
            callers,
            operators,
            accepting,
            stop_accepting,
        };
        let report = drain(&proxy, listeners).await;
        reloading.abort();
        // Their threads end here; what is left on one may take a moment to notice.
        drop(workers);
        report
    }
}
