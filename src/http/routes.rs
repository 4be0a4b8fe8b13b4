//! Which paths the two listeners have, but for `POST /jobs` itself.

use axum::Router;
use axum::extract::State;
use axum::routing::{any, get, post};

use super::context::Jobs;
use super::operator::Admin;
use super::problem::Problem;
use super::{admin, observe};

/// Where jobs are posted.
pub(super) const JOBS: &str = "/jobs";

/// `Allow` of a path that is read.
const GET: &str = "GET, HEAD";

/// `Allow` of a path that is posted to.
const POST: &str = "POST";

/// The jobs listener's paths. A job itself is dispatched ahead of them, since it is to
/// cost no more than it must.
pub fn jobs_router(jobs: Jobs) -> Router {
    let only =
        |allow| async move |State(jobs): State<Jobs>| jobs.note(Problem::method_not_allowed(allow));
    let no_such_path = async |State(jobs): State<Jobs>| {
        jobs.note(Problem::not_found("no such path; jobs go to POST /jobs"))
    };
    Router::new()
        .route(JOBS, any(only(POST)))
        .route("/healthz", get(admin::alive).fallback(only(GET)))
        .fallback(no_such_path)
        .with_state(jobs)
}

/// The admin listener's paths.
pub fn admin_router(admin: Admin) -> Router {
    let only = |allow| async move || Problem::method_not_allowed(allow);
    let no_such_path = async || {
        Problem::not_found(
            "no such path; there are /, /livez, /readyz, /metrics, /live, /advice, /config and \
             /flush",
        )
    };
    Router::new()
        .route("/livez", get(admin::alive).fallback(only(GET)))
        .route("/readyz", get(admin::ready).fallback(only(GET)))
        .route("/", get(observe::page).fallback(only(GET)))
        .route("/live", get(observe::live).fallback(only(GET)))
        .route("/advice", get(observe::advice).fallback(only(GET)))
        .route("/metrics", get(observe::metrics).fallback(only(GET)))
        .route("/config", get(admin::config).fallback(only(GET)))
        .route("/flush", post(admin::flush).fallback(only(POST)))
        .fallback(no_such_path)
        .with_state(admin)
}
