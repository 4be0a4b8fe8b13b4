//! Calls of any route: merged with others where they can be, else alone, as they came, or
//! refused. What comes to the plain route `jobs` has a way of its own, in `jobs`.

use std::future::poll_fn;
use std::sync::Arc;

use axum::BoxError;
use axum::http::request::Parts;
use axum::http::{Request, Response};
use bytes::Bytes;
use http_body_util::Full;
use percent_encoding::percent_decode_str;

use super::answer_body::AnswerBody;
use super::arriving::{Unread, read, unread};
use super::call_head::{Told, Turned, content_type};
use super::forward::go_alone;
use super::later::Owner;
use super::problem::Problem;
use super::refusal::{refuse, refuse_traced};
use super::sender::Senders;
use super::traced::Traced;
use super::uncounted::{CountedBy, Uncounted};
use super::waiting::{Waiting, render};
use crate::aside::{LARGE, aside};
use crate::forward::Prefixed;
use crate::job::Job;
use crate::observe::spans::JobEnd;
use crate::route::Route;
use crate::shape::{self, Call, JobError, NotMerged, Why};

/// Answers a call of this owner's of the route of this number, whose path has captured so
/// much.
pub(super) async fn answer<B>(
    senders: Arc<Senders>,
    route: usize,
    request: Request<B>,
    captures: Box<[Box<str>]>,
    owner: Owner,
) -> Response<AnswerBody>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    let jobs = senders.jobs();
    let (number, route) = (route, &jobs.routes.all()[route]);
    let mut uncounted = Uncounted::new(&**route);
    let (head, body) = request.into_parts();
    let version = head.version;
    let alone = |why, head, captures| Alone {
        senders: &senders,
        route,
        why,
        head,
        captures,
    };
    let told = match Told::of(jobs, route, &head, !body.is_end_stream(), &captures, owner) {
        Ok(told) => told,
        Err(Turned::Alone(why)) => return alone(why, head, captures).goes(body).await,
        Err(Turned::Refused(problem)) => return refuse(route, problem),
    };
    let mut reading = unread(body, jobs);
    let body = match read(&mut reading, &told.stay, jobs).await {
        Ok(body) => body,
        Err(Unread::TooLarge) if route.shape.lets_alone() => {
            Traced::forget(told.traced);
            // What was read is charged until it is passed on.
            let (begun, rest, _charge) = reading.into_parts();
            let body = Prefixed::new(begun, rest);
            return alone(Why::Size, head, captures).goes(body).await;
        }
        Err(unread) => return refuse_traced(route, unread.problem(jobs), told.traced),
    };
    let call = match merge(route, body.clone(), &head, &captures).await {
        Ok(call) => call,
        Err(NotMerged::Alone(why)) => {
            Traced::forget(told.traced);
            let (_, _, _charge) = reading.into_parts();
            return alone(why, head, captures).goes(Full::new(body)).await;
        }
        Err(no_job) => return refuse_traced(route, Problem::no_job(no_job), told.traced),
    };
    // While the job waits nothing keeps the buffer that its connection read into.
    drop((head, body, captures));
    let Told {
        stay,
        mut traced,
        for_later,
        carried,
    } = told;
    let place = Traced::for_job(&mut traced);
    let job = Job::new(call).with_trace(place).with_carried(carried);
    match for_later {
        Some(Ok(for_later)) => {
            // From here on the store counts it.
            drop(reading);
            let occupied = || senders.occupied();
            let answer = for_later.hand_in(jobs, route, occupied, job, stay).await;
            if let Some(traced) = traced {
                traced.ended(JobEnd::HandedIn, answer.status().as_u16(), None);
            }
            return answer;
        }
        Some(Err(problem)) => return refuse_traced(route, problem.of(job.id()), traced),
        None => {}
    }
    let sender = senders.of(number, version);
    let (reply, id) = match sender.submit(job, stay.deadline()) {
        Ok(submitted) => submitted,
        Err(problem) => return refuse_traced(route, problem, traced),
    };
    let mut waiting = Waiting::new(reply, id.as_ref(), route);
    // From here on the queue counts it.
    drop(reading);
    uncounted.stage = CountedBy::Batcher;
    let answer = poll_fn(|context| waiting.poll(context)).await;
    uncounted.stage = CountedBy::Outcome(stay.arrived);
    render(sender, id.as_ref(), stay.arrived, answer, traced)
}

/// A call that goes by itself, but for its body.
struct Alone<'a> {
    senders: &'a Senders,
    route: &'a Route,
    why: Why,
    head: Parts,
    captures: Box<[Box<str>]>,
}

impl Alone<'_> {
    async fn goes<B>(self, body: B) -> Response<AnswerBody>
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let Self {
            senders,
            route,
            why,
            head,
            captures,
        } = self;
        let Some(to) = &route.alone else {
            // It is there wherever the shape lets alone.
            return refuse(route, Problem::internal());
        };
        let occupied = senders.occupied();
        let call = (head, body);
        Box::pin(go_alone(route, to, why, call, &captures, occupied)).await
    }
}

/// Reads a body as the route's shape has it.
pub(super) async fn merge(
    route: &Arc<Route>,
    body: Bytes,
    head: &Parts,
    captures: &[Box<str>],
) -> Result<Call, NotMerged> {
    let decoded = captures
        .iter()
        .map(|it| percent_decode_str(it).decode_utf8());
    let Ok(captures) = decoded.collect::<Result<Vec<_>, _>>() else {
        return Err(not_utf8(route));
    };
    // Of several, or of one that is no text, it was asked before.
    let content_type = content_type(&head.headers).unwrap_or_default();
    if body.len() < LARGE {
        let captures: Vec<&str> = captures.iter().map(|it| &**it).collect();
        return read_call(route, body, content_type, &captures);
    }
    let route = Arc::clone(route);
    let content_type = content_type.map(str::to_owned);
    let captures: Vec<String> = captures.into_iter().map(Into::into).collect();
    aside(move || {
        let captures: Vec<&str> = captures.iter().map(String::as_str).collect();
        read_call(&route, body, content_type.as_deref(), &captures)
    })
    .await
}

fn read_call(
    route: &Route,
    body: Bytes,
    content_type: Option<&str>,
    captures: &[&str],
) -> Result<Call, NotMerged> {
    let request = shape::Request {
        content_type,
        captures,
    };
    route.shape.read(body, request, route.limits)
}

/// A batch is text, and what the path captured may stand in it.
fn not_utf8(route: &Route) -> NotMerged {
    match route.shape.lets_alone() {
        true => NotMerged::Alone(Why::Form),
        false => NotMerged::NoJob(JobError::Malformed("the path is not UTF-8".to_owned())),
    }
}
