//! The store in Redis, or Valkey: replicas share records and backlog, and find each other's
//! answers.
//!
//! ```text
//! steps ──▶ scripts ──▶ session ──▶ Redis ──news──▶ views of all replicas
//! ```
//!
//! Whatever decides is a script, which Redis runs at one moment for all. A script tells what
//! has become of the routes that it changed, in its answer and by `PUBLISH`: so what waits
//! and what is counted is known here without asking, nobody polls, and an empty backlog
//! costs Redis nothing.
//!
//! A claim has a token. It is compared when a job is sent again, held on to, given back or
//! finished: what another process has claimed since is left alone.
//!
//! | file | what it is |
//! |---|---|
//! | `error` | why a Redis can't be the store, and what an answer of it means |
//! | `target`, `checks`, `session`, `link` | where it is, whether it may be the store, a connection, and the way to it |
//! | `script`, `scripts/` | the scripts |
//! | `message`, `reply` | what they tell and answer |
//! | `views`, `held` | what is known here of routes, and of claimed jobs |
//! | `core`, `records`, `claims` | the steps |

mod checks;
mod claims;
mod core;
mod error;
mod held;
mod link;
mod message;
mod records;
mod reply;
mod script;
mod session;
mod target;
#[cfg(test)]
mod tests;
mod views;

use std::fmt;
use std::future::ready;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::runtime::Handle as Runtime;
use tokio::task::JoinSet;

use self::claims::Hold;
use self::core::{Bounds, Claims, Core, Late, Time};
use self::held::Held;
use self::link::Link;
use self::message::Message;
use self::session::Opening;
use self::target::Target;
use self::views::Views;
use super::answer::Answer;
use super::backlog::{Backlog, Claim, Claimed, News, Waiting};
use super::clock;
use super::record::{Millis, NewRecord, Record, StreamName};
use super::settings::Settings;
use super::step::{Pending, StoreError};
use super::store::{Accepted, Expired, Look, Page, Position, Refused, Store};
use crate::job::{Handle, RouteName, State};
use crate::observe::CountsByRoute;

pub use self::error::OpenError;

/// Where the records are, and how they are shared.
#[derive(Clone)]
pub struct Options {
    /// `redis://`, `rediss://`, or `unix://` and `redis+unix://` with the path of a socket.
    pub url: String,
    /// What keys begin with: it tells several proxies on one Redis apart.
    pub prefix: String,
    /// How long a claimed job is this process's without a word from it.
    pub lease: Duration,
    /// The longest that a step may take.
    pub timeout: Duration,
    /// The longest that a claimed job may take once it is sent.
    pub upstream_timeout: Duration,
    /// The certificates that are trusted, in PEM, rather than the system's.
    pub ca: Option<PathBuf>,
    /// Whether a server is taken that may lose what it has accepted.
    pub allow_volatile: bool,
}

impl fmt::Debug for Options {
    /// The URL may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// Records in Redis.
pub struct Redis {
    core: Arc<Core>,
    /// Where steps run, whoever asks for them: one that has begun ends, awaited or not.
    runtime: Runtime,
    /// They end with this.
    _tasks: JoinSet<()>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}

impl Redis {
    /// Connects to a Redis that may be the store.
    ///
    /// # Errors
    /// Where it may not, or is not to be reached.
    pub async fn connect(options: Options, settings: &Settings) -> Result<Self, OpenError> {
        Self::connect_by(Time::SERVERS, options, settings).await
    }

    async fn connect_by(
        time: Time,
        options: Options,
        settings: &Settings,
    ) -> Result<Self, OpenError> {
        let me = format!("{:016x}", fastrand::u64(..));
        let views = Arc::new(Views::new(me.clone(), time.goes_on()));
        let held = Arc::new(Held::default());
        let (heard, lost) = (Arc::clone(&views), Arc::clone(&held));
        let opening = Opening {
            target: Target::new(&options.url, options.ca.as_deref())?,
            prefix: options.prefix,
            timeout: options.timeout,
            me: me.clone(),
            listener: Arc::new(move |message: Message| {
                lost.gone(&message.deleted);
                heard.heard(message);
            }),
        };
        let now = clock::now();
        let (told, lasting) = ((time.told)(now), !options.allow_volatile);
        let (session, message) = opening.open(&told, lasting).await?;
        views.began(message, (time.compared)(clock::now()));
        let core = Arc::new(Core {
            link: Link::new(opening, &session),
            views,
            held,
            me,
            time,
            set: RwLock::new(Bounds::new(
                settings,
                clock::millis(options.lease),
                options.upstream_timeout,
            )),
            claims: Claims::default(),
            late: Late::default(),
        });
        core.bounds().warn();
        let mut tasks = JoinSet::new();
        let keeping = Arc::clone(&core);
        tasks.spawn(async move {
            let time = || (keeping.time.told)(clock::now());
            let begins = || keeping.views.begins();
            let began = |message| {
                let now = (keeping.time.compared)(clock::now());
                keeping.views.began(message, now);
            };
            keeping.link.keep(session, time, begins, began).await;
        });
        if time.goes_on() {
            let renewing = Arc::clone(&core);
            tasks.spawn(async move { renewing.renew().await });
        }
        Ok(Self {
            core,
            runtime: Runtime::current(),
            _tasks: tasks,
        })
    }

