//! What a failure means for the batch and for the upstream: tables, and nothing done
//! about it.

use std::time::Duration;

use super::outcome::{Dispatched, Failure};
use crate::code::Code;
use crate::resilience::circuit::Signal;
use crate::resilience::limit::LoadSignal;

impl Failure {
    /// The status that the upstream answered, if it did.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status(refusal) => Some(refusal.status),
            Self::Malformed(status)
            | Self::ResponseTooLarge(status)
            | Self::ResultCount(status)
            | Self::ResultMissing { status, .. }
            | Self::ResultAmbiguous(status)
            | Self::ResultMalformed(status) => Some(*status),
            _ => None,
        }
    }

    /// Whether the upstream saw the batch.
    pub fn dispatched(&self) -> Dispatched {
        match self {
            Self::Unreachable
            | Self::ConnectTimeout
            | Self::CircuitOpen(_)
            | Self::DeadlineExceeded { sent: false }
            | Self::GivenUp { sent: false } => Dispatched::No,
            Self::Disconnected
            | Self::Timeout
            | Self::DeadlineExceeded { sent: true }
            | Self::GivenUp { sent: true } => Dispatched::Unknown,
            Self::Status(refusal) if refusal.code == Code::UpstreamGatewayTimeout => {
                Dispatched::Unknown
            }
            Self::Status(_)
            | Self::Malformed(_)
            | Self::ResponseTooLarge(_)
            | Self::ResultCount(_)
            | Self::ResultMissing { .. }
            | Self::ResultAmbiguous(_)
            | Self::ResultMalformed(_) => Dispatched::Yes,
        }
    }

    /// Whether the same batch may be sent again: where it provably never reached
    /// the upstream, and where it may have but that does no harm.
    pub fn may_be_retried(&self, idempotent: bool) -> bool {
        match self {
            Self::Unreachable | Self::ConnectTimeout => true,
            Self::Disconnected | Self::Timeout => idempotent,
            Self::Status(refusal) => idempotent && matches!(refusal.status, 429 | 502..=504),
            _ => false,
        }
    }

    /// How long the upstream asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status(refusal) => refusal.retry_after.map(Duration::from_secs),
            _ => None,
        }
    }

    /// Whether the upstream said that the batch was too large.
    pub fn is_too_large(&self) -> bool {
        matches!(self, Self::Status(refusal) if refusal.status == 413)
    }

    /// Whether a smaller batch may fare better: one of several `members` that was too large,
    /// or was answered one of the statuses `split_on`.
    pub fn calls_for_a_split(&self, members: usize, split_on: &[u16]) -> bool {
        match self {
            Self::Status(refusal) => {
                members > 1 && (self.is_too_large() || split_on.contains(&refusal.status))
            }
            _ => false,
        }
    }

    /// What it tells of the upstream's load. A refusal for another reason comes too
    /// quickly to say how long work takes.
    pub fn load(&self) -> LoadSignal {
        match self {
            Self::Timeout | Self::ConnectTimeout => LoadSignal::Overloaded,
            Self::Status(refusal) if matches!(refusal.status, 429 | 503 | 504) => {
                LoadSignal::Overloaded
            }
            _ => LoadSignal::Ignored,
        }
    }

    /// What it tells of the upstream's health.
    pub fn signal(&self) -> Signal {
        match self {
            Self::Unreachable
            | Self::ConnectTimeout
            | Self::Disconnected
            | Self::Timeout
            | Self::Malformed(_) => Signal::Failed,
            Self::Status(refusal) if (500..=599).contains(&refusal.status) => Signal::Failed,
            _ => Signal::Answered,
        }
    }
}

/// What a status that is no success means for a batch of so many `members`.
pub fn code_of_status(status: u16, members: usize) -> Code {
    match status {
        401 | 403 | 407 => Code::UpstreamAuth,
        // Of a connection, not of a batch: servers say it to one that was idle.
        408 => Code::UpstreamError,
        429 | 503 => Code::UpstreamOverloaded,
        413 if members == 1 => Code::UpstreamTooLarge,
        400..=499 if members == 1 => Code::UpstreamRejectedJob,
        400..=499 => Code::UpstreamRejectedBatch,
        504 => Code::UpstreamGatewayTimeout,
        _ => Code::UpstreamError,
    }
}

