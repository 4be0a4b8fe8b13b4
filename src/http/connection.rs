//! One connection of a caller: HTTP/1.1 or HTTP/2, as its first bytes say.
//!
//! What hyper leaves open is done here: a connection that sends no complete
//! request head in time is closed, also before it is known which protocol it
//! speaks. A connection that is idle between two requests costs no timer and is
//! left open; one whose next head came in part together with the request before
//! it counts as idle.

use std::convert::Infallible;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::{Request, Response, Version};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep_until};

use super::problem::Problem;
use super::{AnswerBody, mark};

/// Concurrent requests of one HTTP/2 connection: as many jobs as the default
/// number of slots takes in full batches of the default size.
const MAX_STREAMS: u32 = 1_000;

/// The largest head of a request, in bytes, and the most that is read at a time: a
/// connection keeps the buffer it reads into, for however long it is open.
const MAX_HEAD: usize = 16 * 1024;

/// Up to so many bytes, in pieces, are joined before they are written: the copy
/// costs less than the pieces cost the system.
const SHORT: usize = 1_024;

/// The time to write a farewell to a caller whose head is overdue.
const FAREWELL: Duration = Duration::from_millis(100);

/// Where a connection's caller stands with the next request head.
#[derive(Debug)]
struct Progress {
    stage: AtomicU8,
    /// Heads that were complete so far.
    heads: AtomicU32,
}

impl Progress {
    /// No bytes of it have come, and a request has been served before.
    const IDLE: u8 = 0;
    /// It has begun, or the connection is new.
    const AWAITED: u8 = 1;
    /// The head is complete; the request is being served.
    const SERVING: u8 = 2;
    /// HTTP/2: heads are the library's business from here on.
    const MULTIPLEXED: u8 = 3;

    fn new() -> Self {
        Self {
            stage: AtomicU8::new(Self::AWAITED),
            heads: AtomicU32::new(0),
        }
    }

    fn set(&self, to: u8) {
        self.stage.store(to, Ordering::Relaxed);
    }

    fn head_done(&self, stage: u8) {
        self.heads.fetch_add(1, Ordering::Relaxed);
        self.set(stage);
    }

    fn heads(&self) -> u32 {
        self.heads.load(Ordering::Relaxed)
    }

    fn turn(&self, from: u8, to: u8) {
        // Set by one task only; the order of loads and stores is its own.
        if self.get() == from {
            self.set(to);
        }
    }

    fn get(&self) -> u8 {
        self.stage.load(Ordering::Relaxed)
    }
}

