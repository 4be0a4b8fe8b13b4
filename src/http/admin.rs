//! What an operator asks: alive, ready, the settings, and a flush.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use super::Buffered;
use super::observe::{Limits, NO_STORE, Setting};
use crate::batcher::Batcher;
use crate::engine::circuit::Circuit;
use crate::engine::outcome::JobResult;
use crate::job::Job;
use crate::observe::Observer;
use crate::observe::advice;

/// What answering an operator takes.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The batcher to flush.
    pub batcher: Batcher<Job, JobResult>,
    /// Whether to send traffic here.
    pub ready: Arc<AtomicBool>,
    /// The settings in force as TOML, secrets redacted.
    pub config: Arc<str>,
    /// The same one by one.
    pub settings: Arc<[Setting]>,
    /// Those of them that the live page draws, but for the slots.
    pub limits: Limits,
    /// Those that the advice looks at.
    pub advice: advice::Limits,
    /// What has happened.
    pub observer: Arc<Observer>,
    /// Whether the upstream is worth asking.
    pub circuit: Arc<Circuit>,
    /// What is in memory before a job is queued and after it is answered.
    pub buffered: Arc<Buffered>,
}

impl Admin {
    /// Whether to send traffic here.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }
}

/// `GET /livez` and `GET /healthz`: who answers is alive.
pub(super) async fn alive() -> &'static str {
    "alive\n"
}

/// `GET /readyz`: 503 from the first sign of shutting down.
pub(super) async fn ready(State(admin): State<Admin>) -> Response {
    if admin.is_ready() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response()
    }
}

/// `GET /config`.
pub(super) async fn config(State(admin): State<Admin>) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/toml; charset=utf-8"),
        (CACHE_CONTROL, NO_STORE),
    ];
    (headers, admin.config.to_string()).into_response()
}

/// `POST /flush`: sends what waits, and answers before it has gone.
pub(super) async fn flush(State(admin): State<Admin>) -> Response {
    let jobs = admin.batcher.flush();
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, NO_STORE),
    ];
    (headers, format!("{{\"jobs\":{jobs}}}\n")).into_response()
}
