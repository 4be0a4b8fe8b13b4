//! The two listeners: a connection's gate, and what serves a request that passes it.
//!
//! `app` hands connections to [`serve_jobs`] and [`serve_admin`], over whatever they
//! have come.

use std::cell::RefCell;
use std::net::IpAddr;
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
use super::following::{Following, InForce};
use super::forward::pass_through;
use super::gate::Gate;
use super::jobs::Posted;
use super::later::Resource;
use super::operator::Admin;
use super::problem::Problem;
use super::refusal::{refuse, refuse_elsewhere};
use super::routes::{HEALTHZ, admin_router, jobs_router};
use super::sender::{Batchers, Senders};
use super::uncounted::Uncounted;
use crate::route::JOBS;
use crate::server::connections::Permit;
use crate::server::{self, Limits};
use crate::upstream::NoSuchPath;

/// What serves callers: a set of routes, as the workers have it. It never changes, and one
/// of other settings may take its place.
pub struct ForCallers {
    pub(super) jobs: Jobs,
    pub(super) batchers: Vec<Batchers>,
    pub(super) others: Router,
}

impl ForCallers {
    /// `batchers` are those of each worker.
    pub fn new(jobs: Jobs, batchers: Vec<Batchers>) -> Self {
        let others = jobs_router(&jobs);
        Self {
            jobs,
            batchers,
            others,
        }
    }

    /// What answering calls takes.
    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// Each route's batcher as the worker of this number has it.
    pub fn batchers(&self, worker: usize) -> &Batchers {
        &self.batchers[worker]
    }
}

/// A connection of the jobs listener.
pub struct Caller {
    /// A connection is served by one thread, and one request of it is looked at at a time.
    serving: RefCell<Following<ForCallers, Serving>>,
    worker: usize,
    local: Option<IpAddr>,
    _connected: Connection,
}

impl Caller {
    /// Somebody who has just connected, whom the worker of this number serves, and who has
    /// reached us at `local`, as far as the system tells.
    pub fn new(in_force: InForce<ForCallers>, worker: usize, local: Option<IpAddr>) -> Self {
        let _connected = in_force.borrow().jobs.connected.join();
        let make = |now: &ForCallers| {
            let senders = Senders::new(now.jobs.clone(), &now.batchers[worker]);
            Serving::new(now, senders, local)
        };
        Self {
            serving: RefCell::new(Following::new(in_force, make)),
            worker,
            local,
            _connected,
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
        let mut serving = self.serving.borrow_mut();
        let serving = serving.get(|now, before| {
            let batchers = &now.batchers[self.worker];
            let senders = before.senders.succeeded(now.jobs.clone(), batchers);
            Serving::new(now, senders, self.local)
        });
        serving.serve(request)
    }
}

/// What serves a caller, of one set of routes.
struct Serving {
    gate: Gate,
    senders: Arc<Senders>,
    /// The number of the route whose calls are found without a look at the table.
    jobs: Option<usize>,
    others: Router,
}

impl Serving {
    fn new(of: &ForCallers, senders: Senders, local: Option<IpAddr>) -> Self {
        Self {
            gate: Gate::of_caller(&of.jobs.hosts, local),
            jobs: of.jobs.routes.plain_jobs(),
            senders: Arc::new(senders),
            others: of.others.clone(),
        }
    }

    /// Answers one request.
    fn serve<B>(
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
        if path == HEALTHZ {
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
            let (target, jobs, uncounted) = (target.clone(), jobs.clone(), uncounted());
            let occupied = self.senders.occupied();
            return Answer::boxed(async move {
                let _uncounted = uncounted;
                pass_through(&target, &jobs, request, occupied).await
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

/// What answers operators. It never changes, and one of other settings may take its place.
pub struct ForOperators {
    router: Router,
    hosts: HostNames,
}

impl ForOperators {
    /// On a listener that answers to these names.
    pub fn new(admin: Admin, hosts: HostNames) -> Self {
        let router = admin_router(admin);
        Self { router, hosts }
    }
}

/// A connection of the admin listener.
pub struct Operator {
    answering: RefCell<Following<ForOperators, (Gate, Router)>>,
    local: Option<IpAddr>,
}

impl Operator {
    /// Somebody who has reached us at `local`.
    pub fn new(in_force: InForce<ForOperators>, local: Option<IpAddr>) -> Self {
        let make = |now: &ForOperators| Self::answering(now, local);
        Self {
            answering: RefCell::new(Following::new(in_force, make)),
            local,
        }
    }

    fn answering(now: &ForOperators, local: Option<IpAddr>) -> (Gate, Router) {
        (Gate::of_operator(&now.hosts, local), now.router.clone())
    }

    fn serve<B>(
        &self,
        request: Request<B>,
    ) -> impl Future<Output = Response<AnswerBody>> + Send + use<B>
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        type NoJob = std::future::Ready<Response<AnswerBody>>;
        let mut answering = self.answering.borrow_mut();
        let (gate, router) = answering.get(|now, _| Self::answering(now, self.local));
        let dispatch = || match gate.check(&request) {
            Ok(()) => Answer::<NoJob>::routed(router.clone(), request.map(Body::new), ()),
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
