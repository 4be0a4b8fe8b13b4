//! An answer in the making: at once, by a job, or by the routes. One that panics
//! becomes a problem, for its own caller alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use axum::response::IntoResponse;
use tower_service::Service;

use super::answer_body::AnswerBody;
use super::nosniff::nosniff;
use super::problem::Problem;

/// See the module. It is small whatever makes it, since it is moved several times before it
/// is polled.
pub(super) enum Answer {
    Making(Pin<Box<dyn Future<Output = Response<AnswerBody>> + Send>>),
    Ready(Option<Box<Response<AnswerBody>>>),
}

impl Answer {
    /// The answer that `answer` makes, or `panicked` does if that panics.
    pub fn guarded(
        answer: impl FnOnce() -> Self,
        panicked: impl FnOnce() -> Response<AnswerBody>,
    ) -> Self {
        catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|_| Self::ready(panicked()))
    }

    pub fn ready(answer: Response<AnswerBody>) -> Self {
        Self::Ready(Some(Box::new(answer)))
    }

    /// What the routes answer; `held` until they have.
    pub fn routed(mut router: Router, request: Request<Body>, held: impl Send + 'static) -> Self {
        Self::making(async move {
            let _held = held;
            let Ok(mut answer) = router.call(request).await;
            nosniff(answer.headers_mut());
            answer.map(AnswerBody::from)
        })
    }

    /// What this makes.
    pub fn making(answer: impl Future<Output = Response<AnswerBody>> + Send + 'static) -> Self {
        Self::Making(Box::pin(answer))
    }
}

/// What a panic is answered with.
pub(super) fn internal() -> Response<AnswerBody> {
    Problem::internal().into_response().map(AnswerBody::from)
}

impl Future for Answer {
    type Output = Response<AnswerBody>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Making(answer) => {
                let polled = catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(context)));
                // What panicked is not polled again.
                polled.unwrap_or_else(|_| Poll::Ready(internal()))
            }
            Self::Ready(answer) => {
                Poll::Ready(answer.take().map_or_else(internal, |answer| *answer))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_problem_whenever_it_comes() {
        let at_once = Answer::guarded(|| panic!("while it is dispatched"), internal);
        let later = Answer::making(async {
            tokio::task::yield_now().await;
            panic!("while it is answered")
        });
        assert_eq!(at_once.await.status(), 500);
        assert_eq!(later.await.status(), 500);
    }
}
