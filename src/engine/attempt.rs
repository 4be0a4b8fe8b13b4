//! One call to the upstream, and what is learned from it.
//!
//! An attempt begins with a permit of the circuit and ends in one [`End`], told in
//! the moment that the call is over: before any pause, and whether or not a caller is
//! left to answer. One that is dropped without an end, by a panic, is told too. So
//! each call is in the metrics once, and the circuit and the limit hear of each.

use std::sync::Arc;

use tokio::time::Instant;

use super::answer::Answered;
use super::batch::{Batch, Batcher, size};
use super::budget::Reservation;
use super::call::Failed;
use super::circuit::Permit;
use super::journal::{Journal, Traced};
use super::learning::Learning;
use super::outcome::{Abandoned, Failure};
use crate::code::Code;
use crate::resilience::circuit::Signal;
use crate::resilience::limit::LoadSignal;
use crate::resilience::size::Size;

/// How a call ended.
pub(super) enum End {
    /// With a success.
    Answered(Answered),
    /// With a failure of the whole batch.
    Failed(Failed),
    /// With a failure that has the batch go on in halves.
    Split(Failed),
    /// No member waited for it any more, so that it was given up.
    Abandoned(Abandoned),
}

/// A call that is under way.
#[must_use = "its end is to be told"]
pub(super) struct Attempt {
    learning: Arc<Learning>,
    journal: Arc<Journal>,
    batcher: Batcher,
    size: Size,
    started: Instant,
    /// What its end tells besides, where somebody keeps spans.
    traced: Option<Box<Traced>>,
    /// `None` once its end is told.
    permit: Option<Permit>,
}

impl Attempt {
    /// A call begins with this batch; as a retry, if one was reserved.
    pub fn begin(
        learning: &Arc<Learning>,
        journal: &Arc<Journal>,
        batch: &Batch,
        permit: Permit,
        retry: Option<Reservation<'_>>,
    ) -> Self {
        let started = Instant::now();
        if let Some(reservation) = retry {
            reservation.spend(started);
            journal.retried();
        }
        Self {
            learning: Arc::clone(learning),
            journal: Arc::clone(journal),
            batcher: batch.batcher(),
            size: size(batch),
            started,
            traced: None,
            permit: Some(permit),
        }
    }

    /// The same, whose end tells this besides.
    pub fn traced(mut self, traced: Option<Box<Traced>>) -> Self {
        self.traced = traced;
        self
    }

    /// The call is over.
    pub fn end(mut self, end: &End) {
        if let Some(permit) = self.permit.take() {
            let hung = match end {
                End::Abandoned(_) => self.learning.has_hung(self.started.elapsed()),
                _ => false,
            };
            self.tell(permit, Lesson::of(end, hung));
        }
    }

    fn tell(&mut self, permit: Permit, lesson: Lesson) {
        let now = Instant::now();
        let took = now.saturating_duration_since(self.started);
        let traced = self.traced.take();
        self.journal
            .call_ended(lesson.outcome, lesson.status, took, traced);
        let closed = lesson.signal.is_some_and(|it| permit.tell(it, now));
        if closed {
            // What was put back when it was open may leave again.
            self.batcher.hold_detached(None);
        }
        let slots = self.learning.call_ended(
            &self.batcher,
            (self.started, now),
            lesson.load,
            lesson.too_large.then_some(self.size),
        );
        if let Some((from, to)) = slots {
            self.journal.slots_changed(from, to);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.tell(permit, Lesson::PANICKED);
        }
    }
}

/// What the end of a call says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lesson {
    /// What it is counted as; `None` where every caller departed.
    outcome: Option<Code>,
    /// The status of the answer.
    status: Option<u16>,
    /// Of the upstream's health, if anything.
    signal: Option<Signal>,
    /// Of its load.
    load: LoadSignal,
    /// Whether the batch was more than it takes.
    too_large: bool,
}

impl Lesson {
    /// Of a call whose processing panicked.
    const PANICKED: Self = Self {
        outcome: Some(Code::Internal),
        status: None,
        signal: None,
        load: LoadSignal::Ignored,
        too_large: false,
    };

    /// A call that was abandoned says something only where it has `hung`.
    fn of(end: &End, hung: bool) -> Self {
        match end {
            End::Answered(answered) => Self {
                outcome: Some(Code::Ok),
                status: Some(answered.response.status()),
                signal: Some(Signal::Answered),
                load: LoadSignal::Answered,
                too_large: false,
            },
            End::Failed(failed) => Self::of_failure(&failed.failure),
            // The job that is to blame is in one of the halves, which will tell.
            End::Split(failed) => Self {
                signal: Some(Signal::Answered),
                ..Self::of_failure(&failed.failure)
            },
            End::Abandoned(why) => Self {
                outcome: why.code(),
                status: None,
                signal: hung.then_some(Signal::Failed),
                load: match hung {
                    true => LoadSignal::Overloaded,
                    false => LoadSignal::Ignored,
                },
                too_large: false,
            },
        }
    }

    fn of_failure(failure: &Failure) -> Self {
        Self {
            outcome: Some(failure.code()),
            status: failure.status(),
            signal: Some(failure.signal()),
            load: failure.load(),
            too_large: failure.is_too_large(),
        }
    }
}
