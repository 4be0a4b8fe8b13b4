//! The upstream over HTTP: one call at a time on a connection of the runtime that
//! makes it, within the times and the size that its settings allow.

use std::sync::Arc;
use std::time::Duration;

use http::header::{HOST, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Uri, Version};
use tokio::time::{Instant, timeout_at};
use url::Position;

use super::call::{Call, Outgoing};
use super::connect::{Adapt, ConnectError, Connector};
use super::connection::NoAnswer;
use super::error::{CallError, SetupError};
use super::headers;
use super::lease::Lease;
use super::pool::{Limits, Pool};
use super::response::{Ended, Response};
use super::target::Target;
use super::tls::Tls;
use super::tracked::{DispatchFlag, TrackedBody};

/// Where and how to call.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `http`, `https` or a unix socket.
    pub url: Target,
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
    target: Target,
    /// What a request is for, where its callers say none of it.
    fixed: Uris,
    host: HeaderValue,
    headers: HeaderMap,
    connect_timeout: Duration,
    timeout: Duration,
    max_response: usize,
}

/// What a request is for.
#[derive(Clone, Debug)]
struct Uris {
    /// As HTTP/1.1 says it.
    path: Uri,
    /// As HTTP/2 does.
    url: Uri,
}

impl Upstream {
    /// Prepares to call, over `tls` where the URL says so; nothing is connected yet.
    ///
    /// # Errors
    /// [`SetupError`], when the TLS library can't be set up, the system's roots
    /// can't be read, or the URL can't be called.
    pub fn new(settings: Settings, tls: Tls) -> Result<Self, SetupError> {
        Self::with(settings, tls, &|_| {})
    }

    /// Tests adapt the connector: to HTTP/2 without TLS.
    pub(super) fn with(
        settings: Settings,
        tls: Tls,
        adapt: &dyn Fn(&mut Adapt),
    ) -> Result<Self, SetupError> {
        let (endpoint, given) = (settings.url.endpoint(), settings.url.url());
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
        let connector = Connector::new(endpoint, url.clone(), settings.timeout, tls, adapt)?;
        let made = Arc::default();
        let pool = |_| Pool::new(connector.clone(), limits, Arc::clone(&made));
        Ok(Self {
            pools: (0..settings.runtimes.max(1)).map(pool).collect(),
            fixed: Uris {
                path: Uri::try_from(path).map_err(|error| wrong(&error))?,
                url,
            },
            host: HeaderValue::try_from(authority).map_err(|error| wrong(&error))?,
            headers: headers::of_every_request(given, settings.headers),
            connect_timeout: settings.connect_timeout,
            timeout: settings.timeout,
            max_response: settings.max_response,
            target: settings.url,
        })
    }
}

