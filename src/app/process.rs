//! What lives as long as the process, whatever routes come and go.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::watch;

use super::leaving::Leaving;
use super::observers::Observers;
use crate::config::Settings;
use crate::engine::Phase;
use crate::http::{Buffered, Connected, Reloads};
use crate::later::Later;
use crate::later::store::Store;
use crate::observe::Observer;
use crate::observe::spans::Spans;
use crate::server::runtimes::Workers;
use crate::telemetry;

/// See the module.
pub(super) struct Process {
    /// How far its life has come.
    pub phase: watch::Sender<Phase>,
    /// Whether to send traffic here.
    pub ready: Arc<AtomicBool>,
    /// Who is told what happens, route by route.
    pub observers: Observers,
    /// Who is told what is no route's: that of the first route there was.
    pub observer: Arc<Observer>,
    /// The jobs whose answers are fetched later, unless there are none.
    pub later: Option<Later>,
    /// What is in memory before a job is queued and after it is answered.
    pub buffered: Arc<Buffered>,
    /// How many callers there are.
    pub connected: Connected,
    /// What is no longer in force and not through yet.
    pub leaving: Leaving,
    /// Where a reload is asked for.
    pub reloads: Reloads,
    /// Who processes.
    pub workers: Arc<Workers>,
}

impl Process {
    /// Jobs for later are kept in `store`, and all are processed by `workers`. There is a
    /// route in the settings.
    pub fn new(
        settings: &Settings,
        store: Option<Arc<dyn Store>>,
        spans: Spans,
        workers: Arc<Workers>,
        reloads: Reloads,
    ) -> Self {
        let routes = &settings.routes;
        let process = Observer::new(routes[0].bounds).with_log(telemetry::lines_dropped);
        let observers = Observers::new(process.with_spans(spans));
        let first = routes.iter();
        let first = first.map(|it| observers.of(it.name.as_str(), it.bounds));
        let first: Vec<_> = first.collect();
        let observer = Arc::clone(&first[0]);
        let later = settings.later.as_ref().zip(store);
        let jobs = &settings.jobs;
        Self {
            phase: watch::Sender::new(Phase::Running),
            ready: Arc::new(AtomicBool::new(true)),
            observers,
            observer,
            later: later.map(|(it, store)| Later::new(store, it.records, first)),
            buffered: Buffered::new(jobs.max_buffered, jobs.max_body),
            connected: Connected::default(),
            leaving: Leaving::default(),
            reloads,
            workers,
        }
    }
}
