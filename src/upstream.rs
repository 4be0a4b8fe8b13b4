//! The call to the upstream: one batch out, one answer back.
//!
//! The processor calls it. It knows connections, times and limits; it does not
//! know what a job is. Redirects are not followed, no proxy is taken from the
//! environment, and nothing is decompressed, since nothing asks for that.
//!
//! ```text
//! Upstream ──lease──▶ pool ──▶ connection ──▶ HTTP library ──▶ socket ──▶ TCP, under TLS
//!    ▲                 ▲                                         │
//!    └─── Response ────┘ whole, cut or suspect       track ◀─────┘ what was written
//! ```

mod connect;
mod connection;
mod pool;
mod response;
mod socket;
mod unsent;
mod witness;

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT,
};
use http::{HeaderMap, Method, Request, Uri, Version};
use percent_encoding::percent_decode_str;
use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use url::{Position, Url};

pub use connect::SetupError;
use connect::{Adapt, ConnectError, Connector};
use connection::NoAnswer;
use pool::{Lease, Limits, Pool};
use response::BATCH_ID;
pub use response::{Ended, Origin, Response};
use unsent::Unsent;
pub use witness::Sent;
use witness::Witness;

use crate::trace_context::TraceContext;

/// The longest text about an error, in bytes: part of it may be the upstream's.
const MAX_TEXT: usize = 512;

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
    /// How long a connection is kept without a call.
    pub idle_timeout: Duration,
    /// How long a connection is given new calls at most; zero for as long as it
    /// lasts.
    pub max_connection_age: Duration,
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
    pools: Box<[Arc<Pool>]>,
    /// What a request is for, over HTTP/1.1 and over HTTP/2.
    path: Uri,
    url: Uri,
    host: HeaderValue,
    headers: HeaderMap,
    connect_timeout: Duration,
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
    /// An answer that is not this call's, with its status. Its connection is not
    /// used again.
    #[error("an answer to another batch, with status {0}")]
    Foreign(u16),
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
    /// [`SetupError`], when the TLS library can't be set up, the system's roots
    /// can't be read, or the URL can't be called.
    pub fn new(settings: Settings) -> Result<Self, SetupError> {
        Self::with(settings, &|_| {})
    }

    /// Tests adapt the connector: to HTTP/2 without TLS, to a root of their own.
    fn with(settings: Settings, adapt: &dyn Fn(&mut Adapt)) -> Result<Self, SetupError> {
        let given = &settings.url;
        let wrong = |error: &dyn std::error::Error| SetupError::Url(error.to_string());
        let authority = &given[Position::BeforeHost..Position::AfterPort];
        let path = &given[Position::BeforePath..Position::AfterQuery];
        let url = format!("{}://{authority}{path}", given.scheme());
        let url = Uri::try_from(url).map_err(|error| wrong(&error))?;
        let limits = Limits {
            idle: settings.idle_timeout,
            age: settings.max_connection_age,
            idle_connections: settings.connections,
        };
        let connector = Connector::new(given, url.clone(), settings.timeout, adapt)?;
        let made = Arc::default();
        let pool = |_| Pool::new(connector.clone(), limits, Arc::clone(&made));
        Ok(Self {
            pools: (0..settings.runtimes.max(1)).map(pool).collect(),
            path: Uri::try_from(path).map_err(|error| wrong(&error))?,
            url,
            host: HeaderValue::try_from(authority).map_err(|error| wrong(&error))?,
            headers: headers(given, settings.headers),
            connect_timeout: settings.connect_timeout,
            timeout: settings.timeout,
            max_response: settings.max_response,
        })
    }
}

/// What every request says. Given headers win over the proxy's own, but for the
/// type of what it sends.
fn headers(url: &Url, given: HeaderMap) -> HeaderMap {
    let agent = concat!("microbatch/", env!("CARGO_PKG_VERSION"));
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    if let Some(credentials) = credentials(url) {
        headers.insert(AUTHORIZATION, credentials);
    }
    for name in given.keys() {
        headers.remove(name);
    }
    headers.extend(given);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers
}

