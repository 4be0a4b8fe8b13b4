//! One route from its settings: its batcher with all that it takes.

use std::sync::Arc;

use tokio::time::Instant;

use super::described::described;
use super::process::Process;
use crate::batcher::{self, Batcher};
use crate::config::settings;
use crate::engine::Engine;
use crate::engine::circuit::Circuit;
use crate::forward::Forwarder;
use crate::job::RouteName;
use crate::resilience::budget::Budget;
use crate::route::Route;
use crate::route::held::Held;
use crate::upstream::{SetupError, Tls, Upstream};

/// The clients of a route.
#[derive(Debug)]
pub(super) struct Clients {
    /// What they are verified by, and show.
    pub tls: Tls,
    /// Of batches.
    upstream: Upstream,
    /// Of calls that are not merged, where there are such.
    alone: Option<Forwarder>,
}

/// Opens the files of a route's certificates.
pub(super) fn tls(settings: &settings::Route) -> Result<Tls, SetupError> {
    let key = match settings.name == RouteName::jobs() {
        true => "upstream.tls".to_owned(),
        false => format!("routes.{}.upstream.tls", settings.name),
    };
    Tls::open(&settings.tls, &key)
}

impl Clients {
    /// Prepares to call; nothing is connected yet.
    pub fn new(settings: &settings::Route) -> Result<Self, SetupError> {
        let tls = tls(settings)?;
        let alone = settings.alone.clone();
        let alone = alone.map(|alone| Forwarder::new(alone, tls.clone()));
        Ok(Self {
            upstream: Upstream::new(settings.upstream.clone(), tls.clone())?,
            alone: alone.transpose()?,
            tls,
        })
    }
}

/// Makes a route that calls by `clients`.
pub(super) fn route(settings: settings::Route, clients: Clients, process: &Process) -> Route {
    let described = Arc::new(described(&settings));
    let observer = process
        .observers
        .of(settings.name.as_str(), settings.bounds);
    let circuit = Circuit::new(settings.circuit_failures, settings.circuit_open_for);
    let circuit = Arc::new(circuit.on_route_of(&observer));
    let idempotent = settings.policy.idempotent;
    let mut engine = Engine::new(
        clients.upstream,
        Arc::clone(&settings.shape),
        settings.policy,
        Budget::new(settings.budget, settings.budget_min, Instant::now()),
        Arc::clone(&circuit),
        process.phase.subscribe(),
        Arc::clone(&observer),
    );
    if let Some(later) = &process.later {
        engine = engine.with_later(later.clone());
    }
    if settings.adaptive {
        engine = engine.adaptive();
    }
    let engine = Arc::new(engine.described(Arc::clone(&described)));
    let batcher = batcher::Settings {
        // The runtimes that it serves have I/O.
        precise: true,
        ..settings.batcher
    };
    let batcher = Batcher::with_batches(batcher, move |batch| {
        let engine = Arc::clone(&engine);
        engine.process(batch)
    });
    observer.begins(Arc::new(batcher.clone()));
    let told = |it: Forwarder| {
        let lines = observer.throttle(Forwarder::LINES);
        it.told_in(lines, Some(observer.route()))
    };
    let alone = clients.alone.map(told);
    Route {
        name: settings.name,
        shape: settings.shape,
        limits: settings.limits,
        target: settings.upstream.url,
        forward_headers: settings.forward_headers.into(),
        batcher,
        circuit,
        observer,
        described,
        idempotent,
        alone,
        held: Held::default(),
    }
}
