//! The upstream over HTTP: one call at a time on a connection of the runtime that
//! makes it, within the times and the size that its settings allow.

use std::sync::Arc;
use std::time::Duration;

use http::header::{HOST, HeaderValue};
use http::{HeaderMap, Method, Request, Uri, Version};
use tokio::time::{Instant, timeout_at};
use url::{Position, Url};

use super::call::{Call, Outgoing};
use super::connect::{Adapt, ConnectError, Connector, SetupError};
use super::connection::NoAnswer;
use super::error::CallError;
use super::headers;
use super::lease::Lease;
use super::pool::{Limits, Pool};
use super::response::{Ended, Response};
use super::tracked::{DispatchFlag, TrackedBody};

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
    pub(super) fn with(settings: Settings, adapt: &dyn Fn(&mut Adapt)) -> Result<Self, SetupError> {
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
            headers: headers::of_every_request(given, settings.headers),
            connect_timeout: settings.connect_timeout,
            timeout: settings.timeout,
            max_response: settings.max_response,
        })
    }
}

impl Call for Upstream {
    async fn post(&self, batch: Outgoing<'_>) -> Result<Response, CallError> {
        let deadline = Instant::now() + self.timeout;
        let pool = &self.pools[batch.runtime % self.pools.len()];
        loop {
            let mut lease = match Lease::kept(pool) {
                Some(lease) => lease,
                None => self.connect(pool, batch.dispatch, deadline).await?,
            };
            let (request, length) = self.request(&batch, lease.version());
            let answered = timeout_at(deadline, lease.call(request, length)).await;
            let Ok(answered) = answered else {
                lease.end(Ended::Suspect);
                return Err(match batch.dispatch.withdraw() {
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
                        batch.dispatch.reset();
                    }
                    error
                }
            };
            let is_kept = lease.is_kept();
            let gone = lease.end_with(&error);
            // It may have ended while nobody used it; that is nobody's failure.
            if is_kept && gone && !batch.dispatch.is_set() {
                continue;
            }
            return Err(CallError::without_answer(
                &error,
                !batch.dispatch.withdraw(),
            ));
        }
    }
}

impl Upstream {
    async fn connect(
        &self,
        pool: &Arc<Pool>,
        dispatch: &DispatchFlag,
        deadline: Instant,
    ) -> Result<Lease, CallError> {
        let until = deadline.min(Instant::now() + self.connect_timeout);
        let error = match timeout_at(until, Lease::new(pool)).await {
            Ok(Ok(lease)) => return Ok(lease),
            Ok(Err(ConnectError::Failed(text))) => CallError::Unreachable(text),
            Ok(Err(ConnectError::Timeout)) | Err(_) => CallError::ConnectTimeout,
        };
        dispatch.withdraw();
        Err(error)
    }

    /// The request, and the length of its body.
    fn request(&self, batch: &Outgoing<'_>, version: Version) -> (Request<TrackedBody>, usize) {
        let body = TrackedBody::new(batch.body.clone(), batch.dispatch.clone());
        let length = body.length();
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.version_mut() = version;
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        headers::add_batch(headers, batch);
        *request.uri_mut() = match version {
            Version::HTTP_2 => self.url.clone(),
            _ => {
                request.headers_mut().insert(HOST, self.host.clone());
                self.path.clone()
            }
        };
        (request, length)
    }
}
