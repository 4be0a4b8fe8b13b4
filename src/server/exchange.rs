//! One request and its answer.
//!
//! One that was answered before its body was read (a refusal, mostly) is left to
//! [`super::unread`]; where its connection can't go on, the answer says
//! `Connection: close`, and the connection is closed in stages.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::http::header::{CONNECTION, EXPECT, HeaderValue};
use axum::http::{Request, Response, StatusCode};
use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use pin_project_lite::pin_project;

use super::pieces::{AnswerBody, Open, Way};
use super::progress::Progress;
use super::unread::{Refused, RequestBody, discard};

/// What all requests of a connection have in common.
pub(super) struct Exchange {
    progress: Arc<Progress>,
    max_body: usize,
}

impl Exchange {
    pub fn new(progress: Arc<Progress>, max_body: usize) -> Self {
        Self { progress, max_body }
    }

    /// Has a request answered.
    pub fn answer<F>(
        &self,
        request: Request<Incoming>,
        answer: &impl Fn(Request<RequestBody>) -> F,
    ) -> Answering<F>
    where
        F: Future,
    {
        let whole = request.body().is_end_stream();
        self.progress.head_done(whole);
        let expects = !whole && request.headers().keys().any(|name| name == EXPECT);
        let request = request.map(|body| {
            let body = (!whole).then_some(body);
            RequestBody::new(body, Arc::clone(&self.progress))
        });
        // What it drops at once is seen as well.
        let _collecting = self.progress.collect();
        Answering {
            answer: Some(answer(request)),
            refused: None,
            progress: Arc::clone(&self.progress),
            expects,
            max_body: self.max_body,
        }
    }
}

pin_project! {
    /// An answer in the making.
    pub(super) struct Answering<F>
    where
        F: Future,
    {
        #[pin]
        answer: Option<F>,
        refused: Option<Box<Refused<F::Output>>>,
        progress: Arc<Progress>,
        expects: bool,
        max_body: usize,
    }
}

impl<F, B> Future for Answering<F>
where
    F: Future<Output = Response<B>>,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Output = Result<Response<AnswerBody<B>>, std::convert::Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let progress = &**this.progress;
        let multiplexed = progress.multiplexed.is_set();
        if this.refused.is_none() {
            let collecting = progress.collect();
            let Some(answer) = this.answer.as_mut().as_pin_mut() else {
                return Poll::Pending;
            };
            let response = ready!(answer.poll(context));
            // With all that it held of the request.
            this.answer.set(None);
            drop(collecting);
            let Some(body) = progress.take_unread() else {
                return Poll::Ready(Ok(finish(response, this.progress, multiplexed, false)));
            };
            if multiplexed {
                tokio::spawn(discard(body, *this.max_body));
                return Poll::Ready(Ok(finish(response, this.progress, true, false)));
            }
            if *this.expects {
                // Reading would have the library ask for the body.
                return Poll::Ready(Ok(finish(response, this.progress, false, true)));
            }
            *this.refused = Some(Box::new(Refused::new(response, body)));
        }
        let Some(refused) = this.refused else {
            return Poll::Pending;
        };
        let (response, whole) = ready!(refused.poll(context));
        Poll::Ready(Ok(finish(response, this.progress, false, !whole)))
    }
}

/// Makes an answer ready to be sent.
fn finish<B: Body>(
    mut response: Response<B>,
    progress: &Arc<Progress>,
    multiplexed: bool,
    close: bool,
) -> Response<AnswerBody<B>> {
    progress.answered();
    let close = close || progress.broken.is_set() || progress.life.is_closing();
    // After a change of protocols nothing is left to close.
    let changes = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if close && !multiplexed && !changes {
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let way = |body: &B| match (multiplexed, body.size_hint().exact()) {
        (true, _) => Way::Multiplexed(Arc::clone(progress)),
        (false, Some(_)) => Way::Whole,
        (false, None) => Way::Open {
            _until_dropped: Open::new(progress),
        },
    };
    response.map(|body| {
        let way = way(&body);
        AnswerBody::new(body, way)
    })
}