/// Serves `stream` until it ends, or gracefully once `closing` turns true, each
/// request by `answer`.
pub(super) async fn serve<F>(
    stream: TcpStream,
    answer: impl Fn(Request<Incoming>) -> F + Send + 'static,
    read_timeout: Duration,
    closing: watch::Receiver<bool>,
) where
    F: Future<Output = Response<AnswerBody>> + Send + 'static,
{
    let progress = Arc::new(Progress::new());
    let serving = Arc::clone(&progress);
    let service = service_fn(move |request: Request<Incoming>| {
        serving.head_done(match request.version() {
            Version::HTTP_2 => Progress::MULTIPLEXED,
            _ => Progress::SERVING,
        });
        // None where it has panicked already.
        let answer = catch_unwind(AssertUnwindSafe(|| answer(request))).ok();
        let progress = Arc::clone(&serving);
        async move {
            let mut response = Guarded { answer }.await;
            mark(&mut response);
            // The next head may come.
            progress.turn(Progress::SERVING, Progress::IDLE);
            Ok::<_, Infallible>(response)
        }
    });
    let watched = Watched {
        stream,
        progress: Arc::clone(&progress),
    };
    let mut builder = Builder::new(TokioExecutor::new());
    // The time for a head is kept below, without a timer for each request.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(watched), service));
    let mut closing = std::pin::pin!(Closing::of(closing));
    let mut is_closing = false;
    let mut timer: Option<HeadTimer> = None;
    loop {
        let overdue = async {
            match timer {
                Some(timer) => sleep_until(timer.until).await,
                None => std::future::pending().await,
            }
        };
        let mut awaited = HeadAwaited {
            connection: connection.as_mut(),
            progress: &progress,
            timed: timer.map(|timer| timer.head),
        };
        tokio::select! {
            // The connection first: what it has just read may be the head.
            biased;
            event = &mut awaited => match event {
                // A caller's broken connection is no event of ours.
                Event::Over => return,
                Event::Begun(head) => {
                    let until = Instant::now() + read_timeout;
                    timer = Some(HeadTimer { head, until, farewell: false });
                }
                // Be it that it came during the farewell: then it is the last.
                Event::Done => timer = None,
            },
            () = overdue => match &mut timer {
                // HTTP/2 gets a word of farewell; what is half a head does not.
                Some(timer) if !timer.farewell => {
                    connection.as_mut().graceful_shutdown();
                    timer.farewell = true;
                    timer.until = Instant::now() + FAREWELL;
                }
                _ => return,
            },
            () = &mut closing, if !is_closing => {
                is_closing = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

pin_project_lite::pin_project! {
    /// That the house closes. The connection's task polls it whenever anything
    /// happens, and so it looks again only where it may have been woken.
    struct Closing<F> {
        #[pin]
        closing: F,
        flag: watch::Receiver<bool>,
        polled: bool,
    }
}

impl Closing<()> {
    fn of(flag: watch::Receiver<bool>) -> Closing<impl Future<Output = ()>> {
        let mut watched = flag.clone();
        Closing {
            // Whatever the task has done before, a poll registers its waker.
            closing: unconstrained(async move {
                drop(watched.wait_for(|&closing| closing).await);
            }),
            flag,
            polled: false,
        }
    }
}

impl<F: Future<Output = ()>> Future for Closing<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        // The waker of a task is always the same.
        let nothing_new = *this.polled && matches!(this.flag.has_changed(), Ok(false));
        if nothing_new {
            return Poll::Pending;
        }
        *this.polled = true;
        this.closing.poll(context)
    }
}

/// By when a head is to be complete.
#[derive(Clone, Copy)]
struct HeadTimer {
    /// Which of the connection's heads.
    head: u32,
    until: Instant,
    /// Its time is up; this is the time to say so.
    farewell: bool,
}

enum Event {
    Over,
    Begun(u32),
    Done,
}

/// Drives a connection until it is over, or the clock for a head is to be set
/// or stopped.
struct HeadAwaited<'a, C> {
    connection: Pin<&'a mut C>,
    progress: &'a Progress,
    /// The head whose clock runs.
    timed: Option<u32>,
}

impl<C: Future> Future for HeadAwaited<'_, C> {
    type Output = Event;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Event> {
        if self.connection.as_mut().poll(context).is_ready() {
            return Poll::Ready(Event::Over);
        }
        let awaited = (self.progress.get() == Progress::AWAITED).then(|| self.progress.heads());
        match (awaited, self.timed) {
            (Some(head), timed) if timed != Some(head) => Poll::Ready(Event::Begun(head)),
            (None, Some(_)) => Poll::Ready(Event::Done),
            _ => Poll::Pending,
        }
    }
}

pin_project_lite::pin_project! {
    /// An answer in the making; one that panics becomes a problem.
    struct Guarded<F> {
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

/// A stream that notes when bytes of a new head come.
struct Watched {
    stream: TcpStream,
    progress: Arc<Progress>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.progress.turn(Progress::IDLE, Progress::AWAITED);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        if length > SHORT {
            return Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        }
        let mut joined = [0; SHORT];
        let mut end = 0;
        for slice in slices {
            joined[end..end + slice.len()].copy_from_slice(slice);
            end += slice.len();
        }
        Pin::new(&mut self.stream).poll_write(context, &joined[..end])
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
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
