//! An answer in the making: at once, by a job, or by the routes. One that panics
//! becomes a problem, for its own caller alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use axum::response::IntoResponse;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::answer_body::AnswerBody;
use super::nosniff::nosniff;
use super::problem::Problem;

/// What the routes make.
type Routed = Pin<Box<dyn Future<Output = Response<AnswerBody>> + Send>>;

pin_project! {
    /// See the module. `F` is what most requests come to; what is asked for rarely
    /// is boxed, since it must not make the future of every job larger.
    #[project = Projected]
    pub(super) enum Answer<F> {
        Job { #[pin] answer: F },
        Other { answer: Routed },
        Ready { answer: Option<Box<Response<AnswerBody>>> },
    }
}

impl<F: Future<Output = Response<AnswerBody>>> Answer<F> {
    /// The answer that `answer` makes, or `panicked` does if that panics.
    pub fn guarded(
        answer: impl FnOnce() -> Self,
        panicked: impl FnOnce() -> Response<AnswerBody>,
    ) -> Self {
        catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|_| Self::ready(panicked()))
    }

    pub fn ready(answer: Response<AnswerBody>) -> Self {
        let answer = Some(Box::new(answer));
        Self::Ready { answer }
    }

    /// What the routes answer; `held` until they have.
    pub fn routed(mut router: Router, request: Request<Body>, held: impl Send + 'static) -> Self {
        Self::boxed(async move {
            let _held = held;
            let Ok(mut answer) = router.call(request).await;
            nosniff(answer.headers_mut());
            answer.map(AnswerBody::from)
        })
    }

    /// What is asked for rarely.
    pub fn boxed(answer: impl Future<Output = Response<AnswerBody>> + Send + 'static) -> Self {
        let answer = Box::pin(answer);
        Self::Other { answer }
    }
}

/// What a panic is answered with.
pub(super) fn internal() -> Response<AnswerBody> {
    Problem::internal().into_response().map(AnswerBody::from)
}

impl<F: Future<Output = Response<AnswerBody>>> Future for Answer<F> {
    type Output = Response<AnswerBody>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = catch_unwind(AssertUnwindSafe(|| {
            Poll::Ready(match self.project() {
                Projected::Job { answer } => ready!(answer.poll(context)),
                Projected::Other { answer } => ready!(answer.as_mut().poll(context)),
                Projected::Ready { answer } => {
                    answer.take().map_or_else(internal, |answer| *answer)
                }
            })
        }));
        // What panicked is not polled again.
        polled.unwrap_or_else(|_| Poll::Ready(internal()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_problem_whenever_it_comes() {
        type Never = std::future::Ready<Response<AnswerBody>>;
        let at_once = Answer::<Never>::guarded(|| panic!("while it is dispatched"), internal);
        let later = Answer::Job {
            answer: async {
                tokio::task::yield_now().await;
                panic!("while it is answered")
            },
        };
        assert_eq!(at_once.await.status(), 500);
        assert_eq!(later.await.status(), 500);
    }
}
