//! The settings loaded again: whoever asks for it, one after the other.
//!
//! The whole must be sound, or nothing changes and every mistake is told. What can't change
//! while the process runs stays as it is, and is told. What reads files or sets up clients
//! does so where it holds up nobody.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::sync::mpsc;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::check::check_files;
use super::compose::Clients;
use super::files::Files;
use super::proxy::Proxy;
use crate::config::{Change, Changes, Loaded, Mistakes, Settings, Source};
use crate::http::{AsksForReload, NotReloaded, Reloads};
use crate::notify::Notifier;
use crate::observe::{ProcessEvent, Reloaded};
use crate::reread::{Again as _, Looked, Reread};
use crate::server::connections::Connections;
use crate::server::files::for_callers;
use crate::telemetry;

/// What is said where the routes of former settings are still busy.
const TOO_MANY: &str = "too many routes of former settings still have jobs, or callers who have \
                        not asked for anything since: wait for them, or restart";

/// How often a file is looked at that is watched.
const LOOKS: Duration = Duration::from_secs(1);

/// Who loads the settings again.
pub(super) struct Reloader {
    pub source: Source,
    pub proxy: Arc<Proxy>,
    /// What is looked at again as well.
    pub files: Arc<Files>,
    /// The connections of callers.
    pub callers: Arc<Connections>,
    /// How many files the process may have open.
    pub open_files: usize,
    /// Whoever looks after the service is told, and shown this.
    pub notifier: Notifier,
    pub status: String,
}

impl Reloader {
    /// Does as it is asked, until nobody is left who may ask. `loaded` is in force.
    pub async fn run(self, loaded: Loaded, mut asked: mpsc::Receiver<AsksForReload>) {
        let (this, mut loaded) = (Arc::new(self), Arc::new(loaded));
        while let Some(asks) = asked.recv().await {
            let reloading = Arc::clone(&this).reload(Arc::clone(&loaded));
            // In a task, so that one that panics is not the last.
            let told = match tokio::spawn(reloading).await {
                Ok(Ok((told, now))) => {
                    loaded = now;
                    Ok(told)
                }
                Ok(Err(not)) => Err(not),
                Err(error) => Err(failed(&error)),
            };
            // Who has left meanwhile finds it in the log.
            let _ = asks.send(told);
        }
    }

    /// What has changed, for whoever asked, and what is in force from here on.
    async fn reload(
        self: Arc<Self>,
        before: Arc<Loaded>,
    ) -> Result<(String, Arc<Loaded>), NotReloaded> {
        if self.proxy.is_ending() {
            info!("nothing is reloaded: the process ends");
            return Err(NotReloaded::Ending);
        }
        let process = Arc::clone(self.proxy.process.observer.process());
        self.notifier.reloading();
        // Whatever the settings are, and before it is answered.
        self.files.look(&process).await;
        let loaded = self.load(before).await;
        // For what has just been opened to be counted, too.
        self.files.again();
        if !matches!(loaded, Err(NotReloaded::Ending)) {
            self.notifier.ready(self.status.clone());
        }
        match loaded {
            Ok((changes, loaded)) => {
                process.tell(ProcessEvent::ConfigReloaded(Reloaded::Ok));
                // A struct of strings always serializes.
                let told = serde_json::to_string(&changes).unwrap_or_default() + "\n";
                Ok((told, loaded))
            }
            Err(NotReloaded::Mistakes(mistakes)) => {
                process.tell(ProcessEvent::ConfigReloaded(Reloaded::Failed));
                let told = mistakes.join("; ");
                warn!(
                    mistakes = told,
                    "settings not reloaded, nothing has changed"
                );
                Err(NotReloaded::Mistakes(mistakes))
            }
            Err(ending) => Err(ending),
        }
    }

