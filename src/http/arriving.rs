//! A request's body while it arrives: read at once where it has come with its head, and
//! within its time where not.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::body::{BodyError, Reading};
use super::context::Jobs;
use super::problem::Problem;
use crate::batcher;
use crate::engine::Phase;

/// The time of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stay {
    /// When its head was there.
    pub arrived: Instant,
    /// How long its call may stay.
    pub longest: Duration,
}

impl Stay {
    /// That of a request that arrives, and whose call would stay no longer than `wanted`.
    pub fn new(jobs: &Jobs, arrived: Instant, wanted: Option<Duration>) -> Self {
        let longest = wanted.unwrap_or(Duration::MAX).min(jobs.request_timeout);
        Self { arrived, longest }
    }

    /// When its call is answered at the latest.
    pub fn deadline(&self) -> Instant {
        self.arrived + self.longest
    }
}

/// Why a body was not read to its end.
pub(super) enum Unread {
    /// It is over `server.max_body`.
    TooLarge,
    /// What its sender is told.
    Refused(Problem),
}

impl Unread {
    /// What its sender is told, whatever it is.
    pub fn problem(self, jobs: &Jobs) -> Problem {
        match self {
            Self::TooLarge => Problem::job_too_large(jobs.max_body),
            Self::Refused(problem) => problem,
        }
    }
}

/// A body of which nothing is read yet.
pub(super) fn unread<B>(body: B, jobs: &Jobs) -> Reading<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    Reading::new(body, jobs.max_body, jobs.buffered.charge(0))
}

/// Reads a body to its end.
///
/// # Errors
/// Why not.
pub(super) async fn read<B>(
    body: &mut Reading<B>,
    stay: &Stay,
    jobs: &Jobs,
) -> Result<Bytes, Unread>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    match poll_fn(|context| Poll::Ready(body.poll(context))).await {
        Poll::Ready(body) => body.map_err(Unread::from),
        // What few need is to cost the others no more than a pointer.
        Poll::Pending => Box::pin(rest(body, stay, jobs)).await,
    }
}

/// Reads a body on that has not come with its head.
async fn rest<B>(body: &mut Reading<B>, stay: &Stay, jobs: &Jobs) -> Result<Bytes, Unread>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let deadline = stay.arrived + jobs.read_timeout.min(stay.longest);
    let reading = timeout_at(deadline, async {
        tokio::select! {
            biased;
            body = poll_fn(|context| body.poll(context)) => Some(body),
            // The job would be refused when it is there.
            () = draining(jobs) => None,
        }
    });
    Err(Unread::Refused(match reading.await {
        Ok(Some(body)) => return body.map_err(Unread::from),
        Ok(None) => Problem::from(batcher::Error::Closed),
        Err(_) if body.is_held_up() => Problem::overloaded(),
        Err(_) => Problem::read_timeout(),
    }))
}

impl From<BodyError> for Unread {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::TooLarge,
            BodyError::Broken => Self::Refused(Problem::unreadable_body()),
        }
    }
}

/// Resolves when jobs are no more taken.
async fn draining(jobs: &Jobs) {
    let mut phase = jobs.phase.clone();
    let draining = phase.wait_for(|&phase| phase >= Phase::Draining);
    let nobody_says_so = draining.await.is_err();
    if nobody_says_so {
        std::future::pending().await
    }
}
