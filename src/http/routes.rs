//! Which paths the two listeners have, but for those of routes: one row each, of which the routers
//! and their descriptions are made.

use axum::Router;
use axum::routing::{MethodRouter, get, post};

use super::context::Jobs;
use super::openapi::{self, Document, OPENAPI, Operation, any, parameter, text};
use super::operator::Admin;
use super::paths::{HEALTHZ, IsOpen, LIVEZ, PAGE, READYZ, open_to_callers, open_to_operators};
use super::problem::Problem;
use super::refusal::refuse_elsewhere;
use super::{admin, live, observe, reload};
use crate::code::Code;
use crate::tokens::Guard;

/// `Allow` of a path that is posted to.
pub(super) const POST: &str = "POST";

/// One path of a listener: how it is told, and what answers.
struct Own<S>(Operation, MethodRouter<S>);

/// Whether this path is one of [`jobs_router`]'s.
pub(super) fn is_own(path: &str) -> bool {
    path == HEALTHZ || path == OPENAPI
}

/// The jobs listener's paths that are none of a route. Calls are dispatched ahead of them,
/// since they are to cost no more than they must.
pub(super) fn jobs_router(jobs: &Jobs) -> Router {
    let alive = Operation::get(HEALTHZ, "Whether the process lives");
    let alive = alive.gives(200, "It does", ("text/plain; charset=utf-8", text()));
    let own = vec![Own(alive, get(admin::alive))];
    let later = jobs.later.is_some();
    let mut besides = openapi::of_routes(&jobs.routes, later);
    if later {
        besides.extend(openapi::of_later());
    }
    let but = jobs.tokens.as_ref().map(|_| open_to_callers as IsOpen);
    let own = described("microbatch: jobs", own, &besides, but);
    let routes = jobs.routes.clone();
    let paths = own
        .into_iter()
        .fold(Router::new(), |router, Own(told, answer)| {
            let (routes, allow) = (routes.clone(), told.allow());
            let only = async move || refuse_elsewhere(&routes, Problem::method_not_allowed(allow));
            router.route(&told.path, answer.fallback(only))
        });
    paths.fallback(async move || {
        let problem = match routes.plain_jobs() {
            Some(_) => Problem::not_found("no such path; jobs go to POST /jobs"),
            None => Problem::not_found("no such path, and none of a route"),
        };
        refuse_elsewhere(&routes, problem)
    })
}

/// The admin listener's paths, where these tokens let in.
pub(super) fn admin_router(admin: Admin, tokens: Option<&Guard>) -> Router {
    let but = tokens.map(|_| open_to_operators as IsOpen);
    let own = described("microbatch: administration", of_operators(), &[], but);
    let names: Vec<_> = own.iter().map(|Own(told, _)| &*told.path).collect();
    let elsewhere = match names.split_last() {
        Some((last, names)) => format!("no such path; there are {} and {last}", names.join(", ")),
        None => "no such path".to_owned(),
    };
    let paths = own.iter().fold(Router::new(), |router, Own(told, answer)| {
        let allow = told.allow();
        let only = async move || Problem::method_not_allowed(allow);
        router.route(&told.path, answer.clone().fallback(only))
    });
    let paths = paths.fallback(async move || Problem::not_found(elsewhere));
    paths.with_state(admin)
}

/// What operators may ask.
fn of_operators() -> Vec<Own<Admin>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    const JSON: &str = "application/json";
    let one_route = |told: Operation| told.with(parameter("Route")).refused([Code::NotFound]);
    vec![
        Own(
            Operation::get(PAGE, "The live page").gives(
                200,
                "The page, without any data",
                ("text/html; charset=utf-8", text()),
            ),
            get(observe::page),
        ),
        Own(
            Operation::get(LIVEZ, "Whether the process lives").gives(
                200,
                "It does",
                (TEXT, text()),
            ),
            get(admin::alive),
        ),
        Own(
            Operation::get(READYZ, "Whether to send traffic here")
                .gives(200, "It is ready", (TEXT, text()))
                .gives(503, "It is shutting down", (TEXT, text())),
            get(admin::ready),
        ),
        Own(
            Operation::get("/metrics", "Metrics for Prometheus").gives(
                200,
                "All of them, of one moment a route",
                ("*/*", text()),
            ),
            get(observe::metrics),
        ),
        Own(
            one_route(Operation::get("/live", "What the live page shows")).gives(
                200,
                "The last five minutes",
                (JSON, any()),
            ),
            get(live::live),
        ),
        Own(
            one_route(Operation::get(
                "/advice",
                "What limits the proxy now, in words",
            ))
            .gives(200, "What dominates first", (JSON, any())),
            get(observe::advice),
        ),
        Own(
            Operation::get("/config", "The settings in force, secrets redacted").gives(
                200,
                "As TOML",
                ("application/toml; charset=utf-8", text()),
            ),
            get(admin::config),
        ),
        Own(
            one_route(Operation::post("/flush", "Send what waits"))
                .gives(200, "How many jobs that were", (JSON, any()))
                .refused([Code::ForeignOrigin]),
            post(admin::flush),
        ),
        Own(
            Operation::post("/reload", "Load the settings again")
                .gives(
                    200,
                    "What has changed, and what needs a restart",
                    (JSON, any()),
                )
                .gives(
                    422,
                    "Every mistake; nothing has changed",
                    ("application/problem+json", any()),
                )
                .refused([Code::ForeignOrigin, Code::ShuttingDown]),
            post(reload::reload),
        ),
    ]
}

/// These paths, and the one that describes them and what there is besides. Where tokens let in,
/// they do to all `but` these.
fn described<S>(
    title: &str,
    mut own: Vec<Own<S>>,
    besides: &[Operation],
    but: Option<IsOpen>,
) -> Vec<Own<S>>
where
    S: Clone + Send + Sync + 'static,
{
    let itself = openapi::own();
    let told = own.iter().map(|Own(told, _)| told);
    let told = told.chain([&itself]).chain(besides);
    let document = Document::new(title, told, but);
    own.push(Own(itself, get(async move || document)));
    own
}