    async fn load(&self, before: Arc<Loaded>) -> Result<(Changes, Arc<Loaded>), NotReloaded> {
        let source = self.source.clone();
        let doors = self.proxy.doors();
        let loading = spawn_blocking(move || {
            let (loaded, changes) = source.load()?.following(&before)?;
            check_files(&loaded.settings)?;
            let clients = Clients::differing(&loaded.settings, &changes);
            let clients = clients.map_err(|error| {
                NotReloaded::Mistakes(vec![format!(
                    "upstream: the HTTP client can't be set up: {error}"
                )])
            })?;
            let doors = doors.followed_by(&loaded.settings)?;
            Ok::<_, NotReloaded>((loaded, changes, clients, doors))
        });
        let (loaded, changes, clients, doors) = loading.await.map_err(|error| failed(&error))??;
        for warning in &loaded.warnings {
            warn!("{warning}");
        }
        clients.watched_by(&self.files);
        doors.watched_by(&self.files);
        if !changes.is_none() {
            if !self.proxy.process.leaving.has_room() {
                return Err(NotReloaded::Mistakes(vec![TOO_MANY.to_owned()]));
            }
            let settings = loaded.settings.clone();
            if !self.proxy.swap(settings, clients, doors) {
                return Err(NotReloaded::Ending);
            }
            let settings = &loaded.settings;
            let most = max_connections(settings, self.open_files);
            self.callers.set_most(most);
            telemetry::set(&settings.log);
        }
        log(&changes);
        Ok((changes, Arc::new(loaded)))
    }
}

/// What panicked has told the log where.
fn failed(error: &JoinError) -> NotReloaded {
    let what = format!("loading the settings failed, which is a mistake of the proxy: {error}");
    NotReloaded::Mistakes(vec![what])
}

impl From<Mistakes> for NotReloaded {
    fn from(all: Mistakes) -> Self {
        Self::Mistakes(all.iter().map(|mistake| mistake.to_string()).collect())
    }
}

/// How many connections callers may have where the process may have so many files.
pub(super) fn max_connections(settings: &Settings, files: usize) -> usize {
    let for_callers = || for_callers(files, settings.slots(), settings.alone());
    settings.max_connections.unwrap_or_else(for_callers)
}

fn log(changes: &Changes) {
    let keys = |all: &[Change]| {
        let keys: Vec<_> = all.iter().map(|it| it.key.as_str()).collect();
        keys.join(", ")
    };
    let some = |all: &[String]| (!all.is_empty()).then(|| all.join(", "));
    match changes.is_none() {
        true => info!("settings reloaded: nothing in force has changed"),
        false => info!(
            settings = keys(&changes.applied),
            added = some(&changes.routes.added),
            changed = some(&changes.routes.changed),
            removed = some(&changes.routes.removed),
            "settings reloaded"
        ),
    }
    if !changes.needs_restart.is_empty() {
        let settings = keys(&changes.needs_restart);
        warn!(settings, "these need a restart, and stay as they are");
    }
}

/// Has the settings loaded again at each of these signals.
pub async fn reload_at(mut signals: Signal, reloads: Reloads) {
    while signals.recv().await.is_some() {
        info!("SIGHUP: the settings are loaded again");
        // What came of it stands in the log.
        let _ = reloads.reload().await;
    }
}

/// Has the settings loaded again when the contents of their file change. One that does not do
/// tells its mistakes once, and is tried again when it changes.
pub fn reload_when_changed(file: PathBuf, reloads: Reloads) -> impl Future<Output = ()> {
    // Before this is polled, so that no change is missed from the moment on that the process is
    // ready. What it says is read where settings are.
    let watched = Reread::open("settings", vec![file], |_| Ok(()));
    async move {
        let watched = match watched {
            Ok(watched) => watched,
            Err(error) => {
                warn!(%error, "the file of the settings is not watched: SIGHUP reloads it");
                return;
            }
        };
        let mut looks = interval(LOOKS);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let looking = Arc::clone(&watched);
            let looked = spawn_blocking(move || looking.look()).await;
            if !matches!(looked, Ok(Looked::Same))
                && let Err(NotReloaded::Ending) = reloads.reload().await
            {
                return;
            }
        }
    }
}
