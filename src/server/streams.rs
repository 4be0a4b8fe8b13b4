//! The tasks of HTTP/2 streams, each with the time for its answer to be taken.
//!
//! The HTTP library spawns one for each request. While that is served, its time is
//! bounded elsewhere; from when its answer is there, a caller that takes nothing of
//! it for `write_timeout` has the stream reset: the library resets what is dropped.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::progress::Progress;

/// Spawns the streams of one connection.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    progress: Arc<Progress>,
    write_timeout: Duration,
}

impl Streams {
    pub fn new(progress: Arc<Progress>, write_timeout: Duration) -> Self {
        Self {
            progress,
            write_timeout,
        }
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        tokio::spawn(Stream {
            stream,
            timer: None,
            write_timeout: self.write_timeout,
            open: Open::new(&self.progress),
        });
    }
}

/// That a stream is open; over when dropped.
struct Open(Arc<Progress>);

impl Open {
    fn new(progress: &Arc<Progress>) -> Self {
        progress.stream_opened();
        Self(Arc::clone(progress))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.stream_closed();
    }
}

pin_project! {
    struct Stream<F> {
        #[pin]
        stream: F,
        // From when there is an answer.
        #[pin]
        timer: Option<Sleep>,
        write_timeout: Duration,
        open: Open,
    }
}

impl<F: Future<Output = ()>> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let progress = &this.open.0;
        let before = progress.moves.get();
        progress.awaits_answer.set(false);
        if this.stream.poll(context).is_ready() {
            return Poll::Ready(());
        }
        // Nothing else of the connection runs meanwhile: this stream has got on.
        if progress.awaits_answer.is_set() {
            // Its caller has taken what there was.
            this.timer.set(None);
        } else if progress.moves.get() != before {
            let until = Instant::now() + *this.write_timeout;
            match this.timer.as_mut().as_pin_mut() {
                Some(timer) => timer.reset(until),
                None => this.timer.set(Some(sleep_until(until))),
            }
        }
        match this.timer.as_mut().as_pin_mut() {
            Some(timer) => timer.poll(context),
            None => Poll::Pending,
        }
    }
}
