//! One place that requests are passed on to, as they came.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderMap};
use http::request::Parts;
use http::{Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::capture_connection;
use tracing::warn;

use super::answer::ForwardedBody;
use super::clients::{Clients, Kept};
use super::destination::{Compiled, Destination};
use super::error::ForwardError;
use super::head;
use super::outgoing::{BoxError, Notes, Outgoing};
use super::places::{Place, Places};
use super::tunnel;
use super::turns::{Party, Times};
use crate::throttle::LogThrottle;
use crate::upstream::{DialError, Dialer, SetupError, Tls, chain, credentials};

/// Where requests go, and what bounds them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where.
    pub to: Destination,
    /// Sent with each; they win over the caller's.
    pub headers: HeaderMap,
    /// For the head of the answer, and then for each wait for more of it.
    pub timeout: Duration,
    /// For connecting: DNS, TCP and TLS.
    pub connect_timeout: Duration,
    /// How long a connection is kept without a call.
    pub idle_timeout: Duration,
    /// For the caller's body, until there is an answer; what comes of it gives some back.
    pub read_timeout: Duration,
    /// How many there are at once, at most.
    pub max_alone: usize,
    /// How long one more waits.
    pub request_timeout: Duration,
}

/// See the module. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Forwarder {
    inner: Arc<Inner>,
    failures: Arc<Failures>,
}

#[derive(Debug)]
struct Inner {
    destination: Compiled,
    headers: HeaderMap,
    clients: Clients,
    places: Places,
    wait: Duration,
    times: Times,
}

/// How failures are told.
#[derive(Debug)]
struct Failures {
    route: Option<Box<str>>,
    lines: LogThrottle,
}

impl Forwarder {
    /// The most failures that are logged one by one in [`LogThrottle::SPAN`].
    pub const LINES: u32 = 5;

    /// Prepares to connect, over `tls` where the URL says so; nothing is connected yet.
    ///
    /// # Errors
    /// [`SetupError`], when the TLS library can't be set up, the system's roots can't be
    /// read, or the URL can't be called.
    pub fn new(settings: Settings, tls: Tls) -> Result<Self, SetupError> {
        let to = settings.to.endpoint();
        let mut headers = HeaderMap::new();
        if let Some(credentials) = credentials(to.url()) {
            headers.insert(AUTHORIZATION, credentials);
        }
        for name in settings.headers.keys() {
            headers.remove(name);
        }
        headers.extend(settings.headers);
        let dialer = Dialer::new(to, settings.connect_timeout, settings.timeout, tls)?;
        let kept = Kept {
            idle: settings.idle_timeout,
            most: settings.max_alone,
        };
        let destination = Compiled::new(settings.to);
        let inner = Inner {
            destination: destination.map_err(|error| SetupError::Url(error.to_string()))?,
            headers,
            clients: Clients::new(dialer, kept),
            places: Places::new(settings.max_alone),
            wait: settings.request_timeout,
            times: Times {
                caller: settings.read_timeout,
                upstream: settings.timeout,
            },
        };
        let failures = Failures {
            route: None,
            lines: LogThrottle::new(Self::LINES),
        };
        Ok(Self {
            inner: Arc::new(inner),
            failures: Arc::new(failures),
        })
    }

    /// The same, whose failures are told in so many lines, with the route that they are of.
    #[must_use]
    pub fn told_in(self, lines: LogThrottle, route: Option<&str>) -> Self {
        let route = route.map(Box::from);
        Self {
            failures: Arc::new(Failures { route, lines }),
            ..self
        }
    }

    /// Passes a request on, whose path has captured so much, as its route names it; returns
    /// with the head of the answer. Dropped, it ends the call, and so does its answer. `goes` is
    /// told when it has its place, and is on its way.
    ///
    /// # Errors
    /// [`ForwardError`].
    pub async fn forward<B>(
        &self,
        head: Parts,
        body: B,
        captures: &[Box<str>],
        goes: impl FnOnce() + Send,
    ) -> Result<Response<ForwardedBody>, ForwardError>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let answer = self.inner.forward(head, body, captures, goes).await;
        if let Err(error) = &answer {
            self.failures.log(error);
        }
        answer
    }

    /// No more requests are passed on; those under way are.
    pub fn close(&self) {
        self.inner.places.close();
    }

    /// Gives up what is under way: answers break off, tunnels close.
    pub fn cut(&self) {
        self.inner.places.cut();
    }

    /// Resolves when nothing is under way.
    pub async fn vacated(&self) {
        self.inner.places.vacated().await;
    }
}

