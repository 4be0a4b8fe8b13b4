//! What a job comes to once its batch has left.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use super::context::BatchContext;
use crate::code::Code;
use crate::shape::Reply;

/// A job's share of its batch's outcome.
#[derive(Debug)]
pub struct JobResult {
    /// What came of it.
    pub outcome: JobOutcome,
    /// Whether the upstream saw it before the attempt that the outcome is of.
    pub earlier: Dispatched,
    /// The batch it was in.
    pub batch: Arc<BatchContext>,
    /// How long it waited for the batch to leave.
    pub queued: Duration,
    /// How long the upstream had it, in all attempts and without the pauses
    /// between them.
    pub upstream: Duration,
}

/// Whether the upstream saw a job. Ordered by how sure that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dispatched {
    /// It did not.
    No,
    /// Nobody can tell.
    Unknown,
    /// It did.
    Yes,
}

/// What came of one job.
#[derive(Clone, Debug)]
pub enum JobOutcome {
    /// What the upstream has for it.
    Reply {
        /// Status and body.
        reply: Reply,
        /// Those of the shape's `reply_headers` that the answer has.
        headers: Option<Arc<HeaderMap>>,
    },
    /// It was alone in a batch that went as it came, and this is all of the answer.
    AsItCame {
        /// The answer's status.
        status: u16,
        /// What to hand on. Boxed, since few are so and each result is moved.
        passthrough: Box<Passthrough>,
    },
    /// The upstream took it and gives no results.
    Taken,
    /// It failed.
    Failed(Failure),
}

/// Why a job failed whose batch had left.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The job's deadline came first.
    DeadlineExceeded {
        /// Whether the upstream may have seen the job.
        sent: bool,
    },
    /// Nothing was sent, since the upstream has failed too often; with the seconds
    /// until it may be tried again.
    CircuitOpen(u64),
    /// The proxy shut down and could not wait any longer.
    GivenUp {
        /// Whether the upstream may have seen the job.
        sent: bool,
    },
    /// No connection.
    Unreachable,
    /// No connection in time.
    ConnectTimeout,
    /// Connection lost after sending.
    Disconnected,
    /// No complete answer in time.
    Timeout,
    /// The upstream refused the batch.
    Status(Arc<Refusal>),
    /// A success without results; with the status.
    Malformed(u16),
    /// The answer is over the limit; with its status.
    ResponseTooLarge(u16),
    /// Results that are told apart by their places, which can't be right; with the
    /// status.
    ResultCount(u16),
    /// No result for this job.
    ResultMissing {
        /// The upstream's status.
        status: u16,
        /// There is one with its id but for the JSON type.
        other_type: bool,
    },
    /// Different results for this job; with the status.
    ResultAmbiguous(u16),
    /// The result for this job is not JSON; with the status.
    ResultMalformed(u16),
}

/// An answer that is no success.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The upstream's status.
    pub status: u16,
    /// What it means for the job.
    pub code: Code,
    /// The seconds of the upstream's `Retry-After`.
    pub retry_after: Option<u64>,
    /// What to hand on to a caller that was alone in the batch: of an answer to what went
    /// as it came whatever the status, else where the upstream has refused the job.
    pub body: Option<Passthrough>,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Status(Arc::new(refusal))
    }
}

/// What the caller may see of an answer as the upstream wrote it.
#[derive(Clone, Debug)]
pub struct Passthrough {
    /// The body's type, and of an answer to what went as it came the other end-to-end
    /// headers but `set-cookie`.
    pub headers: HeaderMap,
    /// The body.
    pub bytes: Bytes,
}

impl Failure {
    /// The failure's name.
    pub fn code(&self) -> Code {
        match self {
            Self::DeadlineExceeded { .. } | Self::GivenUp { sent: true } => Code::DeadlineExceeded,
            Self::GivenUp { sent: false } => Code::ShuttingDown,
            Self::CircuitOpen(_) => Code::CircuitOpen,
            Self::Unreachable => Code::UpstreamUnreachable,
            Self::ConnectTimeout => Code::UpstreamConnectTimeout,
            Self::Disconnected => Code::UpstreamDisconnected,
            Self::Timeout => Code::UpstreamTimeout,
            Self::Status(refusal) => refusal.code,
            Self::Malformed(_) => Code::UpstreamMalformed,
            Self::ResponseTooLarge(_) => Code::UpstreamResponseTooLarge,
            Self::ResultCount(_) => Code::ResultCount,
            Self::ResultMissing { .. } => Code::ResultMissing,
            Self::ResultAmbiguous(_) => Code::ResultAmbiguous,
            Self::ResultMalformed(_) => Code::ResultMalformed,
        }
    }
}

/// Why no member of a batch is left that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Abandoned {
    /// Every member's deadline came.
    Expired,
    /// The process could not wait any longer.
    GivenUp {
        /// Whether the upstream may have seen them.
        sent: bool,
    },
    /// Every caller departed.
    Departed,
}

impl Abandoned {
    /// What the last members were answered with; `None` where nobody was there to
    /// take an answer.
    pub fn code(self) -> Option<Code> {
        match self {
            Self::Expired => Some(Code::DeadlineExceeded),
            Self::GivenUp { sent } => Some(Failure::GivenUp { sent }.code()),
            Self::Departed => None,
        }
    }
}
