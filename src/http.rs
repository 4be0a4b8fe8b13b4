//! The two listeners: which paths there are, and what serves them.
//!
//! `app` binds the sockets and hands connections to [`serve_jobs`] and
//! [`serve_admin`].

mod admin;
mod answer_body;
mod authority;
mod buffered;
mod headers;
mod jobs;
mod observe;
mod panics;
pub mod problem;

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::http::{Method, Request, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tower_service::Service;

use crate::batcher::{Batcher, Source};
use crate::engine::Phase;
use crate::engine::circuit::Circuit;
use crate::engine::outcome::JobResult;
use crate::job::Job;
use crate::observe::Observer;
use crate::server::connections::Permit;
use crate::server::{self, RequestBody};
use authority::{HostError, Rules};
use jobs::{Posted, Uncounted};
use panics::guarded;
use problem::Problem;

pub use admin::Admin;
pub use answer_body::AnswerBody;
pub use authority::HostNames;
pub use buffered::Buffered;
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
    /// The names it answers to on loopback.
    pub hosts: HostNames,
    /// What is in memory before a job is queued and after it is answered.
    pub buffered: Arc<Buffered>,
    /// The largest body, in bytes.
    pub max_body: usize,
    /// How deep a job may nest, in levels.
    pub max_depth: usize,
    /// The longest a job may stay.
    pub request_timeout: Duration,
    /// The longest a body, or the head before it, may take to arrive.
    pub read_timeout: Duration,
    /// Whether answers tell where their time went.
    pub timing: bool,
    /// Whether doing a job twice does no harm.
    pub idempotent: bool,
    /// How far the process's life has come.
    pub phase: watch::Receiver<Phase>,
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

/// Where jobs are posted.
const JOBS: &str = "/jobs";

/// The jobs listener's paths, but for `POST /jobs` itself, which is served ahead of
/// them, see [`Caller::serve`].
pub fn jobs_router(jobs: Jobs) -> Router {
    Router::new()
        .route(JOBS, any(jobs::only_post))
        .route("/healthz", get(admin::alive).fallback(jobs::only_get))
        .fallback(jobs::no_such_path)
        .with_state(jobs)
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
}

async fn only_post() -> Problem {
    Problem::method_not_allowed(POST)
}

async fn only_get() -> Problem {
    Problem::method_not_allowed(GET)
}

/// What every answer says, whatever it is: it is what its `Content-Type` says, and
/// no browser is to guess anything else.
async fn marked<B>(answer: impl Future<Output = Response<B>>) -> Response<B> {
    const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
    let mut response = answer.await;
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    response
}

/// Who sends jobs over one connection.
pub struct Caller {
    jobs: Jobs,
    rules: Rules,
    source: Source<Job, JobResult>,
    others: Router,
}

impl Caller {
    /// Somebody who has just connected. `others` are the paths of
    /// [`jobs_router`]; what a caller's jobs fill is processed on the runtime of
    /// `batcher`. The connection has reached us at `local`.
    pub fn new(
        jobs: Jobs,
        batcher: &Batcher<Job, JobResult>,
        others: Router,
        local: Option<IpAddr>,
    ) -> Self {
        let source = batcher.source();
        Self {
            rules: Rules::of(&jobs.hosts, local),
            jobs,
            source,
            others,
        }
    }

    /// Answers one request.
    pub fn serve<B>(
        self: Arc<Self>,
        request: Request<B>,
    ) -> impl Future<Output = Response<AnswerBody>> + Send + 'static
    where
        B: http_body::Body<Data = Bytes, Error: Into<axum::BoxError>> + Send + Unpin + 'static,
    {
        if request.version() == Version::HTTP_2 {
            self.source.set_multiplexed();
        }
        let uncounted = Uncounted::new(&self.jobs);
        let is_job = request.uri().path() == JOBS && request.method() == Method::POST;
        // What is asked for rarely must not make the future of every job larger.
        let asked = match self.rules.check(&request) {
            Err(error) => Asked::Refused(error),
            Ok(()) if is_job => Asked::Posted(Posted::new(request)),
            Ok(()) => {
                let others = self.others.clone();
                Asked::Other(Box::pin(routed(others, request.map(Body::new))))
            }
        };
        drop(uncounted);
        async move {
            let mut uncounted = Uncounted::new(&self.jobs);
            match asked {
                Asked::Posted(posted) => posted.answer(&mut uncounted, &self.source).await,
                Asked::Refused(error) => self.jobs.refuse(Problem::from(error)),
                Asked::Other(other) => other.await,
            }
        }
    }
}

/// What a request comes to.
enum Asked<B, F> {
    Posted(Posted<B>),
    Refused(HostError),
    Other(Pin<Box<F>>),
}

async fn routed(mut router: Router, request: Request<Body>) -> Response<AnswerBody> {
    match router.call(request).await {
        Ok(response) => response.map(AnswerBody::from),
        Err(never) => match never {},
    }
}

/// Serves one connection of the jobs listener until it ends.
pub async fn serve_jobs<S>(stream: S, caller: Caller, limits: server::Limits, permit: Permit)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let caller = Arc::new(caller);
    let serve = move |request| marked(guarded(|| Arc::clone(&caller).serve(request)));
    server::serve(stream, serve, limits, permit).await;
}

/// An operator who has just connected.
pub struct Operator {
    rules: Rules,
    router: Router,
}

impl Operator {
    /// Somebody who has reached us at `local`, where we answer to these names.
    /// `router` are the paths of [`admin_router`].
    pub fn new(router: Router, hosts: &HostNames, local: Option<IpAddr>) -> Self {
        Self {
            rules: Rules::of(hosts, local).with_own_origin(),
            router,
        }
    }
}

/// The same for the admin listener.
pub async fn serve_admin<S>(stream: S, operator: Operator, limits: server::Limits, permit: Permit)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Operator { rules, router } = operator;
    let serve = move |request: Request<RequestBody>| {
        let checked = rules.check(&request);
        let router = router.clone();
        marked(guarded(|| async move {
            match checked {
                Ok(()) => routed(router, request.map(Body::new)).await,
                Err(error) => Problem::from(error).into_response().map(AnswerBody::from),
            }
        }))
    };
    server::serve(stream, serve, limits, permit).await;
}
