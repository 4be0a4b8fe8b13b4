//! The body of an answer on its way back.
//!
//! It has a place until it is dropped. It says no length of its own, so that the server
//! knows that more is to come, whatever the head announces.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use hyper::body::Incoming;
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep};

use super::places::Place;

/// Why an answer breaks off.
#[derive(Debug, Error)]
pub enum BrokenOff {
    /// At the upstream's.
    #[error("the upstream's answer broke off: {0}")]
    Upstream(#[from] hyper::Error),
    /// The upstream said nothing for too long.
    #[error("the upstream was silent amid its answer")]
    Silent,
    /// The process ends.
    #[error("the process ends")]
    GivenUp,
}

/// See the module.
pub struct ForwardedBody<B = Incoming> {
    body: B,
    /// The longest the upstream may be waited for.
    silence: Duration,
    /// Runs while it is waited for.
    timer: Option<Pin<Box<Sleep>>>,
    waits: bool,
    cut: Pin<Box<dyn Future<Output = ()> + Send>>,
    _place: Option<Place>,
}

impl<B> ForwardedBody<B> {
    pub(super) fn new(body: B, silence: Duration, place: Place) -> Self {
        Self {
            body,
            silence,
            timer: None,
            waits: false,
            cut: Box::pin(place.cut()),
            _place: Some(place),
        }
    }

    /// The body of 101, whose place the tunnel has.
    pub(super) fn before_tunnel(body: B) -> Self {
        Self {
            body,
            silence: Duration::MAX,
            timer: None,
            waits: false,
            cut: Box::pin(std::future::pending()),
            _place: None,
        }
    }

    /// Whether the upstream was waited for as long as it may be.
    fn is_overdue(&mut self, context: &mut Context<'_>) -> bool {
        let silence = self.silence;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(silence)));
        if !self.waits {
            self.waits = true;
            timer.as_mut().reset(Instant::now() + silence);
        }
        timer.as_mut().poll(context).is_ready()
    }
}

impl<B: Body<Data = Bytes, Error = hyper::Error> + Unpin> Body for ForwardedBody<B> {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let this = &mut *self;
        if this.cut.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(BrokenOff::GivenUp)));
        }
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(frame) => {
                this.waits = false;
                Poll::Ready(frame.map(|frame| frame.map_err(BrokenOff::Upstream)))
            }
            Poll::Pending if this.is_overdue(context) => Poll::Ready(Some(Err(BrokenOff::Silent))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

impl<B> std::fmt::Debug for ForwardedBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForwardedBody").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::sync::mpsc;
    use tokio::time::sleep;

    use super::super::places::Places;
    use super::*;

    /// A body of what is sent into it.
    struct Sent(mpsc::Receiver<Bytes>);

    impl Body for Sent {
        type Data = Bytes;
        type Error = hyper::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
            let piece = self.0.poll_recv(context);
            piece.map(|piece| piece.map(|it| Ok(Frame::data(it))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_may_be_silent_for_its_time_again_and_again_while_it_is_waited_for() {
        const SILENCE: Duration = Duration::from_secs(4);
        let almost = SILENCE - Duration::from_millis(10);
        let place = Places::new(1).take(SILENCE).await.unwrap();
        let (pieces, sent) = mpsc::channel(1);
        let mut body = ForwardedBody::new(Sent(sent), SILENCE, place);
        for _ in 0..3 {
            let saying = async {
                sleep(almost).await;
                pieces.send(Bytes::from_static(b"a")).await.unwrap();
            };
            let (frame, ()) = tokio::join!(body.frame(), saying);
            assert!(frame.unwrap().is_ok());
            // How long its caller takes is no silence of the upstream.
            sleep(3 * SILENCE).await;
        }
        let start = Instant::now();
        let error = body.frame().await.unwrap().unwrap_err();
        assert!(matches!(error, BrokenOff::Silent), "{error}");
        assert_eq!(start.elapsed(), SILENCE);
    }
}
