//! What an operator sees: metrics, the live page, what feeds it, and the advice.

use std::sync::LazyLock;

use axum::extract::{RawQuery, State};
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::operator::{Admin, Limits, NO_STORE, Setting};
use crate::batcher::Snapshot;
use crate::observe::advice::{self, Advice, Figures, advise};
use crate::observe::live::{Failures, Reading, Second, Size};
use crate::observe::metrics::{Format, Gauges, exposition};
use crate::telemetry;

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

/// `GET /live`.
#[derive(Serialize)]
struct Document<'a> {
    version: &'static str,
    now: f64,
    started: f64,
    ready: bool,
    circuit: &'static str,
    limits: Limits,
    current: Current,
    seconds: &'a [Second],
    sizes: Vec<Size>,
    failures: Vec<Failures>,
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
    let gauges = Gauges {
        now: admin.observer.one_moment(|| admin.batcher.snapshot()),
        queue_capacity: admin.limits.queue_jobs,
        circuit_open: !admin.circuit.is_closed(),
        log_lines_dropped: telemetry::lines_dropped(),
        buffered: admin.buffered.bytes(),
    };
    match exposition(&admin.observer, gauges, format) {
        Ok(text) => {
            let headers = [
                (CONTENT_TYPE, format.content_type()),
                (CACHE_CONTROL, NO_STORE),
            ];
            (headers, text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// `GET /live`: what the page shows, or with `?since=<t>` no seconds before that.
pub(super) async fn live(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Response {
    let since = query.as_deref().and_then(since).unwrap_or(0);
    let Reading {
        now,
        seconds,
        failures,
    } = admin.read();
    let batcher = now.batcher;
    let from = seconds.partition_point(|second| second.t <= since);
    let document = Document {
        version: env!("CARGO_PKG_VERSION"),
        now: admin.observer.live.date(),
        started: admin.observer.live.started(),
        ready: admin.is_ready(),
        circuit: admin.circuit.state(),
        limits: Limits {
            max_in_flight: batcher.max_in_flight,
            ..admin.limits.clone()
        },
        current: Current {
            queue_jobs: batcher.queued,
            queue_bytes: batcher.queued_bytes,
            in_flight: batcher.in_flight,
            waiting_for_room: batcher.waiting_for_room,
            connections: batcher.sources,
        },
        sizes: Size::of(seconds.iter(), admin.limits.max_size),
        advice: admin.advise(&seconds, &failures, batcher),
        failures,
        seconds: &seconds[from..],
        settings: &admin.settings,
    };
    json(&document)
}

/// `GET /advice`: what limits the proxy now, in words.
pub(super) async fn advice(State(admin): State<Admin>) -> Response {
    let Reading {
        now,
        seconds,
        failures,
    } = admin.read();
    json(&admin.advise(&seconds, &failures, now.batcher))
}

impl Admin {
    fn read(&self) -> Reading {
        let live = &self.observer.live;
        live.read(|| self.observer.one_moment(|| self.batcher.observe()))
    }

    fn advise(&self, seconds: &[Second], failures: &[Failures], batcher: Snapshot) -> Vec<Advice> {
        let minute = (self.observer.live.date() as u64).saturating_sub(advice::SECONDS);
        let from = seconds.partition_point(|second| second.t <= minute);
        let circuit_open = !self.circuit.is_closed();
        let figures = Figures::of(&seconds[from..], failures, batcher, circuit_open);
        advise(&figures, &self.advice)
    }
}

fn since(query: &str) -> Option<u64> {
    let mut parameters = query.split('&');
    let since = parameters.find_map(|parameter| parameter.strip_prefix("since="))?;
    // Whole seconds: the page may send what it was given.
    since.split('.').next()?.parse().ok()
}

fn json(value: &impl Serialize) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, NO_STORE),
    ];
    match serde_json::to_vec(value) {
        Ok(body) => (headers, body).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_knows_the_one_script_and_the_one_style() {
        for element in ["<script>", "</script>", "<style>", "</style>"] {
            assert_eq!(PAGE.matches(element).count(), 1, "{element}");
        }
        let empty = STANDARD.encode(Sha256::digest(""));
        assert!(!POLICY.contains(&empty), "{}", POLICY.as_str());
    }

    #[test]
    fn the_page_asks_nobody_else() {
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
