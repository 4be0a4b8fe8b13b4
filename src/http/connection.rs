//! One connection of a caller: HTTP/1.1 or HTTP/2, as its first bytes say.
//!
//! What hyper leaves open is done here: a connection that sends no complete
//! request head in time is closed, also before it is known which protocol it
//! speaks. A connection that is idle between two requests costs no timer and is
//! left open; one whose next head came in part together with the request before
//! it counts as idle.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Version};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tower_service::Service;

use crate::batcher::Source;
use crate::job::Job;
use crate::processor::outcome::JobResult;

/// Concurrent requests of one HTTP/2 connection: as many jobs as the default
/// number of slots takes in full batches of the default size.
const MAX_STREAMS: u32 = 1_000;

/// The time to write a farewell to a caller whose head is overdue.
const FAREWELL: Duration = Duration::from_millis(100);

/// Who sent a request: put into its extensions.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub source: Arc<Source<Job, JobResult>>,
}

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

/// Serves `stream` until it ends, or gracefully once `closing` turns true.
pub(super) async fn serve(
    stream: TcpStream,
    router: Router,
    source: Option<Source<Job, JobResult>>,
    read_timeout: Duration,
    mut closing: watch::Receiver<bool>,
) {
    let progress = Arc::new(Progress::new());
    let service = TowerToHyperService::new(Requests {
        router,
        caller: source.map(|source| Caller {
            source: Arc::new(source),
        }),
        progress: Arc::clone(&progress),
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
        .header_read_timeout(None);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(watched), service));
    let mut closing = std::pin::pin!(async { drop(closing.wait_for(|&closing| closing).await) });
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

/// The router, told who is calling.
#[derive(Clone)]
struct Requests {
    router: Router,
    caller: Option<Caller>,
    progress: Arc<Progress>,
}

impl Service<Request<Incoming>> for Requests {
    type Response = <Router as Service<Request<Body>>>::Response;
    type Error = <Router as Service<Request<Body>>>::Error;
    type Future = Serving<<Router as Service<Request<Body>>>::Future>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let multiplexed = request.version() == Version::HTTP_2;
        self.progress.head_done(match multiplexed {
            true => Progress::MULTIPLEXED,
            false => Progress::SERVING,
        });
        let mut request = request.map(Body::new);
        if let Some(caller) = &self.caller {
            if multiplexed {
                caller.source.set_multiplexed();
            }
            request.extensions_mut().insert(caller.clone());
        }
        Serving {
            response: Box::pin(self.router.call(request)),
            progress: Arc::clone(&self.progress),
        }
    }
}

/// A request being served; the next head may come when it is done.
struct Serving<F> {
    response: Pin<Box<F>>,
    progress: Arc<Progress>,
}

impl<F: Future> Future for Serving<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let response = ready!(self.response.as_mut().poll(context));
        self.progress.turn(Progress::SERVING, Progress::IDLE);
        Poll::Ready(response)
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
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
