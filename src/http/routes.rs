//! Which paths the two listeners have, but for those of routes.

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};

use super::context::Jobs;
use super::operator::Admin;
use super::problem::Problem;
use super::refusal::refuse_elsewhere;
use super::{admin, live, observe, reload};
use crate::route::Routes;

/// `Allow` of a path that is read.
const GET: &str = "GET, HEAD";

/// `Allow` of a path that is posted to.
pub(super) const POST: &str = "POST";

/// Where callers ask whether the process lives.
pub(super) const HEALTHZ: &str = "/healthz";

/// The jobs listener's paths that are none of a route. Calls are dispatched ahead of them,
/// since they are to cost no more than they must.
pub(super) fn jobs_router(jobs: &Jobs) -> Router {
    let only_get = async |State(routes): State<Routes>| {
        refuse_elsewhere(&routes, Problem::method_not_allowed(GET))
    };
    let no_such_path = async |State(routes): State<Routes>| {
        let problem = match routes.plain_jobs() {
            Some(_) => Problem::not_found("no such path; jobs go to POST /jobs"),
            None => Problem::not_found("no such path, and none of a route"),
        };
        refuse_elsewhere(&routes, problem)
    };
    Router::new()
        .route(HEALTHZ, get(admin::alive).fallback(only_get))
        .fallback(no_such_path)
        .with_state(jobs.routes.clone())
}

/// The admin listener's paths.
pub(super) fn admin_router(admin: Admin) -> Router {
    let only = |allow| async move || Problem::method_not_allowed(allow);
    let no_such_path = async || {
        Problem::not_found(
            "no such path; there are /, /livez, /readyz, /metrics, /live, /advice, /config, \
             /flush and /reload",
        )
    };
    Router::new()
        .route("/livez", get(admin::alive).fallback(only(GET)))
        .route("/readyz", get(admin::ready).fallback(only(GET)))
        .route("/", get(observe::page).fallback(only(GET)))
        .route("/live", get(live::live).fallback(only(GET)))
        .route("/advice", get(observe::advice).fallback(only(GET)))
        .route("/metrics", get(observe::metrics).fallback(only(GET)))
        .route("/config", get(admin::config).fallback(only(GET)))
        .route("/flush", post(admin::flush).fallback(only(POST)))
        .route("/reload", post(reload::reload).fallback(only(POST)))
        .fallback(no_such_path)
        .with_state(admin)
}
