//! One call to the upstream, and what is learned from it.
//!
//! An attempt begins with a permit of the circuit and ends in one [`End`], told in
//! the moment that the call is over: before any pause, and whether or not anybody is
//! left to answer. One that is dropped without an end, by a panic, is told too. So
//! each call is in the metrics once, and the circuit and the limit hear of each.

use std::sync::Arc;

use tokio::time::Instant;

use super::attend::NobodyLeft;
use super::learning::Learning;
use super::outcome::{Failure, JobResult};
use super::retry::Reservation;
use crate::batcher::Batcher;
use crate::code::Code;
use crate::job::Job;
use crate::observe::Event;
use crate::resilience::circuit::{Permit, Signal};
use crate::resilience::limit;
use crate::resilience::size::Size;

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum End<'a> {
    /// With a success, of this status.
    Answered(u16),
    /// With a failure of the whole batch.
    Failed(&'a Failure),
    /// With an answer that has the batch go on in halves. Whoever is to blame is in
    /// one of them, and each will tell of the upstream's health by itself.
    Split(&'a Failure),
    /// Nobody waited for it any more, so that it was given up.
    Abandoned(NobodyLeft),
    /// Its processing panicked.
    Panicked,
}

/// A call that is under way.
#[must_use = "its end is to be told"]
pub(super) struct Attempt {
    learning: Arc<Learning>,
    batcher: Batcher<Job, JobResult>,
    size: Size,
    started: Instant,
    /// None once its end is told.
    permit: Option<Permit>,
}

impl Attempt {
    /// A call begins with a batch of this size; as a retry, if one was reserved.
    pub fn begin(
        learning: &Arc<Learning>,
        batcher: Batcher<Job, JobResult>,
        size: Size,
        permit: Permit,
        retry: Option<Reservation<'_>>,
    ) -> Self {
        let started = Instant::now();
        if let Some(reservation) = retry {
            reservation.spend(started);
            learning.observer.tell(Event::Retried);
        }
        Self {
            learning: Arc::clone(learning),
            batcher,
            size,
            started,
            permit: Some(permit),
        }
    }

    /// The call is over.
    pub fn end(mut self, end: End<'_>) {
        if let Some(permit) = self.permit.take() {
            self.tell(permit, end);
        }
    }

    fn tell(&self, permit: Permit, end: End<'_>) {
        let now = Instant::now();
        let took = now.saturating_duration_since(self.started);
        let learning = &*self.learning;
        let (outcome, status) = end.counted();
        learning.observer.tell(Event::AttemptEnded {
            outcome,
            status,
            took,
        });
        let hung = matches!(end, End::Abandoned(_)) && learning.has_hung(took);
        if let Some(signal) = end.signal(hung) {
            permit.tell(signal, now);
        }
        let call = limit::Call {
            started: self.started,
            ended: now,
            in_flight: self.batcher.snapshot().in_flight,
            outcome: end.load(hung),
        };
        learning.adapt(&self.batcher, call);
        if let End::Answered(_) = end {
            learning.answered(took);
        }
        if end.is_too_large() {
            learning.refused(&self.batcher, self.size, now);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.tell(permit, End::Panicked);
        }
    }
}

impl End<'_> {
    /// Whether the upstream said so of this batch.
    fn is_too_large(self) -> bool {
        match self {
            Self::Failed(Failure::Status(refusal)) | Self::Split(Failure::Status(refusal)) => {
                refusal.status == 413
            }
            _ => false,
        }
    }

    /// What it is counted as, with the status of the answer.
    fn counted(self) -> (Option<Code>, Option<u16>) {
        match self {
            Self::Answered(status) => (Code::Ok.into(), Some(status)),
            Self::Failed(failure) | Self::Split(failure) => {
                (failure.code().into(), failure.status())
            }
            Self::Abandoned(NobodyLeft::Departed) => (None, None),
            Self::Abandoned(NobodyLeft::Expired) => (Code::DeadlineExceeded.into(), None),
            Self::Abandoned(NobodyLeft::GivenUp { sent }) => {
                (Failure::GivenUp { sent }.code().into(), None)
            }
            Self::Panicked => (Code::Internal.into(), None),
        }
    }

    /// What it says of the upstream's health, if anything. A call that everybody
    /// left says something only where it has `hung`.
    fn signal(self, hung: bool) -> Option<Signal> {
        match self {
            Self::Answered(_) | Self::Split(_) => Some(Signal::Answered),
            Self::Failed(failure) => Some(failure.signal()),
            Self::Abandoned(_) => hung.then_some(Signal::Failed),
            Self::Panicked => None,
        }
    }

    /// What it says of the upstream's load.
    fn load(self, hung: bool) -> limit::Outcome {
        match self {
            Self::Answered(_) => limit::Outcome::Answered,
            Self::Failed(failure) | Self::Split(failure) => failure.load(),
            Self::Abandoned(_) if hung => limit::Outcome::Overloaded,
            Self::Abandoned(_) | Self::Panicked => limit::Outcome::Ignored,
        }
    }
}
