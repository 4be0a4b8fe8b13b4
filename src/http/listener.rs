//! The two listeners: a connection's gate, and what serves a request that passes it.
//!
//! `app` hands connections to [`serve_jobs`] and [`serve_admin`], over whatever they
//! have come.

use std::cell::RefCell;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::AUTHORIZATION;
use axum::http::{Method, Request, Response};
use axum::response::IntoResponse;
use axum::{BoxError, Router};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::access::Entry;
use super::answer::{Answer, internal};
use super::answer_body::AnswerBody;
use super::authority::HostNames;
use super::calls;
use super::connected::Connection;
use super::context::{Jobs, JobsInner};
use super::following::{Following, InForce};
use super::forward::pass_through;
use super::gate::Gate;
use super::jobs::PostedHead;
use super::later::{Owner, Resource};
use super::noted::note;
use super::operator::Admin;
use super::problem::Problem;
use super::refusal::{refuse, refuse_elsewhere};
use super::routes::{admin_router, is_own, jobs_router};
use super::sender::{Batchers, Senders};
use super::uncounted::Uncounted;
use crate::route::{JOBS, Route};
use crate::server::connections::Permit;
use crate::server::socket::Reached;
use crate::server::{self, Limits};
use crate::tokens::Guard;
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
    reached: Reached,
    _connected: Connection,
}

impl Caller {
    /// Somebody who has just connected, whom the worker of this number serves, and who has
    /// reached us so.
    pub fn new(in_force: InForce<ForCallers>, worker: usize, reached: Reached) -> Self {
        let _connected = in_force.borrow().jobs.connected.join();
        let make = |now: &ForCallers| {
            let senders = Senders::new(now.jobs.clone(), &now.batchers[worker]);
            Serving::new(now, senders, reached)
        };
        Self {
            serving: RefCell::new(Following::new(in_force, make)),
            worker,
            reached,
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
            Serving::new(now, senders, self.reached)
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
    fn new(of: &ForCallers, senders: Senders, reached: Reached) -> Self {
        Self {
            gate: Gate::of_caller(&of.jobs.hosts, of.jobs.tokens.as_ref(), reached),
            jobs: of.jobs.routes.plain_jobs(),
            senders: Arc::new(senders),
            others: of.others.clone(),
        }
    }

    /// Answers one request.
    fn serve<B>(&self, request: Request<B>) -> Answer
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        let JobsInner { routes, access, .. } = &**self.senders.jobs();
        let logged = access.and_then(|write| Entry::of(write, &request));
        // Lent, since it is large and would be moved each time it is handed on.
        let mut request = Some(request);
        let dispatch = || {
            self.dispatch(&mut request)
                .unwrap_or_else(|| Answer::ready(internal()))
        };
        let answer = || Answer::guarded(dispatch, || refuse_elsewhere(routes, Problem::internal()));
        match logged {
            None => answer(),
            Some(entry) => entry.log(answer),
        }
    }

    /// Takes the request and answers it; nothing where there is none.
    fn dispatch<B>(&self, lent: &mut Option<Request<B>>) -> Option<Answer>
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        let request = lent.as_ref()?;
        let admitted = match self.gate.check(request) {
            Ok(admitted) => admitted,
            Err(problem) => {
                let refused = refuse_elsewhere(&self.senders.jobs().routes, problem);
                return Some(Answer::ready(refused));
            }
        };
        if let Some(admitted) = &admitted {
            note(|it| it.token = Some(admitted.name().clone()));
        }
        let owner = Owner::of(admitted.as_deref());
        match self.jobs {
            Some(jobs) if is_job(request) => self.job(jobs, lent, owner),
            _ => Some(self.other(lent.take()?, owner)),
        }
    }

    /// Answers a job of the route of this number, which takes nothing else of a request.
    fn job<B>(&self, route: usize, lent: &mut Option<Request<B>>, owner: Owner) -> Option<Answer>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let request = lent.as_ref()?;
        let sender = self.senders.of(route, request.version());
        let head = match PostedHead::read(sender, request, owner) {
            Ok(head) => head,
            Err(problem) => return Some(Answer::ready(refuse(&sender.route, problem))),
        };
        let mut posted = head.with(lent.take()?.into_body(), sender);
        Some(match posted.for_later() {
            None => Answer::making(posted.answer(Arc::clone(sender))),
            Some(for_later) => {
                let (senders, sender) = (Arc::clone(&self.senders), Arc::clone(sender));
                Answer::making(posted.hand_in(senders, sender, for_later))
            }
        })
    }

    /// Answers anything else: on the proxy's own paths, then on those of routes, then on
    /// any.
    fn other<B>(&self, mut request: Request<B>, owner: Owner) -> Answer
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        self.senders.heed(request.version());
        let jobs = self.senders.jobs();
        let routes = &jobs.routes;
        let path = request.uri().path();
        let uncounted = || Uncounted::new(Arc::clone(routes.first()));
        if let Some(resource) = Resource::of(jobs, &request, owner) {
            let (senders, uncounted) = (Arc::clone(&self.senders), uncounted());
            return Answer::making(async move {
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
            // A token of ours is nobody's business beyond, unless that is asked for.
            let names_it = |route: &Route| route.forward_headers.contains(&AUTHORIZATION);
            if self.gate.takes_tokens() && !names_it(&routes.all()[route]) {
                request.headers_mut().remove(AUTHORIZATION);
            }
            let senders = Arc::clone(&self.senders);
            return Answer::making(calls::answer(senders, route, request, captures, owner));
        }
        if let Some(target) = &jobs.passthrough {
            if self.gate.takes_tokens() {
                request.headers_mut().remove(AUTHORIZATION);
            }
            let (target, jobs, uncounted) = (Arc::clone(target), jobs.clone(), uncounted());
            let occupied = self.senders.occupied();
            return Answer::making(async move {
                let _uncounted = uncounted;
                pass_through(&target.to, &jobs, request, occupied).await
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
    tokens: Option<Guard>,
}

impl ForOperators {
    /// On a listener that answers to these names, and where these tokens let in.
    pub fn new(admin: Admin, hosts: HostNames, tokens: Option<Guard>) -> Self {
        let router = admin_router(admin, tokens.as_ref());
        Self {
            router,
            hosts,
            tokens,
        }
    }
}

/// A connection of the admin listener.
pub struct Operator {
    answering: RefCell<Following<ForOperators, (Gate, Router)>>,
    reached: Reached,
}

impl Operator {
    /// Somebody who has reached us so.
    pub fn new(in_force: InForce<ForOperators>, reached: Reached) -> Self {
        let make = |now: &ForOperators| Self::answering(now, reached);
        Self {
            answering: RefCell::new(Following::new(in_force, make)),
            reached,
        }
    }

    fn answering(now: &ForOperators, reached: Reached) -> (Gate, Router) {
        let gate = Gate::of_operator(&now.hosts, now.tokens.as_ref(), reached);
        (gate, now.router.clone())
    }

    fn serve<B>(
        &self,
        request: Request<B>,
    ) -> impl Future<Output = Response<AnswerBody>> + Send + use<B>
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let mut answering = self.answering.borrow_mut();
        let (gate, router) = answering.get(|now, _| Self::answering(now, self.reached));
        let dispatch = || match gate.check(&request) {
            Ok(_) => Answer::routed(router.clone(), request.map(Body::new), ()),
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
