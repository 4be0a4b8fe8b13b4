//! What a call comes to before it is queued, for whoever only wants to know: `microbatch try`.

use std::sync::Arc;

use axum::http::{Request, Response};
use bytes::Bytes;

use super::answer_body::AnswerBody;
use super::call_head::{Told, Turned};
use super::calls::merge;
use super::context::Jobs;
use super::later::Owner;
use super::problem::Problem;
use super::refusal::refuse;
use crate::job::Job;
use crate::route::Route;
use crate::shape::{NotMerged, Why};

/// See the module.
#[derive(Debug)]
pub enum Rehearsed {
    /// It is merged with others.
    Merged(Box<Job>),
    /// It goes by itself, as it came.
    Alone(Why),
    /// It is refused with this answer.
    Refused(Response<AnswerBody>),
}

/// What this route makes of a call that is all there, and whose path has captured so much.
pub async fn rehearse(
    jobs: &Jobs,
    route: &Arc<Route>,
    request: Request<Bytes>,
    captures: &[Box<str>],
) -> Rehearsed {
    let (head, body) = request.into_parts();
    let refused = |problem| Rehearsed::Refused(refuse(route, problem));
    let told = match Told::of(
        jobs,
        route,
        &head,
        !body.is_empty(),
        captures,
        Owner::default(),
    ) {
        Ok(told) => told,
        Err(Turned::Alone(why)) => return Rehearsed::Alone(why),
        Err(Turned::Refused(problem)) => return refused(problem),
    };
    if body.len() > jobs.max_body {
        return match route.shape.lets_alone() {
            true => Rehearsed::Alone(Why::Size),
            false => refused(Problem::job_too_large(jobs.max_body)),
        };
    }
    match merge(route, body, &head, captures).await {
        Ok(call) => {
            let job = Job::new(call).with_carried(told.carried);
            Rehearsed::Merged(Box::new(job))
        }
        Err(NotMerged::Alone(why)) => Rehearsed::Alone(why),
        Err(no_job) => refused(Problem::no_job(no_job)),
    }
}