impl Call for Upstream {
    async fn post(&self, batch: Outgoing<'_>) -> Result<Response, CallError> {
        let deadline = Instant::now() + self.timeout;
        let pool = &self.pools[batch.runtime % self.pools.len()];
        let own = self.own_uris(&batch)?;
        let uris = own.as_deref().unwrap_or(&self.fixed);
        loop {
            let mut lease = match Lease::kept(pool) {
                Some(lease) => lease,
                // Most calls need none, and are to be small.
                None => Box::pin(self.connect(pool, batch.dispatch, deadline)).await?,
            };
            let (request, length) = self.request(&batch, uris, lease.version());
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
            let (is_kept, track) = (lease.is_kept(), lease.track());
            let gone = lease.end_with(&error);
            // It may have ended while nobody used it; that is nobody's failure.
            if is_kept && gone && !batch.dispatch.is_set() {
                continue;
            }
            let asked = !batch.dispatch.withdraw();
            let (tls, error) = (track.ended_by(), &error);
            return Err(CallError::without_answer(error, tls, is_kept, asked));
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

    /// What a request of this batch is for, where not all are for the same.
    fn own_uris(&self, batch: &Outgoing<'_>) -> Result<Option<Box<Uris>>, CallError> {
        if self.target.is_fixed() && batch.query.is_none() {
            return Ok(None);
        }
        let path = self.target.path_for(batch.captures, batch.query);
        let uris = path.map_err(|error| error.to_string()).and_then(|path| {
            let uris = self.fixed.at(path);
            uris.map_err(|error| error.to_string())
        });
        uris.map(|it| Some(Box::new(it))).map_err(|why| {
            batch.dispatch.withdraw();
            CallError::Unreachable(format!("no such URL: {why}"))
        })
    }

    /// The request, and the length of its body.
    fn request(
        &self,
        batch: &Outgoing<'_>,
        uris: &Uris,
        version: Version,
    ) -> (Request<TrackedBody>, usize) {
        let body = TrackedBody::new(batch.body.clone(), batch.dispatch.clone());
        let length = body.length();
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.version_mut() = version;
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        headers::add_batch(headers, batch);
        *request.uri_mut() = match version {
            Version::HTTP_2 => uris.url.clone(),
            _ => {
                request.headers_mut().insert(HOST, self.host.clone());
                uris.path.clone()
            }
        };
        (request, length)
    }
}

impl Uris {
    /// The same, with another path and query.
    fn at(&self, path: String) -> Result<Self, http::Error> {
        let path = PathAndQuery::try_from(path)?;
        let mut url = self.url.clone().into_parts();
        url.path_and_query = Some(path.clone());
        Ok(Self {
            path: path.into(),
            url: Uri::from_parts(url)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};

    use super::super::endpoint::Endpoint;
    use super::*;

    fn upstream(url: &str) -> Upstream {
        let second = Duration::from_secs(1);
        let settings = Settings {
            url: Target::compile(url.parse::<Endpoint>().unwrap(), &["model"]).unwrap(),
            headers: HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("ours"))]),
            timeout: second,
            connect_timeout: second,
            max_response: 1,
            idle_timeout: second,
            max_connection_age: second,
            connections: 1,
            runtimes: 1,
        };
        Upstream::new(settings, Tls::system()).unwrap()
    }

    fn requested(upstream: &Upstream, captures: &[Box<str>], query: Option<&str>) -> [String; 3] {
        let id = HeaderValue::from_static("b");
        let content_type = HeaderValue::from_static("application/x-ndjson");
        let header = |name, value| (name, HeaderValue::from_static(value));
        let theirs = [
            header(AUTHORIZATION, "theirs"),
            header(http::HeaderName::from_static("x-tenant"), "a"),
        ];
        let dispatch = DispatchFlag::default();
        let batch = Outgoing {
            body: Vec::new(),
            content_type: Some(&content_type),
            captures,
            query,
            headers: &theirs,
            batch_id: &id,
            batch_size: &id,
            trace: None,
            dispatch: &dispatch,
            runtime: 0,
        };
        let own = upstream.own_uris(&batch).unwrap();
        let uris = own.as_deref().unwrap_or(&upstream.fixed);
        let requests = [Version::HTTP_11, Version::HTTP_2]
            .map(|version| upstream.request(&batch, uris, version).0);
        let [one, two] = requests.each_ref().map(|it| it.uri().to_string());
        let headers = requests[0].headers();
        let named = [CONTENT_TYPE, AUTHORIZATION, ACCEPT, theirs[1].0.clone()];
        let named = named.map(|name| {
            let all = headers.get_all(name).iter();
            all.map(|it| it.to_str().unwrap())
                .collect::<Vec<_>>()
                .join("+")
        });
        [one, two, named.join(" ")]
    }

    #[test]
    fn what_callers_say_is_in_the_request() {
        let headers = "application/x-ndjson ours application/json a";
        for (url, query, path) in [
            (
                "http://h:1/v1/{model}?a=b",
                Some("c=d"),
                "/v1/m%20n?a=b&c=d",
            ),
            ("http://h:1/v1/{model}", None, "/v1/m%20n"),
            ("http://h:1/v1", Some("c"), "/v1?c"),
            ("http://h:1/v1", None, "/v1"),
            ("unix:/s:/v1/{model}", Some("c"), "/v1/m%20n?c"),
        ] {
            let found = requested(&upstream(url), &["m%20n".into()], query);
            let host = match url.starts_with("unix:") {
                true => "localhost",
                false => "h:1",
            };
            let expected = [path, &format!("http://{host}{path}"), headers];
            assert_eq!(found, expected, "{url}");
        }
    }

    #[tokio::test]
    async fn what_is_no_url_is_not_sent() {
        let upstream = upstream("http://h:1/{model}");
        for (capture, query) in [("..", String::new()), ("a", "q".repeat(1 << 16))] {
            let id = HeaderValue::from_static("b");
            let dispatch = DispatchFlag::default();
            let batch = Outgoing {
                body: Vec::new(),
                content_type: None,
                captures: &[capture.into()],
                query: Some(&query),
                headers: &[],
                batch_id: &id,
                batch_size: &id,
                trace: None,
                dispatch: &dispatch,
                runtime: 0,
            };
            let error = upstream.post(batch).await.unwrap_err().to_string();
            assert!(error.contains("no such URL: "), "{error}");
            assert!(dispatch.withdraw());
        }
    }
}
