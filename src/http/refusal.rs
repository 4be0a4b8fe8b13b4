//! What a request is answered that no batcher has taken, and how that is counted.

use axum::http::Response;

use super::answer_body::AnswerBody;
use super::noted::note;
use super::problem::Problem;
use super::reply::Rendered;
use super::traced::Traced;
use crate::observe::spans::JobEnd;
use crate::route::{Route, Routes};

/// Answers a request to this route, whose call never entered the queue.
pub(super) fn refuse(route: &Route, problem: Problem) -> Response<AnswerBody> {
    let code = problem.code();
    route.refused(code);
    note(|it| {
        it.code = Some(code);
        it.route = Some(route.name.clone());
    });
    Rendered::problem(route, problem).into_uncharged()
}

/// The same, and ends the span of its job, if it has one.
pub(super) fn refuse_traced(
    route: &Route,
    problem: Problem,
    traced: Option<Box<Traced>>,
) -> Response<AnswerBody> {
    let code = problem.code();
    let answer = refuse(route, problem);
    if let Some(traced) = traced {
        traced.ended(JobEnd::Answered(code), answer.status().as_u16(), None);
    }
    answer
}

/// Answers a request that is to no route.
pub(super) fn refuse_elsewhere(routes: &Routes, problem: Problem) -> Response<AnswerBody> {
    let code = problem.code();
    routes.first().refused(code);
    note(|it| it.code = Some(code));
    Rendered::from(problem).into_uncharged()
}
