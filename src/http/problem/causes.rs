//! Which problem each error comes to.

use axum::http::StatusCode;

use super::{Problem, status};
use crate::batcher;
use crate::code::Code;
use crate::engine::outcome::{self, Dispatched, Failure};
use crate::forward::ForwardError;
use crate::http::authority::HostError;
use crate::later::record::{InvalidName, Millis};
use crate::later::store::{Refused, StoreError};
use crate::later::{FetchError, HandInError};
use crate::shape::{JobError, NotMerged};

/// `Retry-After` of a proxy that is shutting down: the process that takes its
/// place is there soon, and another replica is there now.
const SHUTTING_DOWN_RETRY_AFTER: u64 = 1;

/// The longest `Retry-After` of a store that is full, in seconds.
const LONGEST_STORE_RETRY_AFTER: u64 = 60;

impl From<HostError> for Problem {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Invalid(detail) => Self::invalid_request(detail),
            HostError::Misdirected => Self::misdirected(),
            HostError::ForeignOrigin => Self::foreign_origin(),
        }
    }
}

impl From<JobError> for Problem {
    fn from(error: JobError) -> Self {
        let code = match error {
            JobError::Malformed(_) => Code::MalformedJson,
            _ => Code::InvalidJob,
        };
        let mut problem = Self::new(code, error.to_string());
        problem.0.pointer = error.pointer();
        problem
    }
}

impl From<batcher::Error> for Problem {
    fn from(error: batcher::Error) -> Self {
        use batcher::Error;
        match error {
            Error::Full { room_in } => Self::new(
                Code::QueueFull,
                "too many jobs are waiting; nothing was sent, try again after the time in \
                 Retry-After",
            )
            .retry_after(room_in.as_secs()),
            Error::KeyFull { room_in } => Self::new(
                Code::QueueFull,
                "too many jobs wait for others of the same id, since two jobs of one id never \
                 share a batch; nothing was sent: give each job an id of its own, or try again \
                 after the time in Retry-After",
            )
            .retry_after(room_in.as_secs()),
            Error::TooLarge => Self::new(
                Code::JobTooLarge,
                "the job is larger than a batch or the queue may be",
            ),
            Error::Expired { room_in } => Self::new(
                Code::QueueTimeout,
                "the deadline passed while the job was queued; nothing was sent, try again later",
            )
            .retry_after(room_in.as_secs()),
            Error::Closed | Error::Abandoned => shutting_down(),
            // The engine answers every member, or has panicked.
            Error::Dropped
            | Error::Failed(_)
            | Error::WrongCount { .. }
            | Error::Missing { .. }
            | Error::Duplicate => Self::internal(),
        }
    }
}

impl From<InvalidName> for Problem {
    fn from(error: InvalidName) -> Self {
        Self::invalid_parameter(error.to_string())
    }
}

impl From<FetchError> for Problem {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Unknown => Self::job_unknown(),
            FetchError::Store(_) => Self::store_unavailable(),
        }
    }
}

impl Problem {
    /// For a body that is to be a job, and is none.
    pub fn no_job(why: NotMerged) -> Self {
        Self::from(match why {
            NotMerged::NoJob(error) => error,
            // Jobs are never let alone.
            NotMerged::Alone(_) => JobError::NotAnObject,
        })
    }

    /// For a job that was not handed in at this time, with an `Idempotency-Key` or not.
    pub fn not_handed_in(error: &HandInError, has_key: bool, now: Millis) -> Self {
        match error {
            HandInError::Refused(Refused::Full { next_expiry }) => {
                Self::store_full(seconds_until(*next_expiry, now))
            }
            HandInError::Refused(Refused::KeyReused) => Self::idempotency_key_reused(),
            HandInError::Refused(Refused::Store(StoreError::NotCommitted)) => {
                Self::store_unavailable().dispatched(Dispatched::No)
            }
            HandInError::Refused(Refused::Store(StoreError::Unanswered)) => {
                let mut problem = Self::store_unavailable().dispatched(Dispatched::Unknown);
                // With a key the same job again is the same record.
                problem.0.retryable = has_key;
                problem.0.detail = "the store of jobs for later did not answer: the job may have \
                                    been handed in; with an Idempotency-Key it can be handed in \
                                    again without being done twice"
                    .into();
                problem
            }
            HandInError::Closed => shutting_down(),
            HandInError::Randomness(_) => Self::internal(),
        }
    }
}

/// The seconds until the next record expires, as `Retry-After` tells them: no more than
/// a minute, since one may be deleted before.
fn seconds_until(then: Option<Millis>, now: Millis) -> u64 {
    let millis = then.map_or(u64::MAX, |then| then.saturating_sub(now));
    millis.div_ceil(1_000).clamp(1, LONGEST_STORE_RETRY_AFTER)
}

fn shutting_down() -> Problem {
    Problem::new(
        Code::ShuttingDown,
        "the proxy is shutting down; nothing was sent, try again on another connection",
    )
    .retry_after(SHUTTING_DOWN_RETRY_AFTER)
}

