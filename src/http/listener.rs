//! The two listeners: a connection's gate, and what serves a request that passes it.
//!
//! `app` hands connections to [`serve_jobs`] and [`serve_admin`], over whatever they
//! have come.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request, Response, Version};
use axum::response::IntoResponse;
use axum::{BoxError, Router};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::answer::{Answer, internal};
use super::answer_body::AnswerBody;
use super::authority::HostNames;
use super::context::Jobs;
use super::gate::Gate;
use super::jobs::{Posted, Sender, Uncounted};
use super::later::Resource;
use super::problem::Problem;
use super::routes::JOBS;
use crate::batcher::Batcher;
use crate::engine::outcome::JobResult;
use crate::job::Job;
use crate::server::connections::Permit;
use crate::server::{self, Limits};

/// A connection of the jobs listener.
pub struct Caller {
    gate: Gate,
    sender: Arc<Sender>,
    others: Router,
}

impl Caller {
    /// Somebody who has just connected. `others` are the paths of
    /// [`super::jobs_router`]; what a caller's jobs fill is processed on the runtime of
    /// `batcher`. The connection has reached us at `local`, as far as the system
    /// tells.
    pub fn new(
        jobs: Jobs,
        batcher: &Batcher<Job, JobResult>,
        others: Router,
        local: Option<IpAddr>,
    ) -> Self {
        let gate = Gate::of_caller(&jobs.hosts, local);
        let source = batcher.source();
        let sender = Arc::new(Sender { jobs, source });
        Self {
            gate,
            sender,
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
        let jobs = &self.sender.jobs;
        let refused = |problem| Answer::ready(jobs.refuse(problem));
        let dispatch = || {
            if let Err(problem) = self.gate.check(&request) {
                return refused(problem);
            }
            if request.version() == Version::HTTP_2 {
                self.sender.source.set_multiplexed();
            }
            if request.uri().path() != JOBS || request.method() != Method::POST {
                let uncounted = Uncounted::new(jobs.clone());
                if let Some(resource) = Resource::of(jobs, &request) {
                    let sender = Arc::clone(&self.sender);
                    return Answer::boxed(async move {
                        let _uncounted = uncounted;
                        resource.answer(&sender.jobs, &sender.source).await
                    });
                }
                return Answer::routed(self.others.clone(), request.map(Body::new), uncounted);
            }
            match Posted::new(jobs, request) {
                Ok((posted, None)) => Answer::Job {
                    answer: posted.answer(Arc::clone(&self.sender)),
                },
                Ok((posted, Some(for_later))) => {
                    Answer::boxed(posted.hand_in(Arc::clone(&self.sender), for_later))
                }
                Err(problem) => refused(problem),
            }
        };
        Answer::guarded(dispatch, || jobs.refuse(Problem::internal()))
    }
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
    /// Somebody who has reached us at `local`, where we answer to these names.
    /// `router` are the paths of [`super::admin_router`].
    pub fn new(router: Router, hosts: &HostNames, local: Option<IpAddr>) -> Self {
        let gate = Gate::of_operator(hosts, local);
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
