//! The proxy as a whole: bind, then run until told to stop, then drain.
//!
//! [`App::bind`] takes the addresses, so that a second proxy on the same port is
//! an error before anything runs. [`App::run`] has `compose` make what answers, hands
//! it connections, and leaves the order of the end to `drain`.

mod alive;
mod compose;
mod drain;
mod route;
mod store;
mod trial;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::info;

use crate::config::{Settings, keys};
use crate::http;
use crate::later::store::Store;
use crate::notify::Notifier;
use crate::server::connections::Connections;
use crate::server::files;
use crate::server::listener::accept;
use crate::server::runtimes::Workers;
use crate::server::tcp::{self, BindError, bind};
use crate::upstream;
use compose::{Clients, Proxy};
pub use drain::Report;
use drain::{Listeners, drain};
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
        address: String,
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
    jobs_listener: TcpListener,
    admin_listener: Option<TcpListener>,
    workers: Workers,
    clients: Clients,
    store: Option<Arc<dyn Store>>,
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
    /// Binds the listeners, opens the store of answers fetched later, and prepares the
    /// upstreams' clients.
    ///
    /// # Errors
    /// [`StartError`]; nothing is bound then.
    pub async fn bind(settings: Settings) -> Result<Self, StartError> {
        if settings.routes.is_empty() {
            return Err(StartError::NoRoute);
        }
        let clients = Clients::new(&settings)?;
        let jobs_listener = listen("server.listen", &settings.listen).await?;
        let admin_listener = match &settings.admin {
            Some(admin) => Some(listen("admin.listen", &admin.listen).await?),
            None => None,
        };
        // After the listeners, so that a second process of the same settings hears of its port.
        let store = match &settings.later {
            Some(later) => Some(store::open(later.clone()).await?),
            None => None,
        };
        let workers = Workers::start(settings.threads).map_err(StartError::Threads)?;
        Ok(Self {
            jobs_listener,
            admin_listener,
            workers,
            clients,
            store,
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

    /// Where it is, for whoever looks at it as a service.
    fn status(&self) -> String {
        let told = |address: io::Result<SocketAddr>| {
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
            store,
            settings,
        } = self;
        let workers = Arc::new(workers);
        // Also where callers get a fixed number: the upstream takes some too.
        let files = files::raise_limit();
        let for_callers = || files::for_callers(files, settings.slots(), settings.alone());
        let max_connections = settings.max_connections.unwrap_or_else(for_callers);
        let (shutdown, limits) = (settings.shutdown, settings.callers);
        let operators_limits = settings.operators;
        let proxy = Arc::new(Proxy::new(settings, clients, store, &workers));
        let (stop_accepting, stopped) = watch::channel(false);
        let callers = Connections::new(max_connections);
        let (made, runtimes) = (Arc::clone(&proxy), Arc::clone(&workers));
        let places = Arc::clone(&callers);
        let accepting = accept(jobs_listener, places, stopped, move |stream, permit| {
            let proxy = Arc::clone(&made);
            runtimes.spawn(async move |worker| {
                if let Some((stream, local)) = tcp::open(stream) {
                    let caller = proxy.caller(worker, local);
                    http::serve_jobs(stream, caller, limits, permit).await;
                }
            });
        });
        let accepting = tokio::spawn(accepting);
        let operators = Connections::new(files::OPERATORS);
        // To the very end: the admin listener goes with the process.
        let (_never, to_the_end) = watch::channel(false);
        if let Some((listener, answers)) = admin_listener.zip(proxy.operators.clone()) {
            let places = Arc::clone(&operators);
            let serving = accept(listener, places, to_the_end, move |stream, permit| {
                let answers = answers.clone();
                tokio::spawn(async move {
                    if let Some((stream, local)) = tcp::open(stream) {
                        let operator = answers.operator(local);
                        http::serve_admin(stream, operator, operators_limits, permit).await;
                    }
                });
            });
            tokio::spawn(serving);
        }
        info!("ready");
        notifier.ready(status);
        let alive = alive::prove(&notifier, &workers);

        stop.await;
        let listeners = Listeners {
            callers,
            operators,
            accepting,
            stop_accepting,
        };
        notifier.stopping(drain::longest(&shutdown)).await;
        let report = drain(&proxy, listeners, shutdown.delay, shutdown.timeout).await;
        if let Some(alive) = alive {
            // It has the workers, too.
            alive.abort();
            let _ = alive.await;
        }
        // Their threads end here; what is left on one may take a moment to notice.
        drop(workers);
        report
    }
}
