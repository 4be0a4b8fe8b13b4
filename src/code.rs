//! The names of everything a job or a batch can come to.
//!
//! One list for problems, logs and counters, so that a code means the same in
//! all of them. Which status a code has is `http::problem`'s to know.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// What a job or a batch came to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $($(#[$doc])* $variant,)+
        }

        impl Code {
            /// Every code there is, in the order of the contract's table.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The code as callers, logs and metrics spell it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

codes! {
    /// The caller got its result.
    Ok = "ok",
    /// The caller got its result, which is an error of the job itself.
    JobError = "job-error",
    /// A request that HTTP does not allow: no `Host`, or two.
    InvalidRequest = "invalid-request",
    /// The request is for a host that is not this one.
    Misdirected = "misdirected",
    /// A web page of another origin asks for what only this one may.
    ForeignOrigin = "foreign-origin",
    /// The request bears no token that lets it in.
    Unauthorized = "unauthorized",
    /// The body is not JSON.
    MalformedJson = "malformed-json",
    /// No such path.
    NotFound = "not-found",
    /// The path has no such method.
    MethodNotAllowed = "method-not-allowed",
    /// JSON, but no job.
    InvalidJob = "invalid-job",
    /// The name of a stream, or an `Idempotency-Key`, that breaks its rule.
    InvalidParameter = "invalid-parameter",
    /// An `Idempotency-Key` that came with another request before.
    IdempotencyKeyReused = "idempotency-key-reused",
    /// No job of this handle, or none any more.
    JobUnknown = "job-unknown",
    /// As many jobs are kept as may be.
    StoreFull = "store-full",
    /// The store is away.
    StoreUnavailable = "store-unavailable",
    /// A Content-Type that is not taken.
    UnsupportedMediaType = "unsupported-media-type",
    /// The body is over the limit.
    JobTooLarge = "job-too-large",
    /// The body did not arrive in time.
    ReadTimeout = "read-timeout",
    /// More is in memory than may be, and the body was left unread for too long.
    Overloaded = "overloaded",
    /// The queue is full.
    QueueFull = "queue-full",
    /// The deadline passed while the job was queued.
    QueueTimeout = "queue-timeout",
    /// The deadline passed after the batch left.
    DeadlineExceeded = "deadline-exceeded",
    /// No connection to the upstream could be made.
    UpstreamUnreachable = "upstream-unreachable",
    /// Connecting to the upstream took too long.
    UpstreamConnectTimeout = "upstream-connect-timeout",
    /// The connection was lost after sending.
    UpstreamDisconnected = "upstream-disconnected",
    /// No complete answer in time.
    UpstreamTimeout = "upstream-timeout",
    /// One job alone is too large for the upstream.
    UpstreamTooLarge = "upstream-too-large",
    /// The upstream refused a batch of one.
    UpstreamRejectedJob = "upstream-rejected-job",
    /// The upstream refused a batch of several.
    UpstreamRejectedBatch = "upstream-rejected-batch",
    /// The upstream wants other credentials.
    UpstreamAuth = "upstream-auth",
    /// The upstream says that it has too much to do.
    UpstreamOverloaded = "upstream-overloaded",
    /// The upstream's upstream took too long.
    UpstreamGatewayTimeout = "upstream-gateway-timeout",
    /// The upstream failed, or answered what no upstream should.
    UpstreamError = "upstream-error",
    /// The answer is not an array of results.
    UpstreamMalformed = "upstream-malformed",
    /// The answer is over the limit.
    UpstreamResponseTooLarge = "upstream-response-too-large",
    /// The answer has other results than there are items, or in other places.
    ResultCount = "result-count",
    /// The answer has no result for this job.
    ResultMissing = "result-missing",
    /// The answer has two different results for this job.
    ResultAmbiguous = "result-ambiguous",
    /// The result for this job is not JSON.
    ResultMalformed = "result-malformed",
    /// The process that had sent the job ended before its answer was kept.
    Interrupted = "interrupted",
    /// That has happened as often as it may.
    AttemptsExhausted = "attempts-exhausted",
    /// The upstream has failed so often that it is left alone for a while.
    CircuitOpen = "circuit-open",
    /// The proxy is shutting down.
    ShuttingDown = "shutting-down",
    /// The proxy made a mistake.
    Internal = "internal",
}

impl Code {
    /// Whether a request can be refused with it, before it is a job that waits.
    pub fn refuses(self) -> bool {
        self.only_refuses() || matches!(self, Self::CircuitOpen | Self::ShuttingDown)
    }

    /// Whether an accepted job can come to it.
    pub fn ends_jobs(self) -> bool {
        !self.only_refuses()
    }

    /// Whether it is a job's own error: the upstream was asked, and answered about this
    /// job.
    pub fn is_own(self) -> bool {
        matches!(
            self,
            Self::JobError | Self::UpstreamRejectedJob | Self::UpstreamTooLarge
        )
    }

    /// Whether a batch can come to it as a whole.
    pub fn ends_batches(self) -> bool {
        let alone = matches!(
            self,
            Self::JobError
                | Self::QueueTimeout
                | Self::ResultMissing
                | Self::ResultAmbiguous
                | Self::ResultMalformed
        );
        self.ends_jobs() && !alone
    }

    fn only_refuses(self) -> bool {
        matches!(
            self,
            Self::InvalidRequest
                | Self::Misdirected
                | Self::ForeignOrigin
                | Self::Unauthorized
                | Self::Overloaded
                | Self::MalformedJson
                | Self::NotFound
                | Self::MethodNotAllowed
                | Self::InvalidJob
                | Self::UnsupportedMediaType
                | Self::JobTooLarge
                | Self::ReadTimeout
                | Self::QueueFull
                | Self::InvalidParameter
                | Self::IdempotencyKeyReused
                | Self::JobUnknown
                | Self::StoreFull
                | Self::StoreUnavailable
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_before_there_is_a_job_ends_none() {
        for code in [
            Code::InvalidRequest,
            Code::Misdirected,
            Code::ForeignOrigin,
            Code::Unauthorized,
            Code::Overloaded,
            Code::ReadTimeout,
            Code::InvalidParameter,
            Code::IdempotencyKeyReused,
            Code::JobUnknown,
            Code::StoreFull,
            Code::StoreUnavailable,
        ] {
            assert!(code.refuses(), "{code}");
            assert!(!code.ends_jobs() && !code.ends_batches(), "{code}");
        }
    }
}