#[cfg(test)]
mod tests {
    use super::super::outcome::Refusal;
    use super::*;

    const MISSING: Failure = Failure::ResultMissing {
        status: 200,
        other_type: false,
    };

    fn status(status: u16, size: usize) -> Failure {
        Failure::from(Refusal {
            status,
            code: code_of_status(status, size),
            retry_after: Some(7),
            body: None,
        })
    }

    #[test]
    fn what_each_failure_means() {
        use Dispatched::*;
        use Signal::{Answered, Failed};
        // Dispatched; retried by default and if idempotent; what the circuit learns.
        for (failure, dispatched, retried, signal) in [
            (Failure::Unreachable, No, [true, true], Failed),
            (Failure::ConnectTimeout, No, [true, true], Failed),
            (Failure::Disconnected, Unknown, [false, true], Failed),
            (Failure::Timeout, Unknown, [false, true], Failed),
            (status(301, 1), Yes, [false, false], Answered),
            (status(400, 1), Yes, [false, false], Answered),
            (status(401, 1), Yes, [false, false], Answered),
            (status(413, 1), Yes, [false, false], Answered),
            (status(429, 1), Yes, [false, true], Answered),
            (status(500, 1), Yes, [false, false], Failed),
            (status(502, 1), Yes, [false, true], Failed),
            (status(503, 1), Yes, [false, true], Failed),
            (status(504, 1), Unknown, [false, true], Failed),
            (status(599, 1), Yes, [false, false], Failed),
            (Failure::Malformed(200), Yes, [false, false], Failed),
            (
                Failure::ResponseTooLarge(200),
                Yes,
                [false, false],
                Answered,
            ),
            (Failure::ResultCount(200), Yes, [false, false], Answered),
            (MISSING, Yes, [false, false], Answered),
            (Failure::ResultAmbiguous(200), Yes, [false, false], Answered),
            (Failure::ResultMalformed(200), Yes, [false, false], Answered),
            (Failure::CircuitOpen(5), No, [false, false], Answered),
        ] {
            let may = [false, true].map(|idempotent| failure.may_be_retried(idempotent));
            let found = (failure.dispatched(), may, failure.signal());
            assert_eq!(found, (dispatched, retried, signal), "{failure:?}");
        }
    }

    #[test]
    fn what_tells_of_load() {
        use LoadSignal::{Ignored, Overloaded};
        for (failure, load) in [
            (Failure::Timeout, Overloaded),
            (Failure::ConnectTimeout, Overloaded),
            (status(429, 1), Overloaded),
            (status(503, 1), Overloaded),
            (status(504, 1), Overloaded),
            (status(500, 1), Ignored),
            (status(502, 1), Ignored),
            (status(400, 1), Ignored),
            (Failure::Unreachable, Ignored),
            (Failure::Disconnected, Ignored),
            (Failure::Malformed(200), Ignored),
        ] {
            assert_eq!(failure.load(), load, "{failure:?}");
        }
    }

    #[test]
    fn which_failures_call_for_a_split() {
        for (code, size, split_on, split) in [
            (413, 2, &[][..], true),
            (413, 1, &[], false),
            (400, 2, &[], false),
            (400, 2, &[400, 422], true),
            (422, 9, &[400, 422], true),
            (422, 1, &[400, 422], false),
            (404, 2, &[400, 422], false),
            (500, 2, &[500], true),
        ] {
            let found = status(code, size).calls_for_a_split(size, split_on);
            assert_eq!(found, split, "{code} to {size} with {split_on:?}");
        }
        assert!(!Failure::Timeout.calls_for_a_split(2, &[400]));
    }

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
            (408, UpstreamError, UpstreamError),
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
