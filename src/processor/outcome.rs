//! What a job comes to once its batch has left.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use uuid::Uuid;

use super::correlate::ElementError;
use crate::code::Code;

/// A job's share of its batch's outcome.
#[derive(Debug)]
pub struct JobResult {
    /// What came of it.
    pub outcome: JobOutcome,
    /// The batch it was in.
    pub batch: Arc<BatchTag>,
    /// How long it waited for the batch to leave.
    pub queued: Duration,
    /// How long the upstream had it.
    pub upstream: Duration,
}

/// What came of one job.
#[derive(Clone, Debug)]
pub enum JobOutcome {
    /// The upstream's element for it.
    Element {
        /// Byte for byte.
        raw: Bytes,
        /// Set where the element is an error.
        error: Option<ElementError>,
    },
    /// The upstream took it and gives no results.
    Taken,
    /// It failed.
    Failed(Failure),
}

/// The batch a job was in, with the headers that tell the caller so.
#[derive(Debug)]
pub struct BatchTag {
    /// `X-Batch-Id`.
    pub id: Uuid,
    /// The same as a header.
    pub id_header: HeaderValue,
    /// `X-Batch-Size`.
    pub size_header: HeaderValue,
}

/// Why a job failed whose batch had left.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The job's deadline came first.
    DeadlineExceeded {
        /// Whether the upstream may have seen the job.
        sent: bool,
    },
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
    Status(Refusal),
    /// 2xx, but no array of results; with the status.
    Malformed(u16),
    /// The answer is over the limit; with its status.
    ResponseTooLarge(u16),
    /// No result for this job; with the status.
    ResultMissing(u16),
    /// Different results for this job; with the status.
    ResultAmbiguous(u16),
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
    /// What to hand on to a caller that was alone in the batch.
    pub body: Option<Passthrough>,
}

/// A body that the caller may see as the upstream wrote it.
#[derive(Clone, Debug)]
pub struct Passthrough {
    /// Its `Content-Type`.
    pub content_type: HeaderValue,
    /// Its bytes.
    pub bytes: Bytes,
}

impl Failure {
    /// The failure's name.
    pub fn code(&self) -> Code {
        match self {
            Self::DeadlineExceeded { .. } | Self::GivenUp { sent: true } => Code::DeadlineExceeded,
            Self::GivenUp { sent: false } => Code::ShuttingDown,
            Self::Unreachable => Code::UpstreamUnreachable,
            Self::ConnectTimeout => Code::UpstreamConnectTimeout,
            Self::Disconnected => Code::UpstreamDisconnected,
            Self::Timeout => Code::UpstreamTimeout,
            Self::Status(refusal) => refusal.code,
            Self::Malformed(_) => Code::UpstreamMalformed,
            Self::ResponseTooLarge(_) => Code::UpstreamResponseTooLarge,
            Self::ResultMissing(_) => Code::ResultMissing,
            Self::ResultAmbiguous(_) => Code::ResultAmbiguous,
        }
    }
}

/// What a status that is no 2xx means for a batch of `size` jobs.
pub fn code_of_status(status: u16, size: usize) -> Code {
    match status {
        401 | 403 | 407 => Code::UpstreamAuth,
        429 | 503 => Code::UpstreamOverloaded,
        413 if size == 1 => Code::UpstreamTooLarge,
        400..=499 if size == 1 => Code::UpstreamRejectedJob,
        400..=499 => Code::UpstreamRejectedBatch,
        504 => Code::UpstreamGatewayTimeout,
        _ => Code::UpstreamError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_statuses() {
        use Code::*;
        for (status, one, several) in [
            (101, UpstreamError, UpstreamError),
            (302, UpstreamError, UpstreamError),
            (400, UpstreamRejectedJob, UpstreamRejectedBatch),
            (401, UpstreamAuth, UpstreamAuth),
            (403, UpstreamAuth, UpstreamAuth),
            (404, UpstreamRejectedJob, UpstreamRejectedBatch),
            (407, UpstreamAuth, UpstreamAuth),
            (413, UpstreamTooLarge, UpstreamRejectedBatch),
            (422, UpstreamRejectedJob, UpstreamRejectedBatch),
            (429, UpstreamOverloaded, UpstreamOverloaded),
            (499, UpstreamRejectedJob, UpstreamRejectedBatch),
            (500, UpstreamError, UpstreamError),
            (502, UpstreamError, UpstreamError),
            (503, UpstreamOverloaded, UpstreamOverloaded),
            (504, UpstreamGatewayTimeout, UpstreamGatewayTimeout),
            (599, UpstreamError, UpstreamError),
            (999, UpstreamError, UpstreamError),
        ] {
            assert_eq!(code_of_status(status, 1), one, "{status}, one");
            assert_eq!(code_of_status(status, 2), several, "{status}, several");
        }
    }
}