impl Inner {
    async fn forward<B>(
        &self,
        mut head: Parts,
        body: B,
        captures: &[Box<str>],
        goes: impl FnOnce() + Send,
    ) -> Result<Response<ForwardedBody>, ForwardError>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let uri = self.destination.of(&head.uri, captures)?;
        let caller = head.extensions.remove::<OnUpgrade>();
        let protocols = head::upgrade(head.version, &head.headers);
        let upgrade = caller.zip(protocols);
        let place = self.places.take(self.wait).await?;
        goes();
        let notes = Notes::new();
        let body = Outgoing::new(&head.headers, body, &notes);
        let protocols = upgrade.as_ref().map(|(_, protocols)| protocols);
        let headers = head::of_request(
            head.headers,
            &self.headers,
            protocols,
            body.is_end_stream(),
            &body.size_hint(),
        );
        let mut request = Request::new(body);
        *request.method_mut() = head.method;
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = headers;
        Outgoing::heed(&mut request);
        let answer = self
            .call(request, upgrade.is_some(), &notes, &place)
            .await?;
        notes.answered();
        self.hand_back(answer, upgrade.map(|(caller, _)| caller), place)
    }

    /// Waits for the head of the answer.
    async fn call(
        &self,
        mut request: Request<Outgoing>,
        upgrades: bool,
        notes: &Notes,
        place: &Place,
    ) -> Result<Response<Incoming>, ForwardError> {
        let connection = capture_connection(&mut request);
        let connected = || connection.connection_metadata().is_some();
        let answer = tokio::select! {
            biased;
            answer = self.clients.here(upgrades).request(request) => answer,
            party = notes.turns.overdue(self.times) => {
                return Err(match party {
                    Party::Caller => ForwardError::CallerSilent,
                    Party::Upstream if !connected() => ForwardError::ConnectTimeout,
                    Party::Upstream => ForwardError::Timeout,
                });
            }
            () = place.cut() => return Err(ForwardError::GivenUp { sent: connected() }),
        };
        answer.map_err(|error| match notes.broke() {
            true => ForwardError::CallerBroke,
            false => without_answer(&error),
        })
    }

    fn hand_back(
        &self,
        answer: Response<Incoming>,
        caller: Option<OnUpgrade>,
        place: Place,
    ) -> Result<Response<ForwardedBody>, ForwardError> {
        let changes = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
        let (mut head, body) = answer.into_parts();
        let upstream = head.extensions.remove::<OnUpgrade>();
        let silence = self.times.upstream;
        let length = body.size_hint();
        let body = match changes {
            true => {
                let ends = caller.zip(upstream).ok_or(ForwardError::Unasked)?;
                tunnel::open(ends.0, ends.1, silence, place);
                ForwardedBody::before_tunnel(body)
            }
            false => ForwardedBody::new(body, silence, place),
        };
        Ok(head::of_answer(head, &length).map(|()| body))
    }
}

impl Failures {
    /// Tells the operator what the caller's problem does not.
    fn log(&self, error: &ForwardError) {
        let tells = matches!(
            error,
            ForwardError::NoPlace
                | ForwardError::Unreachable(_)
                | ForwardError::ConnectTimeout
                | ForwardError::Disconnected(_)
                | ForwardError::Timeout
                | ForwardError::Unasked
        );
        if tells && let Some(untold) = self.lines.admit() {
            let untold = (untold > 0).then_some(untold);
            let route = self.route.as_deref();
            warn!(route, untold, "request not passed on: {error}");
        }
    }
}

/// Why a call has no answer.
fn without_answer(error: &legacy::Error) -> ForwardError {
    let causes = || std::iter::successors(error.source(), |&cause| cause.source());
    if let Some(error) = causes().find_map(|it| it.downcast_ref::<DialError>()) {
        return match error {
            DialError::Timeout => ForwardError::ConnectTimeout,
            DialError::Failed(text) => ForwardError::Unreachable(text.clone()),
        };
    }
    // What the library gives back it had not begun.
    let returned = |it: &hyper::Error| it.is_canceled();
    let first = causes().find_map(|it| it.downcast_ref::<hyper::Error>());
    match error.is_connect() || first.is_some_and(returned) {
        true => ForwardError::Unreachable(chain(error)),
        false => ForwardError::Disconnected(chain(error)),
    }
}
