//! Waiting for something on behalf of a batch, while its members expire or depart.

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::batch::Slot;
use super::outcome::{Abandoned, Failure};
use super::policy::Phase;
use super::run::Run;

impl Run {
    /// Waits for `future`, be it the call or a pause. A member whose deadline comes
    /// meanwhile is answered alone and at once; when none is left, the future is
    /// dropped, which aborts a call.
    pub async fn race<T>(&mut self, future: impl Future<Output = T>) -> Result<T, Abandoned> {
        let mut future = std::pin::pin!(future);
        let mut departed = std::pin::pin!(self.batch.abandoned());
        let mut phase = self.phase.clone();
        let mut given_up = std::pin::pin!(phase.wait_for(|&phase| phase == Phase::GivingUp));
        loop {
            let members = &self.batch;
            let (Some(deadline), Some(last)) =
                (members.earliest_deadline(), members.latest_deadline())
            else {
                return Err(Abandoned::Expired);
            };
            tokio::select! {
                // An answer that is there goes before a deadline that has come.
                biased;
                output = &mut future => return Ok(output),
                () = sleep_until(deadline) => {
                    let now = Instant::now();
                    let sent = match last <= now {
                        true => self.history.may_have_been_seen(),
                        false => self.history.may_be_seen(),
                    };
                    self.answer_expired(now, &Failure::DeadlineExceeded { sent });
                }
                _ = &mut given_up => {
                    let sent = self.history.may_have_been_seen();
                    self.fail_all(&Failure::GivenUp { sent });
                    return Err(Abandoned::GivenUp { sent });
                }
                () = &mut departed => return Err(Abandoned::Departed),
            }
        }
    }

    /// Waits without a slot until then, and then for a slot. False if the drain has
    /// begun, after which nothing is retried.
    pub async fn pause(&mut self, until: Instant) -> Result<bool, Abandoned> {
        self.batch.park();
        let pause = unless_draining(self.phase.clone(), sleep_until(until));
        if self.race(pause).await?.is_none() {
            return Ok(false);
        }
        let slot = unless_draining(self.phase.clone(), self.batch.slot());
        match self.race(slot).await? {
            Some(slot) => self.resume(slot).map(|()| true),
            None => Ok(false),
        }
    }

    /// Goes on once the slot is there.
    pub async fn resume_with(&mut self, slot: impl Future<Output = Slot>) -> Result<(), Abandoned> {
        let phase = self.phase.clone();
        let slot = async {
            let slot = slot.await;
            if *phase.borrow() == Phase::GivingUp {
                // What was given up has freed it. Nothing is sent any more.
                drop(slot);
                return std::future::pending().await;
            }
            slot
        };
        let slot = self.race(slot).await?;
        self.resume(slot)
    }
}

/// `None` if the drain begins first, or has begun.
async fn unless_draining<T>(
    mut phase: watch::Receiver<Phase>,
    future: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        // A drain that has begun goes before a wait that is over.
        biased;
        _ = phase.wait_for(|&phase| phase >= Phase::Draining) => None,
        output = future => Some(output),
    }
}
