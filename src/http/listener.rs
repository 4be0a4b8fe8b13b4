//! The two listeners: a connection's gate, and what serves a request that passes it.
//!
//! `app` hands connections to [`serve_jobs`] and [`serve_admin`], over whatever they
//! have come.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request, Response};
use axum::response::IntoResponse;
use axum::{BoxError, Router};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::answer::{Answer, internal};
use super::answer_body::AnswerBody;
use super::authority::HostNames;
use super::calls;
use super::connected::Connection;
use super::context::Jobs;
use super::forward::pass_through;
use super::gate::Gate;
use super::jobs::Posted;
use super::later::Resource;
use super::problem::Problem;
use super::refusal::{refuse, refuse_elsewhere};
use super::routes::is_own;
use super::sender::{Batchers, Senders};
use super::uncounted::Uncounted;
use crate::route::JOBS;
use crate::server::connections::Permit;
use crate::server::socket::Reached;
use crate::server::{self, Limits};
use crate::upstream::NoSuchPath;

/// A connection of the jobs listener.
pub struct Caller {
    gate: Gate,
    senders: Arc<Senders>,
    /// The number of the route whose calls are found without a look at the table.
    jobs: Option<usize>,
    others: Router,
    _connected: Connection,
}

impl Caller {
    /// Somebody who has just connected. `batchers` are those of the worker that serves the
    /// connection, which has reached us so. `others` are the paths of [`super::jobs_router`].
    pub fn new(jobs: Jobs, batchers: &Batchers, others: Router, reached: Reached) -> Self {
        Self {
            gate: Gate::of_caller(&jobs.hosts, reached),
            jobs: jobs.routes.plain_jobs(),
            _connected: jobs.connected.join(),
            senders: Arc::new(Senders::new(jobs, Arc::clone(batchers))),
            others,
        }
    }

    /// Answers one request.
    pub fn serve<B>(
        &self,
        request: Request<B>,
    ) -> impl Future<Output = Response<AnswerBody>> + Send + use<B>
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        let routes = &self.senders.jobs().routes;
        let dispatch = || {
            if let Err(problem) = self.gate.check(&request) {
                return Answer::ready(refuse_elsewhere(routes, problem));
            }
            match self.jobs {
                Some(jobs) if is_job(&request) => self.job(jobs, request),
                _ => self.other(request),
            }
        };
        Answer::guarded(dispatch, || refuse_elsewhere(routes, Problem::internal()))
    }

    /// Answers a job of the route of this number, which takes nothing else of a request.
    fn job<B>(
        &self,
        route: usize,
        request: Request<B>,
    ) -> Answer<impl Future<Output = Response<AnswerBody>> + Send + use<B>>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let sender = self.senders.of(route, request.version());
        match Posted::new(&sender.jobs, request) {
            Ok(mut posted) => match posted.for_later() {
                None => Answer::Job {
                    answer: posted.answer(Arc::clone(sender)),
                },
                Some(for_later) => {
                    let (senders, sender) = (Arc::clone(&self.senders), Arc::clone(sender));
                    Answer::boxed(posted.hand_in(senders, sender, for_later))
                }
            },
            Err(problem) => Answer::ready(refuse(&sender.route, problem)),
        }
    }

    /// Answers anything else: on the proxy's own paths, then on those of routes, then on
    /// any.
    fn other<B, F>(&self, request: Request<B>) -> Answer<F>
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
        F: Future<Output = Response<AnswerBody>>,
    {
        self.senders.heed(request.version());
        let jobs = self.senders.jobs();
        let routes = &jobs.routes;
        let path = request.uri().path();
        let uncounted = || Uncounted::new(Arc::clone(routes.first()));
        if let Some(resource) = Resource::of(jobs, &request) {
            let (senders, uncounted) = (Arc::clone(&self.senders), uncounted());
            return Answer::boxed(async move {
                let _uncounted = uncounted;
                resource.answer(&senders).await
            });
        }
        if is_own(path) {
            return Answer::routed(self.others.clone(), request.map(Body::new), uncounted());
        }
        if let Some(found) = routes.at(path) {
            let route = found.route;
            if found.walks() {
                let problem = Problem::no_such_path(NoSuchPath::DotSegment);
                return Answer::ready(refuse(&routes.all()[route], problem));
            }
            let captures = found.captures.into_iter().map(Box::from).collect();
            let senders = Arc::clone(&self.senders);
            return Answer::boxed(calls::answer(senders, route, request, captures));
        }
        if let Some(target) = &jobs.passthrough {
            let (target, routes, uncounted) = (target.clone(), routes.clone(), uncounted());
            let occupied = self.senders.occupied();
            return Answer::boxed(async move {
                let _uncounted = uncounted;
                pass_through(&target, &routes, request, occupied).await
            });
        }
        Answer::routed(self.others.clone(), request.map(Body::new), uncounted())
    }
}

fn is_job<B>(request: &Request<B>) -> bool {
    request.uri().path() == JOBS && request.method() == Method::POST
}

/// Serves one connection of the jobs listener until it ends.
pub async fn serve_jobs<S>(stream: S, caller: Caller, limits: Limits, permit: Permit)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let answer = move |request| caller.serve(request);
    server::serve(stream, answer, limits, permit).await;
}

/// A connection of the admin listener.
pub struct Operator {
    gate: Gate,
    router: Router,
}

impl Operator {
    /// Somebody who has reached us so, where we answer to these names.
    /// `router` are the paths of [`super::admin_router`].
    pub fn new(router: Router, hosts: &HostNames, reached: Reached) -> Self {
        let gate = Gate::of_operator(hosts, reached);
        Self { gate, router }
    }

    fn serve<B>(
        &self,
        request: Request<B>,
    ) -> impl Future<Output = Response<AnswerBody>> + Send + use<B>
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        type NoJob = std::future::Ready<Response<AnswerBody>>;
        let dispatch = || match self.gate.check(&request) {
            Ok(()) => Answer::<NoJob>::routed(self.router.clone(), request.map(Body::new), ()),
            Err(problem) => Answer::ready(problem.into_response().map(AnswerBody::from)),
        };
        Answer::guarded(dispatch, internal)
    }
}

/// Serves one connection of the admin listener until it ends.
pub async fn serve_admin<S>(stream: S, operator: Operator, limits: Limits, permit: Permit)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let answer = move |request| operator.serve(request);
    server::serve(stream, answer, limits, permit).await;
}
