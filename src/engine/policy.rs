//! What is done about answers and failures, as the settings have it.

use std::time::Duration;

use crate::resilience::backoff::Backoff;
use crate::resilience::size::Size;

/// What is done about answers and failures.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Whether a batch may be sent again that the upstream may have seen.
    pub idempotent: bool,
    /// Statuses on which a batch of several is bisected.
    pub split_on: Vec<u16>,
    /// The most times one batch is sent, at least 1.
    pub max_attempts: u32,
    /// The pauses between.
    pub backoff: Backoff,
    /// As long as anybody waits for the upstream: the shorter of the limits on a
    /// call and on a job's stay.
    pub longest_wait: Duration,
    /// The largest batch that is sent.
    pub largest: Size,
    /// Whether the log and the live page show what a failed answer said.
    pub excerpts: bool,
}

/// How far the process's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Jobs are taken.
    Running,
    /// Accepted jobs are finished, and nothing is retried any more.
    Draining,
    /// Every job that still waits is answered with
    /// [`Failure::GivenUp`](super::outcome::Failure::GivenUp).
    GivingUp,
}
