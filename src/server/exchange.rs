//! One request and its answer.
//!
//! A request that was answered before its body was read (a refusal, mostly) is
//! read on in the background on HTTP/2, within bounds, since the library would
//! reset the stream. On HTTP/1 its connection goes on if the rest of the body is
//! at hand; else the answer says `Connection: close`, and the connection is closed
//! in stages.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::http::header::{CONNECTION, EXPECT, HeaderValue};
use axum::http::{Request, Response};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tokio::time::timeout;

use super::linger;
use super::progress::Progress;

/// The most that is read of a refused request to go on with its connection.
const AT_HAND: usize = 64 * 1024;

/// The most of an answer that HTTP/2 is given at a time: of what it was given the
/// stream can't be reset any more.
const PIECE: usize = 16 * 1024;

/// What is left of an answer up to this size, in bytes, is given to HTTP/2 as it is.
const SHORT: usize = 1_024;

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
        let expects = !whole && request.headers().contains_key(EXPECT);
        let request = request.map(|body| RequestBody {
            body: (!whole).then_some(body),
            progress: Arc::clone(&self.progress),
        });
        Answering {
            // What it drops at once is seen as well.
            answer: Some(self.progress.collecting(|| answer(request))),
            refused: None,
            progress: Arc::clone(&self.progress),
            expects,
            max_body: self.max_body,
        }
    }
}

/// The body of a request, which is missed if it is dropped before its end.
#[derive(Debug)]
pub struct RequestBody {
    /// Until its end.
    body: Option<Incoming>,
    progress: Arc<Progress>,
}

impl RequestBody {
    fn ended(&mut self) {
        self.body = None;
        self.progress.body_done();
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            self.progress.unread(body);
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(&mut *body).poll_frame(context);
        let ended = match &polled {
            Poll::Ready(Some(Ok(_))) => body.is_end_stream(),
            Poll::Ready(_) => true,
            Poll::Pending => false,
        };
        if let Poll::Ready(Some(Err(_))) = &polled {
            self.progress.broke();
        }
        if ended {
            self.ended();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
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

/// An answer to a request that was not read to its end.
struct Refused<R> {
    response: Option<R>,
    body: Incoming,
    /// How much may still be read.
    rest: usize,
    /// There was nothing to read the last time.
    waited: bool,
}

impl<R> Refused<R> {
    /// Reads what is there: whether that was all.
    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        loop {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(None) => return Poll::Ready(true),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                Poll::Ready(Some(Ok(frame))) => {
                    self.waited = false;
                    let length = frame.data_ref().map_or(0, Bytes::len);
                    match self.rest.checked_sub(length) {
                        Some(rest) => self.rest = rest,
                        None => return Poll::Ready(false),
                    }
                }
                Poll::Pending if self.waited => return Poll::Ready(false),
                Poll::Pending => {
                    // The library reads when it is asked to, and that only now:
                    // what is there is here the next time.
                    self.waited = true;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
    }
}

/// Reads a body to its end, within the bounds of lingering.
async fn discard(mut body: Incoming, max_body: usize) {
    let mut rest = linger::bytes(max_body);
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match rest.checked_sub(length) {
                Some(less) => rest = less,
                None => return,
            }
        }
    };
    let _ = timeout(linger::TIME, reading).await;
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
        let multiplexed = progress.is_multiplexed();
        if this.refused.is_none() {
            let response = progress.collecting(|| {
                let Some(answer) = this.answer.as_mut().as_pin_mut() else {
                    return Poll::Pending;
                };
                let response = ready!(answer.poll(context));
                // With all that it held of the request.
                this.answer.set(None);
                Poll::Ready(response)
            });
            let response = ready!(response);
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
            *this.refused = Some(Box::new(Refused {
                response: Some(response),
                body,
                rest: AT_HAND,
                waited: false,
            }));
        }
        let Some(refused) = this.refused else {
            return Poll::Pending;
        };
        let whole = ready!(refused.poll_rest(context));
        match refused.response.take() {
            Some(response) => Poll::Ready(Ok(finish(response, this.progress, false, !whole))),
            None => Poll::Pending,
        }
    }
}

/// Makes an answer ready to be sent.
fn finish<B>(
    mut response: Response<B>,
    progress: &Arc<Progress>,
    multiplexed: bool,
    close: bool,
) -> Response<AnswerBody<B>> {
    progress.answered();
    let close = close || progress.has_broken() || progress.connections.is_closing();
    if close && !multiplexed {
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|body| AnswerBody {
        body,
        rest: Bytes::new(),
        multiplexed: multiplexed.then(|| Arc::clone(progress)),
    })
}

pin_project! {
    /// The body of an answer; on HTTP/2 in pieces.
    ///
    /// The library takes a piece as soon as the caller has room for its first byte,
    /// and the stream can't be reset once it has the last. So of a long answer the
    /// last byte is a piece of its own: once that is taken there is room for all.
    pub(super) struct AnswerBody<B> {
        #[pin]
        body: B,
        // What is left of what the body gave.
        rest: Bytes,
        multiplexed: Option<Arc<Progress>>,
    }
}

/// The next piece of what is to be sent.
fn piece(rest: &mut Bytes) -> Bytes {
    let length = match rest.len() {
        length @ 0..=SHORT => length,
        length => PIECE.min(length - 1),
    };
    rest.split_to(length)
}

impl<B: Body<Data = Bytes>> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let Some(progress) = this.multiplexed else {
            return this.body.poll_frame(context);
        };
        if this.rest.is_empty() {
            match ready!(this.body.poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => *this.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                end => return Poll::Ready(end),
            }
        }
        progress.moved();
        Poll::Ready(Some(Ok(Frame::data(piece(this.rest)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.size_hint();
        let Some(exact) = hint.exact() else {
            return hint;
        };
        SizeHint::with_exact(exact.saturating_add(self.rest.len() as u64))
    }
}