    /// Takes a step, at the time that it is here.
    fn step<T, F>(
        &self,
        step: impl FnOnce(Arc<Core>, Millis) -> F,
    ) -> Pending<'static, Result<T, StoreError>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let taken = step(Arc::clone(&self.core), clock::now());
        let taken = self.runtime.spawn(taken);
        // It ends without an answer where the process does.
        Box::pin(async { taken.await.unwrap_or(Err(StoreError::Unanswered)) })
    }
}

impl Store for Redis {
    fn accept(&self, records: Vec<NewRecord>) -> Pending<'_, Vec<Result<Accepted, Refused>>> {
        let many = records.len();
        let accepted = self.step(async |core, now| Ok(core.accept(records, now).await));
        Box::pin(async move {
            let unanswered = |error| vec![Err(Refused::Store(error)); many];
            accepted.await.unwrap_or_else(unanswered)
        })
    }

    fn sent(&self, handles: Vec<Handle>) -> Pending<'_, Result<Vec<Handle>, StoreError>> {
        let longest = self.core.bounds().upstream_timeout;
        let until = clock::now().saturating_add(longest);
        let mut known = self.core.held.send(&handles, until);
        if known.doubtful.is_empty() {
            return Box::pin(ready(Ok(known.gone)));
        }
        self.step(async move |core, now| {
            let gone = core.hold(Hold::Sent, &known.doubtful, now).await?;
            known.gone.extend(gone);
            Ok(known.gone)
        })
    }

    fn queued_again(&self, handles: Vec<Handle>) -> Pending<'_, Result<(), StoreError>> {
        self.core.held.pause(&handles);
        self.step(async move |core, now| {
            core.hold(Hold::Pause, &handles, now).await?;
            Ok(())
        })
    }

    fn finish(
        &self,
        answers: Vec<(Handle, Answer)>,
    ) -> Pending<'_, Result<Vec<StreamName>, StoreError>> {
        self.step(async |core, now| core.finish(answers, now).await)
    }

    fn fetch(&self, handle: Handle, look: Look) -> Pending<'_, Result<Option<Record>, StoreError>> {
        self.step(async move |core, now| core.fetch(handle, look, now).await)
    }

    fn delete(&self, handle: Handle) -> Pending<'_, Result<Option<State>, StoreError>> {
        self.step(async move |core, now| core.delete(handle, now).await)
    }

    /// By Redis' clock, whatever the time is here.
    fn expire(&self, _now: Millis) -> Pending<'_, Result<Expired, StoreError>> {
        self.step(async |core, now| core.expire(now).await)
    }

    fn read_stream(
        &self,
        stream: &StreamName,
        after: Option<Position>,
        limit: usize,
    ) -> Pending<'_, Result<Page, StoreError>> {
        let stream = stream.clone();
        self.step(async move |core, now| core.read_stream(stream, after, limit, now).await)
    }

    fn set(&self, settings: &Settings, longest_call: Duration) {
        let before = self.core.bounds().upstream_timeout;
        self.core.set(settings, longest_call);
        let bounds = self.core.bounds();
        if bounds.upstream_timeout != before {
            bounds.warn();
        }
    }

    fn counts(&self) -> CountsByRoute {
        self.core.views.counts(clock::now())
    }

    fn fenced(&self) -> Vec<(RouteName, usize)> {
        self.core.late.take()
    }

    fn backlog(&self) -> Option<&dyn Backlog> {
        Some(self)
    }
}

impl Backlog for Redis {
    fn claim(&self, claim: Claim) -> Pending<'_, Result<Vec<Claimed>, StoreError>> {
        self.step(async |core, now| core.claim(claim, now).await)
    }

    fn release(&self, handles: Vec<Handle>) -> Pending<'_, Result<(), StoreError>> {
        self.step(async |core, now| core.release(handles, now).await)
    }

    fn waiting(&self, route: &RouteName) -> Waiting {
        self.core.views.waiting(route)
    }

    fn routes(&self) -> Vec<RouteName> {
        self.core.views.routes()
    }

    fn news(&self) -> Pending<'_, News> {
        Box::pin(self.core.views.news())
    }
}
