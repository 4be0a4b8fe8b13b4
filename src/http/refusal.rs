//! What a request is answered that no batcher has taken, and how that is counted.

use axum::http::Response;

use super::answer_body::AnswerBody;
use super::noted::note;
use super::problem::Problem;
use super::reply::Rendered;
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

/// Answers a request that is to no route.
pub(super) fn refuse_elsewhere(routes: &Routes, problem: Problem) -> Response<AnswerBody> {
    let code = problem.code();
    routes.first().refused(code);
    note(|it| it.code = Some(code));
    Rendered::from(problem).into_uncharged()
}
