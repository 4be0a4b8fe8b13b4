//! What an operator asks: alive, ready, the settings, and a flush.

use axum::extract::{RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use super::operator::{Admin, NO_STORE, Watched};
use super::problem::status;
use crate::code::Code;

/// `GET /livez` and `GET /healthz`: who answers is alive.
pub(super) async fn alive() -> &'static str {
    "alive\n"
}

/// `GET /readyz`: 503 from the first sign of shutting down.
pub(super) async fn ready(State(admin): State<Admin>) -> Response {
    if admin.is_ready() {
        "ready\n".into_response()
    } else {
        (status::of(Code::ShuttingDown), "draining\n").into_response()
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

/// `POST /flush`: sends what waits, on all routes or with `?route=NAME` on that one, for
/// callers and for later, and answers before it has gone.
pub(super) async fn flush(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Response {
    let chosen = match admin.chosen(query.as_deref()) {
        Ok(chosen) => chosen,
        Err(unknown) => return unknown.into_response(),
    };
    let routes = chosen.routes.iter();
    let flushed = routes.map(|Watched { route, .. }| {
        let kept = admin.later.as_ref().map_or(0, |it| it.flush(&route.name));
        kept + route.batcher.flush() as u64
    });
    let jobs: u64 = flushed.sum();
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, NO_STORE),
    ];
    (headers, format!("{{\"jobs\":{jobs}}}\n")).into_response()
}
