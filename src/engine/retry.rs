//! What is done about a failure, and the pause before a batch is sent again.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::answer::Failed;
use super::attend::NobodyLeft;
use super::outcome::Failure;
use super::trip::Trip;
use super::{Batch, Member, Phase, Processor, discard};
use crate::batcher::Slot;
use crate::engine::outcome::JobResult;
use crate::job::Job;
use crate::observe::Event;
use crate::resilience::budget::Budget;
use crate::upstream::Call;

/// What is to be done about a failure.
pub(super) enum Next<'a> {
    /// Its members are answered with it.
    Fail,
    /// The batch is sent again, not before then.
    Retry(Instant, Reservation<'a>),
    /// The batch is sent again in halves.
    Split,
}

/// A retry within the budget. It counts when it is spent; dropped, it was not sent.
#[derive(Debug)]
#[must_use = "a retry that is sent is to be spent"]
pub(super) struct Reservation<'a>(Option<&'a Mutex<Budget>>);

impl<'a> Reservation<'a> {
    fn within(budget: &'a Mutex<Budget>, now: Instant) -> Option<Self> {
        let within = lock(budget).reserve(now);
        within.then(|| Self(Some(budget)))
    }

    /// The retry is sent.
    pub fn spend(mut self, now: Instant) {
        if let Some(budget) = self.0.take() {
            lock(budget).spend(now);
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if let Some(budget) = self.0.take() {
            lock(budget).give_back();
        }
    }
}

fn lock(budget: &Mutex<Budget>) -> MutexGuard<'_, Budget> {
    // Nothing panics while it is held.
    budget.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<C: Call> Processor<C> {
    /// A batch leaves for the first time.
    pub(super) fn budget_sent(&self) {
        lock(&self.budget).sent(Instant::now());
    }

    /// Whether the batch goes on in halves after this.
    pub(super) fn splits(&self, trip: &Trip, failure: &Failure) -> bool {
        failure.calls_for_a_split(trip.size(), &self.policy.split_on)
    }

    /// Decides. A retry is within the attempts, the budget and somebody's time, and
    /// neither against an open circuit nor after the drain has begun.
    pub(super) fn next(&self, batch: &mut Batch, trip: &Trip, failure: &Failure) -> Next<'_> {
        let policy = &self.policy;
        if self.splits(trip, failure) {
            return Next::Split;
        }
        // Nobody is left to retry for whose caller has gone.
        batch.forget_departed();
        let now = Instant::now();
        let pause = policy
            .backoff
            .pause(trip.attempt(), failure.retry_after(), fastrand::f64());
        let at = now.checked_add(pause);
        let in_time = at.filter(|at| batch.latest_deadline().is_some_and(|last| *at < last));
        match in_time {
            Some(at)
                if failure.may_be_retried(policy.idempotent)
                    && trip.attempt() < policy.max_attempts
                    && *self.phase.borrow() == Phase::Running
                    && self.learning.circuit.is_closed() =>
            {
                let reserved = self.reserve(trip, now);
                reserved.map_or(Next::Fail, |it| Next::Retry(at, it))
            }
            _ => Next::Fail,
        }
    }

    fn reserve(&self, trip: &Trip, now: Instant) -> Option<Reservation<'_>> {
        let reservation = Reservation::within(&self.budget, now);
        // Who has switched retries off knows.
        if reservation.is_none() && !lock(&self.budget).is_off() {
            self.observer.tell(Event::BudgetExhausted);
            if let Some(silent) = self.exhausted.now() {
                warn!(
                    batch_id = %trip.id(),
                    batches_not_warned_of = silent,
                    "retry budget exhausted"
                );
            }
        }
        reservation
    }

    /// Waits until then without a slot, and then for a slot. Whoever would not
    /// live to see that is answered first. False if the drain has begun, after
    /// which nothing is retried.
    pub(super) async fn pause(
        &self,
        batch: &mut Batch,
        trip: &Trip,
        failed: &mut Failed,
        at: Instant,
    ) -> Result<bool, NobodyLeft> {
        batch.answer_expired(at, |member| trip.failed(member, failed.failure.clone()));
        self.attend(batch, trip, discard(failed.response.take()))
            .await?;
        batch.park();
        let waited = self.attend(batch, trip, self.unless_draining(sleep_until(at)));
        if waited.await?.is_none() {
            return Ok(false);
        }
        let slot = batch.slot();
        let slot = self.attend(batch, trip, self.unless_draining(slot)).await?;
        match slot {
            Some(slot) => resume(batch, trip, slot).map(|()| true),
            None => Ok(false),
        }
    }

    /// `None` if the drain begins first, or has begun.
    async fn unless_draining<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut phase = self.phase.clone();
        tokio::select! {
            // A drain that has begun goes before a wait that is over.
            biased;
            _ = phase.wait_for(|&phase| phase >= Phase::Draining) => None,
            output = future => Some(output),
        }
    }
}

/// Goes on with a slot, without whoever has left or expired by then.
pub(super) fn resume(
    batch: &mut Batch,
    trip: &Trip,
    slot: Slot<Job, JobResult>,
) -> Result<(), NobodyLeft> {
    batch.resume(slot);
    if batch.is_empty() {
        return Err(NobodyLeft::Departed);
    }
    let sent = trip.may_be_seen();
    batch.answer_expired(Instant::now(), |member: &Member| {
        trip.failed(member, Failure::DeadlineExceeded { sent })
    });
    if batch.is_empty() {
        return Err(NobodyLeft::Expired);
    }
    Ok(())
}
