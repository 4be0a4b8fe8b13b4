//! One connection that calls go over: over HTTP/1.1 one after the other, over
//! HTTP/2 side by side.
//!
//! The [`pool`](super::pool) keeps it and lends it out. Its task ends when nobody
//! holds it any more and what was begun is written, or at once when it is aborted.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Request, Response, Version};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::connect::{self, Connected, Stream};
use super::socket::Track;
use super::tracked::TrackedBody;

/// How often an HTTP/2 connection is asked whether it lives while calls are under
/// way.
const PING_EVERY: Duration = Duration::from_secs(10);
/// How long it has to say so.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// The least that an idle connection is given up before its announced end.
const MARGIN: Duration = Duration::from_millis(500);

/// A connection, or over HTTP/2 a share of it.
pub(super) struct Connection {
    sender: Sender,
    pub track: Arc<Track>,
    pub life: Life,
    /// Whether it began in clear, so that all that comes is HTTP.
    plain: bool,
    task: AbortHandle,
}

enum Sender {
    Http1(http1::SendRequest<TrackedBody>),
    Http2(http2::SendRequest<TrackedBody>),
}

/// When a connection is not used any more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    /// From then on, however busy it is.
    pub ends: Option<Instant>,
    /// After so long without a call.
    pub idle: Duration,
}

/// A call that got no answer's head.
pub(super) enum NoAnswer {
    /// The request came back: it was never begun.
    Returned(hyper::Error),
    /// It failed.
    Failed(hyper::Error),
}

impl Connection {
    /// Begins to speak HTTP.
    pub async fn open(connected: Connected, life: Life) -> Result<Self, hyper::Error> {
        let Connected {
            stream,
            track,
            version,
        } = connected;
        let plain = stream.is_plain();
        let (sender, task) = match stream {
            Stream::Plain(io) => speak(io, version).await?,
            Stream::Tls(io) => speak(io, version).await?,
        };
        Ok(Self {
            sender,
            track,
            life,
            plain,
            task,
        })
    }

    /// A share of it, where calls go side by side.
    pub fn share(&self) -> Option<Self> {
        match &self.sender {
            Sender::Http1(_) => None,
            Sender::Http2(sender) => Some(Self {
                sender: Sender::Http2(sender.clone()),
                track: Arc::clone(&self.track),
                life: self.life,
                plain: self.plain,
                task: self.task.clone(),
            }),
        }
    }

    /// Whether the next call may go over it at once.
    pub fn is_ready(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_ready() && !self.track.is_broken(),
            Sender::Http2(sender) => sender.is_ready() && !self.track.is_broken(),
        }
    }

    /// Closes it, whatever is under way on it.
    pub fn abort(&self) {
        self.task.abort();
    }

    /// The version that a request must have.
    pub fn version(&self) -> Version {
        match &self.sender {
            Sender::Http1(_) => Version::HTTP_11,
            Sender::Http2(_) => Version::HTTP_2,
        }
    }

    /// Sends a request; returns with the head of its answer. `kept` says whether
    /// others had the connection before.
    pub async fn call(
        &mut self,
        mut request: Request<TrackedBody>,
        kept: bool,
    ) -> Result<Response<Incoming>, NoAnswer> {
        let sent = match &mut self.sender {
            Sender::Http1(sender) => {
                // Of TLS, more than the handshake may follow it.
                self.track.begin(kept || self.plain);
                let track = Arc::clone(&self.track);
                hyper::ext::on_informational(&mut request, move |_| track.count_interim());
                sender.try_send_request(request).await
            }
            Sender::Http2(sender) => sender.try_send_request(request).await,
        };
        sent.map_err(|mut error: TrySendError<_>| match error.take_message() {
            Some(_) => NoAnswer::Returned(error.into_error()),
            None => NoAnswer::Failed(error.into_error()),
        })
    }
}

impl Life {
    /// Takes note of how long the upstream keeps an idle connection, if it says so
    /// (`Keep-Alive: timeout=<seconds>`, RFC 2068, section 19.7.1.1).
    pub fn heed(&mut self, headers: &HeaderMap) {
        if let Some(seconds) = headers.get("keep-alive").and_then(keep_alive) {
            let announced = Duration::from_secs(seconds);
            let margin = MARGIN.max(announced / 10);
            self.idle = self.idle.min(announced.saturating_sub(margin));
        }
    }

    /// When it is given up if no call comes from `now` on; `None` for at once.
    pub fn idle_until(&self, now: Instant) -> Option<Instant> {
        let until = now.checked_add(self.idle)?;
        let until = self.ends.map_or(until, |ends| until.min(ends));
        (until > now).then_some(until)
    }

    pub fn is_over(&self, now: Instant) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }
}

fn keep_alive(value: &http::HeaderValue) -> Option<u64> {
    let parameters = value.to_str().ok()?.split(',');
    let mut timeouts = parameters.filter_map(|it| it.trim().strip_prefix("timeout="));
    timeouts.find_map(|seconds| seconds.trim().parse().ok())
}

async fn speak<Io>(io: Io, version: connect::Version) -> Result<(Sender, AbortHandle), hyper::Error>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(io);
    match version {
        connect::Version::Http1 => {
            let (sender, connection) = http1::handshake(io).await?;
            // What goes wrong is said to the call.
            let task = tokio::spawn(async move { drop(connection.await) });
            Ok((Sender::Http1(sender), task.abort_handle()))
        }
        connect::Version::Http2 => {
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(PING_EVERY)
                .keep_alive_timeout(PING_TIMEOUT)
                .handshake(io)
                .await?;
            let task = tokio::spawn(async move { drop(connection.await) });
            Ok((Sender::Http2(sender), task.abort_handle()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(keep_alive: &'static str) -> Duration {
        let mut life = Life {
            ends: None,
            idle: Duration::from_secs(4),
        };
        let mut headers = HeaderMap::new();
        headers.insert("keep-alive", http::HeaderValue::from_static(keep_alive));
        life.heed(&headers);
        life.idle
    }

    #[test]
    fn an_announced_end_is_met_by_a_margin() {
        for (said, ms) in [
            ("timeout=60", 4000),
            ("timeout=5, max=100", 4000),
            ("max=100,timeout=3", 2500),
            ("timeout=1", 500),
            ("timeout=0", 0),
            ("timeout=soon", 4000),
            ("max=100", 4000),
            ("timeout=99999999999999999999", 4000),
        ] {
            assert_eq!(idle(said), Duration::from_millis(ms), "{said}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_ends_with_its_life_at_the_latest() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let life = |ends, idle| Life { ends, idle };
        let soon = now + second;
        assert_eq!(
            life(None, 4 * second).idle_until(now),
            Some(now + 4 * second)
        );
        assert_eq!(life(Some(soon), 4 * second).idle_until(now), Some(soon));
        assert_eq!(life(Some(now), second).idle_until(now), None);
        assert_eq!(life(None, Duration::ZERO).idle_until(now), None);
        assert!(life(Some(now), second).is_over(now));
        assert!(!life(Some(soon), second).is_over(now));
        assert!(!life(None, second).is_over(now));
    }
}
