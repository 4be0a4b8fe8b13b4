//! An answer that panics becomes a problem, for its own caller alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::http::Response;
use axum::response::IntoResponse;

use super::AnswerBody;
use super::problem::Problem;

/// Has `answer` make an answer, and answers what panics meanwhile, or later.
pub(super) fn guarded<F>(answer: impl FnOnce() -> F) -> Guarded<F>
where
    F: Future<Output = Response<AnswerBody>>,
{
    Guarded {
        answer: catch_unwind(AssertUnwindSafe(answer)).ok(),
    }
}

pin_project_lite::pin_project! {
    /// An answer in the making; one that panics becomes a problem.
    pub(super) struct Guarded<F> {
        // None where it has panicked already.
        #[pin]
        answer: Option<F>,
    }
}

impl<F: Future<Output = Response<AnswerBody>>> Future for Guarded<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let panicked = || Poll::Ready(Problem::internal().into_response().map(AnswerBody::from));
        let Some(answer) = self.project().answer.as_pin_mut() else {
            return panicked();
        };
        // What panicked is not polled again.
        catch_unwind(AssertUnwindSafe(|| answer.poll(context))).unwrap_or_else(|_| panicked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_problem_whenever_it_comes() {
        let later = async {
            tokio::task::yield_now().await;
            panic!("while it is answered")
        };
        for answer in [Some(later), None] {
            let answer = Guarded { answer }.await;
            assert_eq!(answer.status(), 500);
        }
    }
}
