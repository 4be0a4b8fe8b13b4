//! The sample upstream: a small HTTP server that answers batches by echoing their jobs, and that
//! can be told to be slow, to fail, to lose results and to shuffle them.
//!
//! `microbatch upstream` runs it alone, `microbatch demo` runs it behind the proxy, and the tests
//! use it as an honest counterpart. It shares no code with the proxy, so that a mistake in one
//! does not hide the same mistake in the other.
//!
//! `service.rs` names the services that it stands in for, one for each preset. A request goes through
//! three steps: one of `services/` reads it, `plan.rs` decides by chance what becomes of it, and the
//! service writes the answer. `asked.rs` is what services have in common, `object.rs` what they read
//! JSON with, `args.rs` the flags.

mod args;
mod asked;
mod object;
mod plan;
mod service;
mod services;
#[cfg(test)]
mod services_tests;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use tokio::net::TcpListener;

pub use args::Args;
use asked::Request;
use plan::Answer;
pub use service::Service;

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

    /// Answers batches over HTTP/1.1 and h2c, at `POST /batch`, or at any path where another service
    /// than that of jobs is stood in for, and tells at `GET /count` what it has taken, until `shutdown` completes, then finishes what
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
            requests: AtomicU64::new(0),
            items: AtomicU64::new(0),
        });
        let router = Router::new().route("/count", get(count));
        let router = match shared.args.shape.has_one_path() {
            true => router.route("/batch", post(answer)),
            false => router.fallback_service(post(answer).with_state(Arc::clone(&shared))),
        };
        let router = router
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
    /// How many have been answered with success.
    requests: AtomicU64,
    /// How many of their items were neither lost nor failed.
    items: AtomicU64,
}

impl Shared {
    /// The source of chance for one batch. Each batch gets its own, so that with a seed the k-th
    /// batch draws the same numbers whatever the sizes of the batches before it.
    fn fork_chance(&self) -> fastrand::Rng {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        chance.fork()
    }

    fn refuse(&self, status: StatusCode, message: &str) -> Response {
        services::refusal(self.args.shape, status, message)
    }
}

/// One batch, or one call by itself.
async fn answer(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let args = &shared.args;
    let request = Request {
        path: uri.path(),
        headers: &headers,
        body: &body,
    };
    let asked = match services::read(args.shape, request) {
        Ok(asked) => asked,
        Err(error) => return shared.refuse(StatusCode::BAD_REQUEST, &error),
    };
    let items = asked.items();
    let batch_id = headers.get(X_BATCH_ID).and_then(|id| id.to_str().ok());
    tracing::debug!(size = items, batch_id, "sample upstream took a batch");

    if let Some(max) = args.max_batch.filter(|max| items > max.get()) {
        let sentence = format!("A batch of {items} jobs is over --max-batch {max}.");
        return shared.refuse(StatusCode::PAYLOAD_TOO_LARGE, &sentence);
    }
    let plan = plan::plan(&mut shared.fork_chance(), items, args);
    // A sleep of 0 would still wait for the timer's next tick.
    if !plan.delay.is_zero() {
        tokio::time::sleep(plan.delay).await;
    }
    let results = match plan.answer {
        Answer::Fail => return shared.refuse(args.status, "A failure asked for with --fail-rate."),
        Answer::Results(results) => results,
    };
    let response = asked.answer(&results);
    if response.status().is_success() {
        let taken = results.iter().filter(|result| !result.error).count();
        shared.requests.fetch_add(1, Ordering::Relaxed);
        shared.items.fetch_add(taken as u64, Ordering::Relaxed);
    }
    response
}

/// `GET /count`.
async fn count(State(shared): State<Arc<Shared>>) -> Response {
    let requests = shared.requests.load(Ordering::Relaxed);
    let items = shared.items.load(Ordering::Relaxed);
    let body = format!(r#"{{"requests":{requests},"items":{items}}}"#);
    asked::json(StatusCode::OK, body)
}
