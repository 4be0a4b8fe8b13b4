//! The call to the upstream: one batch out, one answer back.
//!
//! The processor calls it. It knows connections, times and limits; it does not
//! know what a job is. Redirects are not followed, no proxy is taken from the
//! environment, and nothing is decompressed, since nothing asks for that.

pub mod backoff;
pub mod budget;
pub mod circuit;
pub mod limit;
mod response;
mod unsent;
mod witness;

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use url::Url;

pub use response::Response;
use unsent::Unsent;
pub use witness::Sent;
use witness::Witness;

use crate::trace_context::TraceContext;

/// How long an idle connection is kept for the next batch.
const POOL_IDLE: Duration = Duration::from_secs(90);

/// Where and how to call.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `http` or `https`.
    pub url: Url,
    /// Sent with every batch; they win over the proxy's own `Accept` and
    /// `User-Agent`.
    pub headers: HeaderMap,
    /// For the whole answer, connecting included.
    pub timeout: Duration,
    /// For connecting: DNS, TCP and TLS.
    pub connect_timeout: Duration,
    /// The most bytes of an answer's body.
    pub max_response: usize,
    /// How many connections each runtime keeps, one for each batch in flight.
    pub connections: usize,
    /// How many runtimes call it.
    pub runtimes: usize,
}

/// One upstream.
#[derive(Debug)]
pub struct Upstream {
    /// One for each runtime, so that no call crosses over to a connection that
    /// another thread serves.
    clients: Box<[reqwest::Client]>,
    url: Url,
    headers: HeaderMap,
    timeout: Duration,
    max_response: usize,
}

/// Why a call has no complete answer. The texts are for the operator's log.
#[derive(Debug, Error)]
pub enum CallError {
    /// Refused, unreachable, unknown to DNS, TLS failed: nothing was sent.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// Connecting took longer than it, or the whole call, may: nothing was sent.
    #[error("connecting took too long")]
    ConnectTimeout,
    /// The upstream said over HTTP/2 that it had not begun, and never will: it
    /// refused the stream, or went away without it.
    #[error("the upstream turned the call away unprocessed: {0}")]
    Refused(String),
    /// The connection was lost after sending had begun, or broke the protocol.
    #[error("connection lost: {0}")]
    Disconnected(String),
    /// No complete answer in time.
    #[error("no complete answer in time")]
    Timeout,
    /// The body is over the limit; with the status.
    #[error("answer over the limit")]
    TooLarge(u16),
}

impl Upstream {
    /// Prepares to call; nothing is connected yet.
    ///
    /// # Errors
    /// When the TLS library can't be set up or the system's roots can't be read.
    pub fn new(settings: Settings) -> Result<Self, reqwest::Error> {
        Self::with(settings, |client| client)
    }

    /// Tests adapt the client: to HTTP/2 without TLS, to a root of their own.
    fn with(
        settings: Settings,
        adapt: impl Fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> Result<Self, reqwest::Error> {
        let client = || {
            let builder = reqwest::Client::builder();
            // The call is over when an upstream has answered, and its timeout with
            // it. One that answers early and then reads no more would keep its
            // connection, and what is left of the batch, for ever.
            #[cfg(target_os = "linux")]
            let builder = builder.tcp_user_timeout(settings.timeout);
            let builder = builder
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .no_proxy()
                .retry(reqwest::retry::never())
                .tcp_nodelay(true)
                .connect_timeout(settings.connect_timeout)
                .pool_max_idle_per_host(settings.connections)
                .pool_idle_timeout(POOL_IDLE);
            adapt(builder).build()
        };
        let clients = (0..settings.runtimes.max(1)).map(|_| client());
        let clients = clients.collect::<Result<_, _>>()?;
        let agent = concat!("microbatch/", env!("CARGO_PKG_VERSION"));
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        for name in settings.headers.keys() {
            headers.remove(name);
        }
        headers.extend(settings.headers);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Self {
            clients,
            url: settings.url,
            headers,
            timeout: settings.timeout,
            max_response: settings.max_response,
        })
    }
}

/// One batch, as it is sent.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// The array of its jobs, in pieces that follow each other.
    pub array: Vec<Bytes>,
    /// `X-Batch-Id`.
    pub batch_id: &'a HeaderValue,
    /// `X-Batch-Size`.
    pub batch_size: &'a HeaderValue,
    /// Its place in a trace, where it has one.
    pub trace: Option<&'a TraceContext>,
    /// Tells from the call on whether the upstream may have seen the batch.
    pub sent: &'a Sent,
    /// Which of the runtimes calls, from 0.
    pub runtime: usize,
}

/// A way to call an upstream. [`Upstream`] is the one over HTTP; a simulation
/// brings its own.
pub trait Call: Send + Sync + 'static {
    /// Posts one batch; returns when the head of the answer is there.
    ///
    /// # Errors
    /// [`CallError`]; the request is given up when the future is dropped.
    fn post(&self, batch: Outgoing<'_>)
    -> impl Future<Output = Result<Response, CallError>> + Send;
}

impl Call for Upstream {
    async fn post(&self, batch: Outgoing<'_>) -> Result<Response, CallError> {
        const BATCH_ID: HeaderName = HeaderName::from_static("x-batch-id");
        const BATCH_SIZE: HeaderName = HeaderName::from_static("x-batch-size");
        let Outgoing { trace, sent, .. } = batch;
        let deadline = Instant::now() + self.timeout;
        let client = &self.clients[batch.runtime % self.clients.len()];
        let mut request = client
            .post(self.url.clone())
            .headers(self.headers.clone())
            .header(BATCH_ID, batch.batch_id)
            .header(BATCH_SIZE, batch.batch_size)
            .body(Witness::body(batch.array, sent.clone()));
        if let Some(trace) = trace {
            request = request.header("traceparent", trace.to_string());
            if let Some(state) = trace.state() {
                request = request.header("tracestate", state);
            }
        }
        match timeout_at(deadline, request.send()).await {
            Ok(Ok(response)) => Ok(Response::new(response, self.max_response, deadline)),
            Ok(Err(error)) => Err(CallError::without_answer(error, !sent.withdraw())),
            Err(_) if sent.withdraw() => Err(CallError::ConnectTimeout),
            Err(_) => Err(CallError::Timeout),
        }
    }
}

impl CallError {
    /// Of a call that ended before the head of an answer.
    fn without_answer(error: reqwest::Error, asked: bool) -> Self {
        let error = error.without_url();
        match unsent::proof(&error, asked) {
            Some(Unsent::Unasked) if error.is_timeout() => Self::ConnectTimeout,
            Some(Unsent::Unasked) => Self::Unreachable(chain(&error)),
            Some(Unsent::Refused | Unsent::GoneAway) => Self::Refused(chain(&error)),
            None => Self::Disconnected(chain(&error)),
        }
    }

    /// Of an answer that broke off: whatever the upstream says then, it was at
    /// work.
    fn within_answer(error: reqwest::Error) -> Self {
        Self::Disconnected(chain(&error.without_url()))
    }
}

/// An error with all its causes, which say what really happened.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