/// The URL's user information as a header (RFC 7617).
fn credentials(url: &Url) -> Option<HeaderValue> {
    let (user, password) = (url.username(), url.password());
    if user.is_empty() && password.is_none() {
        return None;
    }
    let mut pair: Vec<u8> = percent_decode_str(user).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(password.unwrap_or_default()));
    let text = format!("Basic {}", STANDARD.encode(pair));
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
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
        let deadline = Instant::now() + self.timeout;
        let pool = &self.pools[batch.runtime % self.pools.len()];
        loop {
            let mut lease = match pool.kept() {
                Some(lease) => lease,
                None => self.connect(pool, batch.sent, deadline).await?,
            };
            let (request, length) = self.request(&batch, lease.version());
            let answered = timeout_at(deadline, lease.call(request, length)).await;
            let Ok(answered) = answered else {
                lease.end(Ended::Suspect);
                return Err(match batch.sent.withdraw() {
                    true => CallError::ConnectTimeout,
                    false => CallError::Timeout,
                });
            };
            let error = match answered {
                Ok(response) => {
                    lease.heed(response.headers());
                    let origin = Box::new(lease);
                    let (id, limit) = (batch.batch_id, self.max_response);
                    return Response::new(response, id, limit, deadline, origin);
                }
                Err(NoAnswer::Returned(error)) => error,
                Err(NoAnswer::Failed(error)) => {
                    if lease.is_unwritten() {
                        batch.sent.take_back();
                    }
                    error
                }
            };
            let is_kept = lease.is_kept();
            let gone = lease.end_with(&error);
            // It may have ended while nobody used it; that is nobody's failure.
            if is_kept && gone && !batch.sent.get() {
                continue;
            }
            return Err(CallError::without_answer(&error, !batch.sent.withdraw()));
        }
    }
}

impl Upstream {
    async fn connect(
        &self,
        pool: &Arc<Pool>,
        sent: &Sent,
        deadline: Instant,
    ) -> Result<Lease, CallError> {
        let until = deadline.min(Instant::now() + self.connect_timeout);
        let error = match timeout_at(until, pool.connect()).await {
            Ok(Ok(lease)) => return Ok(lease),
            Ok(Err(ConnectError::Failed(text))) => CallError::Unreachable(text),
            Ok(Err(ConnectError::Timeout)) | Err(_) => CallError::ConnectTimeout,
        };
        sent.withdraw();
        Err(error)
    }

    /// The request, and the length of its body.
    fn request(&self, batch: &Outgoing<'_>, version: Version) -> (Request<Witness>, usize) {
        const BATCH_SIZE: HeaderName = HeaderName::from_static("x-batch-size");
        const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
        const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
        let body = Witness::new(batch.array.clone(), batch.sent.clone());
        let length = batch.array.iter().map(Bytes::len).sum();
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        headers.insert(BATCH_ID, batch.batch_id.clone());
        headers.insert(BATCH_SIZE, batch.batch_size.clone());
        if let Some(trace) = batch.trace {
            headers.extend(
                HeaderValue::try_from(trace.to_string()).map(|parent| (TRACEPARENT, parent)),
            );
            let state = trace.state().map(HeaderValue::try_from);
            headers.extend(state.and_then(Result::ok).map(|state| (TRACESTATE, state)));
        }
        *request.uri_mut() = match version {
            Version::HTTP_2 => self.url.clone(),
            _ => {
                request.headers_mut().insert(HOST, self.host.clone());
                self.path.clone()
            }
        };
        *request.version_mut() = version;
        (request, length)
    }
}

impl CallError {
    /// Of a call that ended before the head of an answer.
    fn without_answer(error: &hyper::Error, asked: bool) -> Self {
        match unsent::proof(error, asked) {
            Some(Unsent::Unasked) => Self::Unreachable(chain(error)),
            Some(Unsent::Refused | Unsent::GoneAway) => Self::Refused(chain(error)),
            None => Self::disconnected(error),
        }
    }

    /// Of a connection that broke off: within an answer, whatever the upstream says
    /// then, it was at work.
    fn disconnected(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Disconnected(chain(error))
    }
}

/// An error with all its causes, which say what really happened, as far as there is
/// room: part of it may be the upstream's own words.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = Text(String::new());
    for (n, cause) in std::iter::successors(Some(error), |error| error.source()).enumerate() {
        let separator = if n > 0 { ": " } else { "" };
        if write!(text, "{separator}{cause}").is_err() {
            break;
        }
    }
    text.0
}

/// Text that takes no more than it may.
struct Text(String);

impl Write for Text {
    fn write_str(&mut self, more: &str) -> std::fmt::Result {
        let mut room = more.len().min(MAX_TEXT - self.0.len());
        while !more.is_char_boundary(room) {
            room -= 1;
        }
        self.0.push_str(&more[..room]);
        match room == more.len() {
            true => Ok(()),
            false => Err(std::fmt::Error),
        }
    }
}
