//! One route from its settings: its batcher with all that it takes.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::batcher::Batcher;
use crate::config::{redacted, settings};
use crate::engine::circuit::Circuit;
use crate::engine::{Engine, Phase};
use crate::forward::Forwarder;
use crate::later::Later;
use crate::observe::Observer;
use crate::observe::spans::Described;
use crate::resilience::budget::Budget;
use crate::route::Route;
use crate::upstream::{SetupError, Upstream};

/// The clients of a route.
#[derive(Debug)]
pub(super) struct Clients {
    /// Of batches.
    upstream: Upstream,
    /// Of calls that are not merged, where there are such.
    alone: Option<Forwarder>,
}

impl Clients {
    /// Prepares to call; nothing is connected yet.
    pub fn new(settings: &settings::Route) -> Result<Self, SetupError> {
        let alone = settings.alone.clone().map(Forwarder::new);
        Ok(Self {
            upstream: Upstream::new(settings.upstream.clone())?,
            alone: alone.transpose()?,
        })
    }
}

/// What spans say of a route, without the secrets that its upstream's URL may have.
pub(super) fn described(settings: &settings::Route) -> Described {
    let url = redacted(settings.upstream.url.url());
    // Placeholders as they are written.
    let written = |text: &str| text.replace("%7B", "{").replace("%7D", "}");
    Described {
        route: settings.name.to_string(),
        path: settings.path.clone(),
        url: written(url.as_str()),
        url_path: written(url.path()),
        host: url.host_str().unwrap_or_default().to_owned(),
        port: url.port_or_known_default(),
    }
}

/// Makes a route that calls by `clients`, and tells `observer` what happens on it.
pub(super) fn route(
    settings: settings::Route,
    clients: Clients,
    observer: Arc<Observer>,
    phase: watch::Receiver<Phase>,
    later: Option<&Later>,
) -> Route {
    let circuit = Circuit::new(settings.circuit_failures, settings.circuit_open_for);
    let circuit = Arc::new(circuit.on_route_of(&observer));
    let idempotent = settings.policy.idempotent;
    let mut engine = Engine::new(
        clients.upstream,
        Arc::clone(&settings.shape),
        settings.policy,
        Budget::new(settings.budget, settings.budget_min, Instant::now()),
        Arc::clone(&circuit),
        phase,
        Arc::clone(&observer),
    );
    if let Some(later) = later {
        engine = engine.with_later(later.clone());
    }
    if settings.adaptive {
        engine = engine.adaptive();
    }
    let engine = Arc::new(engine);
    let batcher = Batcher::with_batches(settings.batcher, move |batch| {
        let engine = Arc::clone(&engine);
        engine.process(batch)
    });
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
        idempotent,
        alone,
    }
}
