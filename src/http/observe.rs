//! What an operator sees: metrics, the live page and the advice.

use std::sync::LazyLock;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_FRAME_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::operator::{Admin, NO_STORE, RecordsByRoute, Watched};
use super::problem::Problem;
use crate::observe::metrics::{Format, Process, Route, Store, exposition};

/// The live page, whole.
const PAGE: &str = include_str!("page.html");

/// What the page may do: run its own script and style, and ask us.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |element: &str| {
        let (open, close) = (format!("<{element}>"), format!("</{element}>"));
        let inner = PAGE
            .split_once(&open)
            .and_then(|(_, rest)| rest.split_once(&close));
        let inner = inner.map_or("", |(inner, _)| inner);
        format!("'sha256-{}'", STANDARD.encode(Sha256::digest(inner)))
    };
    format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash("script"),
        hash("style")
    )
});

/// `GET /`.
pub(super) async fn page() -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY.as_str()),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, PAGE).into_response()
}

/// `GET /metrics`.
pub(super) async fn metrics(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::accepted_by(accept.unwrap_or_default());
    let records = admin.records();
    // Routes have nothing in common: each has its moment, one after the other.
    let moments: Vec<_> = admin.routes.iter().map(Watched::moment).collect();
    let total = records.as_ref().map(RecordsByRoute::total);
    let process = Process {
        buffered: admin.buffered.bytes(),
        told: admin.observer.process(),
        log_lines_dropped: admin.observer.log_lines_dropped(),
        passed_through: admin.observer.metrics.passed_through(),
        store: total.as_ref().map(|records| Store {
            metrics: &admin.observer.metrics,
            records,
        }),
    };
    let counts = admin.routes.iter().map(|it| {
        let records = records.as_ref();
        records.map(|records| records.counts.of(it.name()))
    });
    let counts: Vec<_> = counts.map(Option::unwrap_or_default).collect();
    let routes = admin.routes.iter().zip(&moments).zip(&counts);
    let routes = routes.map(|((it, moment), records)| Route {
        name: it.route.name.as_str(),
        metrics: &it.route.observer.metrics,
        moment,
        records,
        queue_capacity: it.limits.queue_jobs,
        circuit_open: !it.route.circuit.is_closed(),
    });
    let routes: Vec<_> = routes.collect();
    let headers = [
        (CONTENT_TYPE, format.content_type()),
        (CACHE_CONTROL, NO_STORE),
    ];
    (headers, exposition(&process, &routes, format)).into_response()
}

/// `GET /advice`: what limits the proxy now, in words; with `?route=NAME` one of its routes.
pub(super) async fn advice(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Response {
    match admin.chosen(query.as_deref()) {
        Ok(chosen) => json(&chosen.read().advise()),
        Err(unknown) => unknown.into_response(),
    }
}

pub(super) fn json(value: &impl Serialize) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, NO_STORE),
    ];
    match serde_json::to_vec(value) {
        Ok(body) => (headers, body).into_response(),
        Err(_) => Problem::internal().into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::State;
    use crate::observe::{ALONE, RecordCounts};
    use crate::shape::Why;

    #[test]
    fn the_policy_knows_the_one_script_and_the_one_style() {
        for element in ["<script>", "</script>", "<style>", "</style>"] {
            assert_eq!(PAGE.matches(element).count(), 1, "{element}");
        }
        let empty = STANDARD.encode(Sha256::digest(""));
        assert!(!POLICY.contains(&empty), "{}", POLICY.as_str());
    }

    #[test]
    fn the_page_loads_nothing_from_elsewhere() {
        for outside in [
            " src=",
            "href=\"http",
            "href=\"//",
            "url(",
            "@import",
            " style=\"",
            " onclick=",
        ] {
            assert!(!PAGE.contains(outside), "{outside}");
        }
    }

    #[test]
    fn reasons_to_go_alone_have_one_name() {
        assert_eq!(Why::ALL.map(Why::as_str), ALONE);
    }

    #[test]
    fn states_have_one_name() {
        let names = State::ALL.map(State::as_str);
        assert_eq!(names, RecordCounts::STATES);
    }
}
