//! The sample upstream: a small HTTP server that answers batches by echoing their jobs, and that
//! can be told to be slow, to fail, to lose results and to shuffle them.
//!
//! `microbatch upstream` runs it alone, `microbatch demo` runs it behind the proxy, and the tests
//! use it as an honest counterpart. It shares no code with the proxy, so that a mistake in one
//! does not hide the same mistake in the other.
//!
//! A batch goes through three steps: `batch.rs` reads it, `plan.rs` decides by chance what becomes
//! of it, and `batch.rs` writes the answer. `args.rs` holds the flags.

mod args;
mod batch;
mod plan;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;

pub use args::Args;
use plan::Answer;

/// The largest batch that is read, in bytes: far above what the proxy sends by default, and still
/// a bound.
const MAX_BODY: usize = 64 * 1024 * 1024;

const X_BATCH_ID: HeaderName = HeaderName::from_static("x-batch-id");

/// A sample upstream that listens and does not answer yet: see [`bind`] and [`SampleUpstream::run`].
#[derive(Debug)]
pub struct SampleUpstream {
    listener: TcpListener,
    local_addr: SocketAddr,
    args: Args,
}

/// Listens on `args.listen`. Connections are taken in from here on, and answered once
/// [`SampleUpstream::run`] is polled.
///
/// # Errors
///
/// The operating system's error, with the address in its message.
pub async fn bind(args: Args) -> io::Result<SampleUpstream> {
    let listen = &args.listen;
    let name_address = |error: io::Error| {
        let message = format!("the sample upstream cannot listen on {listen}: {error}");
        io::Error::new(error.kind(), message)
    };
    let listener = TcpListener::bind(listen).await.map_err(name_address)?;
    let local_addr = listener.local_addr().map_err(name_address)?;
    Ok(SampleUpstream {
        listener,
        local_addr,
        args,
    })
}

impl SampleUpstream {
    /// The address it listens on, with the port the operating system chose where port 0 was asked
    /// for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Answers `POST /batch` over HTTP/1.1 and h2c until `shutdown` completes, then finishes what
    /// is under way and returns.
    ///
    /// # Errors
    ///
    /// Those of `axum::serve`, which has none to report: a failing connection ends alone.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let chance = self
            .args
            .seed
            .map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let shared = Arc::new(Shared {
            args: self.args,
            chance: Mutex::new(chance),
        });
        let router = Router::new()
            .route("/batch", post(answer))
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(shared);
        // Without TCP_NODELAY an answer can wait for an acknowledgement; one that can't be set
        // costs time, not correctness.
        let listener = self
            .listener
            .tap_io(|stream| drop(stream.set_nodelay(true)));
        axum::serve(listener, router)
            .with_graceful_shutdown(shutdown)
            .await
    }
}

/// What all connections share.
struct Shared {
    args: Args,
    chance: Mutex<fastrand::Rng>,
}

impl Shared {
    /// The source of chance for one batch. Each batch gets its own, so that with a seed the k-th
    /// batch draws the same numbers whatever the sizes of the batches before it.
    fn fork_chance(&self) -> fastrand::Rng {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        chance.fork()
    }
}

/// `POST /batch`.
async fn answer(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let args = &shared.args;
    let jobs = match batch::parse(&body) {
        Ok(jobs) => jobs,
        Err(error) => {
            let sentence =
                format!("A batch is a JSON array of {{\"id\", \"body\"}} objects: {error}.\n");
            return (StatusCode::BAD_REQUEST, sentence).into_response();
        }
    };
    let batch_id = headers.get(X_BATCH_ID).and_then(|id| id.to_str().ok());
    tracing::debug!(size = jobs.len(), batch_id, "sample upstream took a batch");

    if let Some(max) = args.max_batch.filter(|max| jobs.len() > max.get()) {
        let sentence = format!(
            "A batch of {} jobs is over --max-batch {max}.\n",
            jobs.len()
        );
        return (StatusCode::PAYLOAD_TOO_LARGE, sentence).into_response();
    }
    let plan = plan::plan(&mut shared.fork_chance(), jobs.len(), args);
    // A sleep of 0 would still wait for the timer's next tick.
    if !plan.delay.is_zero() {
        tokio::time::sleep(plan.delay).await;
    }
    match plan.answer {
        Answer::Fail => (args.status, "A failure asked for with --fail-rate.\n").into_response(),
        Answer::Results(results) => {
            let body = batch::encode(&jobs, &results);
            ([(CONTENT_TYPE, "application/json")], body).into_response()
        }
    }
}