impl From<&Failure> for Problem {
    fn from(failure: &Failure) -> Self {
        let new = |detail: &'static str| {
            Self::new(failure.code(), detail).dispatched(failure.dispatched())
        };
        match failure {
            Failure::DeadlineExceeded { sent: true } => {
                new("the deadline passed while the upstream had the job; it may have been done")
            }
            Failure::DeadlineExceeded { sent: false } => {
                new("the deadline passed before the job could be sent; nothing was sent")
            }
            Failure::GivenUp { sent: true } => {
                new("the proxy shut down while the upstream had the job; it may have been done")
            }
            Failure::GivenUp { sent: false } => shutting_down(),
            Failure::CircuitOpen(retry_after) => Self::circuit_open(*retry_after),
            Failure::Unreachable => {
                new("the upstream can't be reached, or took nothing; try again later")
            }
            Failure::ConnectTimeout => {
                new("connecting to the upstream took too long; nothing was sent, try again later")
            }
            Failure::Disconnected => new(
                "the connection to the upstream was lost after sending; the job may have been done",
            ),
            Failure::Timeout => {
                new("the upstream did not answer in time; the job may have been done")
            }
            Failure::Status(refusal) => Self::from(&**refusal).dispatched(failure.dispatched()),
            Failure::Malformed(status) => {
                new("the upstream's answer is not a JSON array of results for this batch")
                    .upstream_status(*status)
            }
            Failure::ResponseTooLarge(status) => {
                new("the upstream's answer is over the limit (upstream.max_response)")
                    .upstream_status(*status)
            }
            Failure::ResultCount(status) => new(
                "the upstream's answer does not have one result for each item of the batch, in \
                 their places",
            )
            .upstream_status(*status),
            Failure::ResultMissing { status, other_type } => new(match other_type {
                false => "the upstream's answer has no result with this job's id",
                true => {
                    "the upstream's answer has this job's id as another JSON type, a string for \
                     an integer or an integer for a string; the upstream must return it as it came"
                }
            })
            .upstream_status(*status),
            Failure::ResultAmbiguous(status) => {
                new("the upstream's answer has different results with this job's id")
                    .upstream_status(*status)
            }
            Failure::ResultMalformed(status) => {
                new("the upstream's result for this job is not valid JSON, or is nested too deep")
                    .upstream_status(*status)
            }
        }
    }
}

impl From<&ForwardError> for Problem {
    fn from(error: &ForwardError) -> Self {
        let failure = match error {
            ForwardError::NoPlace => {
                return Self::new(
                    Code::Overloaded,
                    "as many requests are passed on by themselves as may be \
                     (upstream.max_alone); nothing was sent, try again after the time in \
                     Retry-After",
                )
                .retry_after(super::OVERLOADED_RETRY_AFTER);
            }
            ForwardError::NoSuchPath(why) => return Self::no_such_path(*why),
            ForwardError::CallerSilent => return Self::read_timeout(),
            ForwardError::CallerBroke => return Self::unreadable_body(),
            ForwardError::Closed => Failure::GivenUp { sent: false },
            ForwardError::GivenUp { sent } => Failure::GivenUp { sent: *sent },
            ForwardError::Unreachable(_) => Failure::Unreachable,
            ForwardError::ConnectTimeout => Failure::ConnectTimeout,
            ForwardError::Disconnected(_) => Failure::Disconnected,
            ForwardError::Timeout => Failure::Timeout,
            ForwardError::Unasked => Failure::from(outcome::Refusal {
                status: StatusCode::SWITCHING_PROTOCOLS.as_u16(),
                code: Code::UpstreamError,
                retry_after: None,
                body: None,
            }),
        };
        Self::from(&failure)
    }
}

impl From<&outcome::Refusal> for Problem {
    fn from(refusal: &outcome::Refusal) -> Self {
        let status = refusal.status;
        let detail = match refusal.code {
            Code::UpstreamTooLarge => {
                "the job alone is too large for the upstream; make it smaller"
            }
            Code::UpstreamRejectedJob => {
                "the upstream refused the job; change it before trying again"
            }
            Code::UpstreamRejectedBatch => "the upstream refused the batch that the job was in",
            Code::UpstreamAuth => {
                "the upstream wants other credentials than the proxy is configured with"
            }
            Code::UpstreamOverloaded => {
                "the upstream is overloaded; try again after the time in Retry-After"
            }
            Code::UpstreamGatewayTimeout => {
                "the upstream waited in vain for one of its own; the job may have been done"
            }
            _ => "the upstream failed, or answered with a status that no upstream should",
        };
        let mut problem = Self::new(refusal.code, detail).upstream_status(status);
        if refusal.code == Code::UpstreamOverloaded {
            problem = problem.retry_after(refusal.retry_after.unwrap_or(1));
        }
        if refusal.code == Code::UpstreamRejectedJob {
            problem.0.status = status::of_refusal(refusal);
        }
        problem
    }
}
