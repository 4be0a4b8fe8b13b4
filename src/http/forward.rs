//! Requests that are passed on as they came, and what their callers get where they can't be.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::Body;
use axum::http::header::ORIGIN;
use axum::http::request::Parts;
use axum::http::{Method, Request, Response};
use bytes::Bytes;
use http_body::Frame;

use super::answer_body::AnswerBody;
use super::authority::of_own_origin;
use super::context::Jobs;
use super::headers::Headers;
use super::nosniff::nosniff;
use super::noted::{Way, note};
use super::problem::Problem;
use super::refusal::refuse_elsewhere;
use super::reply::Rendered;
use super::sender::Occupied;
use crate::forward::{BrokenOff, ForwardError, ForwardedBody, Forwarder, upgrade};
use crate::observe::Event;
use crate::route::Route;
use crate::shape::Why;

/// `Allow` of a path that takes whatever the upstream takes.
const ANY: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Passes a call of this route on by itself, since it is not merged; the route's path has
/// captured so much, and its connection is occupied until all of the answer is there. Of
/// the body the beginning may have been read, see
/// [`Prefixed`](crate::forward::Prefixed).
pub(super) async fn go_alone<B>(
    route: &Route,
    to: &Forwarder,
    why: Why,
    (head, body): (Parts, B),
    captures: &[Box<str>],
    occupied: Occupied,
) -> Response<AnswerBody>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let why = why.as_str();
    note(|it| {
        it.route = Some(route.name.clone());
        it.way = Some(Way::Alone);
    });
    let goes = || route.observer.tell(Event::Alone { why });
    match to.forward(head, body, captures, goes).await {
        Ok(answer) => handed_back(answer, occupied),
        Err(error) => {
            let problem = counted(&error, route);
            Rendered::problem(route, problem).into_uncharged()
        }
    }
}

/// Passes a request on whose path is none of a route, nor the proxy's own.
pub(super) async fn pass_through<B>(
    to: &Forwarder,
    jobs: &Jobs,
    request: Request<B>,
    occupied: Occupied,
) -> Response<AnswerBody>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    if let Err(problem) = check(&request) {
        return refuse_elsewhere(&jobs.routes, problem);
    }
    let route = jobs.routes.first();
    note(|it| it.way = Some(Way::PassedThrough));
    let goes = || jobs.observer.tell(Event::PassedThrough);
    let (head, body) = request.into_parts();
    match to.forward(head, body, &[], goes).await {
        Ok(answer) => handed_back(answer, occupied),
        Err(error) => Rendered::from(counted(&error, route)).into_uncharged(),
    }
}

/// What is not passed on, whatever its path.
fn check<B: http_body::Body>(request: &Request<B>) -> Result<(), Problem> {
    if request.method() == Method::CONNECT {
        return Err(Problem::method_not_allowed(ANY));
    }
    if !request.uri().path().starts_with('/') {
        return Err(Problem::not_found("no such path"));
    }
    // As on a route: what a page of another origin may send without asking first is not
    // to reach a service that trusts whoever is on its machine.
    if request.headers().contains_key(ORIGIN) && !request.body().is_end_stream() {
        let content_type = Headers::of(request.headers()).content_type;
        content_type.map_err(Problem::unsupported_media_type)?;
    }
    if upgrade(request.version(), request.headers()).is_some() {
        of_own_origin(request.uri(), request.headers(), request.version())?;
    }
    Ok(())
}

fn handed_back(mut answer: Response<ForwardedBody>, occupied: Occupied) -> Response<AnswerBody> {
    nosniff(answer.headers_mut());
    answer.map(|body| AnswerBody::from(Body::new(Occupying { body, occupied })))
}

/// An answer whose connection waits for the rest of it, and for no job.
struct Occupying {
    body: ForwardedBody,
    #[expect(dead_code, reason = "it is there to be dropped")]
    occupied: Occupied,
}

impl http_body::Body for Occupying {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// The problem of a request that was not passed on. That one failed at the upstream is no
/// refusal of ours.
fn counted(error: &ForwardError, route: &Route) -> Problem {
    let problem = Problem::from(error);
    note(|it| it.code = Some(problem.code()));
    if problem.code().refuses() {
        route.refused(problem.code());
    }
    problem
}
