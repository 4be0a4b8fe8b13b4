//! `GET /live`: what feeds the live page, of all routes or of one.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::chosen::{Reading, parameter};
use super::observe::json;
use super::operator::{Admin, Limits, Setting, Watched};
use crate::observe::Records;
use crate::observe::advice::Advice;
use crate::observe::health::Health;
use crate::observe::live::{Failures, Second, Size};

/// The answer.
#[derive(Serialize)]
struct Document<'a> {
    version: &'static str,
    now: f64,
    started: f64,
    ready: bool,
    /// All that there are.
    routes: Vec<&'a str>,
    /// The one that is told of, where it is one of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    circuit: &'static str,
    health: Option<Health>,
    limits: Limits,
    current: Current,
    #[serde(skip_serializing_if = "Option::is_none")]
    later: Option<ForLater>,
    seconds: &'a [Second],
    sizes: Vec<Size>,
    failures: &'a [Failures],
    advice: Vec<Advice>,
    settings: &'a [Setting],
}

#[derive(Serialize)]
struct Current {
    queue_jobs: usize,
    queue_bytes: usize,
    in_flight: usize,
    waiting_for_room: usize,
    connections: usize,
}

/// The jobs for later and their store.
#[derive(Serialize)]
struct ForLater {
    /// Those that were ever taken.
    accepted: u64,
    queued: u64,
    sent: u64,
    done: u64,
    failed: u64,
    /// How long the oldest that is queued has waited.
    oldest_queued_ms: Option<f64>,
    bytes: u64,
    max_jobs: usize,
    max_bytes: usize,
}

impl ForLater {
    fn of(records: &Records) -> Self {
        let Records { counts, bounds, .. } = records;
        let [queued, sent, done, failed] = counts.present;
        let oldest = counts.oldest_queued;
        Self {
            accepted: counts.accepted,
            queued,
            sent,
            done,
            failed,
            oldest_queued_ms: oldest.map(|it| it.as_millis() as f64),
            bytes: counts.bytes,
            max_jobs: bounds.records,
            max_bytes: bounds.bytes,
        }
    }
}

/// What the page shows, or with `?since=<t>` no seconds before that; of all routes together,
/// or with `?route=NAME` of that one.
pub(super) async fn live(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Response {
    let since = query.as_deref().and_then(since).unwrap_or(0);
    match admin.chosen(query.as_deref()) {
        Ok(chosen) => document(&chosen.read(), since),
        Err(unknown) => unknown.into_response(),
    }
}

fn document(reading: &Reading<'_>, since: u64) -> Response {
    let Reading { chosen, whole, .. } = reading;
    let (admin, batcher) = (chosen.admin, &whole.moment.batcher);
    let limits = chosen.routes.iter().map(|it| it.limits.clone());
    let limits = limits.reduce(Limits::with).unwrap_or_default();
    let one = chosen.routes.first().filter(|_| chosen.is_one_of_several());
    json(&Document {
        version: env!("CARGO_PKG_VERSION"),
        now: whole.date,
        started: admin.observer.live.started(),
        ready: admin.is_ready(),
        routes: admin.routes.iter().map(Watched::name).collect(),
        route: one.map(Watched::name),
        circuit: circuit(chosen.routes),
        health: reading.health(),
        sizes: Size::of(whole.seconds.iter(), limits.max_size),
        limits: Limits {
            max_in_flight: batcher.max_in_flight,
            ..limits
        },
        current: Current {
            queue_jobs: batcher.queued,
            queue_bytes: batcher.queued_bytes,
            in_flight: batcher.in_flight,
            waiting_for_room: batcher.waiting_for_room,
            // Who calls several routes is a source of each.
            connections: match one {
                Some(_) => batcher.sources,
                None => admin.connected.count(),
            },
        },
        later: whole.records.as_ref().map(ForLater::of),
        seconds: whole.after(since),
        failures: &whole.failures,
        advice: reading.advise(),
        settings: &admin.settings,
    })
}

/// The worst of the circuits' states.
fn circuit(routes: &[Watched]) -> &'static str {
    let mut states = routes.iter().map(|it| it.route.circuit.state());
    let worst = |one, two| match (one, two) {
        ("open", _) | (_, "open") => "open",
        ("closed", other) | (other, "closed") => other,
        (one, _) => one,
    };
    let first = states.next().unwrap_or("closed");
    states.fold(first, worst)
}

fn since(query: &str) -> Option<u64> {
    // Whole seconds: the page may send what it was given.
    let since = parameter(query, "since=")?;
    since.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_second_of_unix_time() {
        for (query, expected) in [
            ("since=17", Some(17)),
            ("a=b&since=17.9", Some(17)),
            ("since=", None),
            ("since=-1", None),
            ("until=17", None),
        ] {
            assert_eq!(since(query), expected, "{query}");
        }
    }
}
