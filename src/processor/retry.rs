//! What is done about a failure, and the pause before a batch is sent again.

use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::answer::Failed;
use super::attend::NobodyLeft;
use super::outcome::Failure;
use super::trip::Trip;
use super::{Batch, Member, Phase, Processor, discard};
use crate::batcher::Slot;
use crate::job::Job;
use crate::processor::outcome::JobResult;
use crate::upstream::Call;
use crate::upstream::circuit::Pass;

/// What is to be done about a failure.
pub(super) enum Next {
    /// Its members are answered with it.
    Fail,
    /// The batch is sent again, not before then.
    Retry(Instant),
    /// The batch is sent again in halves.
    Split,
}

impl<C: Call> Processor<C> {
    /// Decides. A retry is within the attempts, the budget and somebody's time, and
    /// neither against an open circuit nor after the drain has begun. A probe is
    /// one call: it has decided.
    pub(super) fn next(
        &self,
        batch: &mut Batch,
        trip: &Trip,
        failure: &Failure,
        pass: &Pass,
    ) -> Next {
        let policy = &self.policy;
        if failure.calls_for_a_split(trip.size(), &policy.split_on) {
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
                    && !pass.is_probe()
                    && self.circuit.is_closed()
                    && self.within_budget(trip, now) =>
            {
                Next::Retry(at)
            }
            _ => Next::Fail,
        }
    }

    fn within_budget(&self, trip: &Trip, now: Instant) -> bool {
        let mut budget = self.budget();
        if budget.take(now) {
            return true;
        }
        // Who has switched retries off knows.
        if !budget.is_off() {
            self.observer.metrics.budget_exhausted();
            if let Some(silent) = self.exhausted.now() {
                warn!(
                    batch_id = %trip.id(),
                    batches_not_warned_of = silent,
                    "retry budget exhausted"
                );
            }
        }
        false
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
        batch.rest();
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
