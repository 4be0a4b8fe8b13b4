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
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::compose::Clients;
use super::files::Files;
use super::proxy::Proxy;
use crate::config::{Change, Changes, Loaded, Settings, Source};
use crate::http::{AsksForReload, NotReloaded, Reloads};
use crate::notify::Notifier;
use crate::observe::{ProcessEvent, Reloaded};
use crate::server::connections::Connections;
use crate::server::files::for_callers;
use crate::telemetry;

/// How often a file is looked at that is watched.
const LOOKS: Duration = Duration::from_secs(1);

/// Who loads the settings again.
pub(super) struct Reloader {
    pub source: Source,
    /// What is in force.
    pub loaded: Arc<Loaded>,
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
    /// Does as it is asked, until nobody is left who may ask.
    pub async fn run(mut self, mut asked: mpsc::Receiver<AsksForReload>) {
        while let Some(asks) = asked.recv().await {
            let told = self.reload().await;
            // Who has left meanwhile finds it in the log.
            let _ = asks.send(told);
        }
    }

    async fn reload(&mut self) -> Result<String, NotReloaded> {
        if self.proxy.is_ending() {
            info!("nothing is reloaded: the process ends");
            return Err(NotReloaded::Ending);
        }
        let process = Arc::clone(self.proxy.process.observer.process());
        self.notifier.reloading();
        // Whatever the settings are, and before it is answered.
        self.files.look(&process).await;
        let loaded = self.load().await;
        // For what has just been opened to be counted, too.
        self.files.again();
        if !matches!(loaded, Err(NotReloaded::Ending)) {
            self.notifier.ready(self.status.clone());
        }
        match loaded {
            Ok(changes) => {
                process.tell(ProcessEvent::ConfigReloaded(Reloaded::Ok));
                // A struct of strings always serializes.
                Ok(serde_json::to_string(&changes).unwrap_or_default() + "\n")
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

    async fn load(&mut self) -> Result<Changes, NotReloaded> {
        let (source, before) = (self.source.clone(), Arc::clone(&self.loaded));
        let doors = self.proxy.doors();
        let loading = spawn_blocking(move || {
            let mistakes = |it: Vec<String>| NotReloaded::Mistakes(it);
            let loaded = source.load();
            let loaded = loaded
                .map_err(|all| mistakes(all.iter().map(|mistake| mistake.to_string()).collect()))?;
            let (loaded, changes) = loaded.following(&before);
            let clients = Clients::differing(&loaded.settings, &changes);
            let clients = clients.map_err(|error| {
                mistakes(vec![format!(
                    "upstream: the HTTP client can't be set up: {error}"
                )])
            })?;
            let doors = doors.followed_by(&loaded.settings);
            let doors =
                doors.map_err(|all| mistakes(all.iter().map(|it| it.to_string()).collect()))?;
            Ok((loaded, changes, clients, doors))
        });
        let failed = |error| NotReloaded::Mistakes(vec![format!("loading it failed: {error}")]);
        let (loaded, changes, clients, doors) = loading.await.map_err(failed)??;
        for warning in &loaded.warnings {
            warn!("{warning}");
        }
        clients.watched_by(&self.files);
        doors.watched_by(&self.files);
        if !changes.is_none() {
            let settings = loaded.settings.clone();
            if !self.proxy.swap(settings, clients, doors) {
                return Err(NotReloaded::Ending);
            }
            let settings = &loaded.settings;
            let most = max_connections(settings, self.open_files);
            self.callers.set_most(most);
            telemetry::set(&settings.log);
        }
        self.loaded = Arc::new(loaded);
        log(&changes);
        Ok(changes)
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

/// Has the settings loaded again when the contents of their file change. A file that is half
/// written tells its mistakes once, and is tried again when it changes.
pub fn reload_when_changed(file: PathBuf, reloads: Reloads) -> impl Future<Output = ()> {
    // Before this is polled, so that no change is missed from the moment on that the process is
    // ready.
    let mut seen = Some(std::fs::read(&file).ok());
    async move {
        let read = || {
            let file = file.clone();
            spawn_blocking(move || std::fs::read(file).ok())
        };
        let mut looks = interval(LOOKS);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let now = read().await.ok();
            if now != seen {
                seen = now;
                if let Err(NotReloaded::Ending) = reloads.reload().await {
                    return;
                }
            }
        }
    }
}
