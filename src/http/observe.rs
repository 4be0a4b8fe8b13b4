//! What an operator sees: metrics, the live page, what feeds it, and the advice.

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

use super::operator::{Admin, Limits, NO_STORE, Setting};
use super::problem::Problem;
use crate::observe::advice::{Advice, Figures, advise};
use crate::observe::health::{Health, Present};
use crate::observe::live::{Failures, Recent, Second, Size};
use crate::observe::metrics::{Format, Process, Route, exposition};
use crate::observe::{RecordBounds, Records};

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
    health: Health,
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
    let moment = admin
        .route()
        .observer
        .one_moment(|| admin.route().batcher.snapshot());
    let process = Process {
        buffered: admin.buffered.bytes(),
        log_lines_dropped: moment.log_lines_dropped,
    };
    let route = Route {
        metrics: &admin.route().observer.metrics,
        moment: &moment,
        queue_capacity: admin.limits.queue_jobs,
        circuit_open: !admin.route().circuit.is_closed(),
        records: records.as_ref(),
    };
    let headers = [
        (CONTENT_TYPE, format.content_type()),
        (CACHE_CONTROL, NO_STORE),
    ];
    (headers, exposition(&process, &route, format)).into_response()
}

/// `GET /live`: what the page shows, or with `?since=<t>` no seconds before that.
pub(super) async fn live(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Response {
    let since = query.as_deref().and_then(since).unwrap_or(0);
    let recent = admin.recent();
    let batcher = &recent.moment.batcher;
    let present = Present {
        queue_jobs: admin.limits.queue_jobs,
        circuit: admin.route().circuit.state(),
        ready: admin.is_ready(),
    };
    let document = Document {
        version: env!("CARGO_PKG_VERSION"),
        now: recent.date,
        started: admin.route().observer.live.started(),
        ready: present.ready,
        circuit: present.circuit,
        health: Health::of(&recent, &present),
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
        later: recent.records.as_ref().map(ForLater::of),
        seconds: recent.after(since),
        sizes: Size::of(recent.seconds.iter(), admin.limits.max_size),
        failures: &recent.failures,
        advice: admin.advise(&recent),
        settings: &admin.settings,
    };
    json(&document)
}

/// `GET /advice`: what limits the proxy now, in words.
pub(super) async fn advice(State(admin): State<Admin>) -> Response {
    json(&admin.advise(&admin.recent()))
}

impl Admin {
    fn recent(&self) -> Recent {
        self.route()
            .observer
            .recent(|| self.route().batcher.observe(), self.records())
    }

    /// The jobs for later, if such are taken.
    fn records(&self) -> Option<Records> {
        let later = self.later.as_ref()?;
        let settings = later.settings();
        Some(Records {
            counts: later.counts().total(),
            bounds: RecordBounds {
                records: settings.max_jobs,
                bytes: settings.max_bytes,
            },
        })
    }

    fn advise(&self, recent: &Recent) -> Vec<Advice> {
        let figures = Figures::of(recent, !self.route().circuit.is_closed());
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
        Err(_) => Problem::internal().into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::State;
    use crate::observe::RecordCounts;

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

    #[test]
    fn states_have_one_name() {
        let names = State::ALL.map(State::as_str);
        assert_eq!(names, RecordCounts::STATES);
    }
}
