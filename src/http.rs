//! The two listeners: which paths there are, and what serves them.
//!
//! `app` binds the sockets and hands connections to [`serve_jobs`] and
//! [`serve_admin`].

mod admin;
mod connection;
mod jobs;
mod observe;
pub mod problem;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tower_http::catch_panic::CatchPanicLayer;

use crate::batcher::Batcher;
use crate::job::Job;
use crate::observer::Observer;
use crate::processor::outcome::JobResult;
use crate::upstream::circuit::Circuit;
use problem::Problem;

pub use admin::Admin;
pub use observe::{Limits, Setting};

/// `Allow` of a path that is read.
const GET: &str = "GET, HEAD";

/// `Allow` of a path that is posted to.
const POST: &str = "POST";

/// What answering jobs takes.
#[derive(Clone, Debug)]
pub struct Jobs(Arc<JobsInner>);

/// The fields of [`Jobs`].
#[derive(Debug)]
pub struct JobsInner {
    /// Where jobs go.
    pub batcher: Batcher<Job, JobResult>,
    /// Who is told what becomes of them.
    pub observer: Arc<Observer>,
    /// The largest body, in bytes.
    pub max_body: usize,
    /// The longest a job may stay.
    pub request_timeout: Duration,
    /// The longest a body, or the head before it, may take to arrive.
    pub read_timeout: Duration,
    /// Whether answers tell where their time went.
    pub timing: bool,
    /// Whether doing a job twice does no harm.
    pub idempotent: bool,
    /// Whether the upstream is worth asking.
    pub circuit: Arc<Circuit>,
    /// The status of a result with an `error` and no status of its own.
    pub job_error_status: StatusCode,
}

impl From<JobsInner> for Jobs {
    fn from(inner: JobsInner) -> Self {
        Self(Arc::new(inner))
    }
}

impl std::ops::Deref for Jobs {
    type Target = JobsInner;

    fn deref(&self) -> &JobsInner {
        &self.0
    }
}

/// The jobs listener's paths.
pub fn jobs_router(jobs: Jobs) -> Router {
    Router::new()
        .route("/jobs", post(jobs::post).fallback(jobs::only_post))
        .route("/healthz", get(admin::alive).fallback(jobs::only_get))
        .fallback(jobs::no_such_path)
        .with_state(jobs)
        .layer(CatchPanicLayer::custom(panicked))
}

/// The admin listener's paths.
pub fn admin_router(admin: Admin) -> Router {
    Router::new()
        .route("/livez", get(admin::alive).fallback(only_get))
        .route("/readyz", get(admin::ready).fallback(only_get))
        .route("/", get(observe::page).fallback(only_get))
        .route("/live", get(observe::live).fallback(only_get))
        .route("/advice", get(observe::advice).fallback(only_get))
        .route("/metrics", get(observe::metrics).fallback(only_get))
        .route("/config", get(admin::config).fallback(only_get))
        .route("/flush", post(admin::flush).fallback(only_post))
        .fallback(async || {
            Problem::not_found(
                "no such path; there are /, /livez, /readyz, /metrics, /live, /advice, /config and \
                 /flush",
            )
        })
        .with_state(admin)
        .layer(CatchPanicLayer::custom(panicked))
}

async fn only_post() -> Problem {
    Problem::method_not_allowed(POST)
}

async fn only_get() -> Problem {
    Problem::method_not_allowed(GET)
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    Problem::internal().into_response()
}

/// Serves one connection of the jobs listener until it ends, or once `closing`
/// turns true after the answer it is at.
pub async fn serve_jobs(
    stream: TcpStream,
    router: Router,
    jobs: Jobs,
    closing: watch::Receiver<bool>,
) {
    let source = Some(jobs.batcher.source());
    connection::serve(stream, router, source, jobs.read_timeout, closing).await;
}

/// The same for the admin listener.
pub async fn serve_admin(
    stream: TcpStream,
    router: Router,
    read_timeout: Duration,
    closing: watch::Receiver<bool>,
) {
    connection::serve(stream, router, None, read_timeout, closing).await;
}
