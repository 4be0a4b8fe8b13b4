//! Waiting for something on behalf of a batch, while its members expire or leave.

use tokio::time::{Instant, sleep_until};

use super::outcome::Failure;
use super::trip::Trip;
use super::{Batch, Member, Phase, Processor};

/// Why nobody waits for the batch any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NobodyLeft {
    /// Every member's deadline came.
    Expired,
    /// The process could not wait any longer.
    GivenUp,
    /// Every caller left.
    Departed,
}

impl<C> Processor<C> {
    /// Waits for `future`, be it the call or a pause. A member whose deadline comes
    /// meanwhile is answered alone and at once; when none is left, the future is
    /// dropped, which aborts a call.
    pub(super) async fn attend<T>(
        &self,
        batch: &mut Batch,
        trip: &Trip,
        future: impl Future<Output = T>,
    ) -> Result<T, NobodyLeft> {
        let mut future = std::pin::pin!(future);
        let mut abandoned = std::pin::pin!(batch.abandoned());
        let mut phase = self.phase.clone();
        let mut given_up = std::pin::pin!(phase.wait_for(|&phase| phase == Phase::GivingUp));
        let expired = |member: &Member| {
            let sent = trip.may_be_seen();
            trip.failed(member, Failure::DeadlineExceeded { sent })
        };
        loop {
            let Some(deadline) = batch.earliest_deadline() else {
                return Err(NobodyLeft::Expired);
            };
            tokio::select! {
                // An answer that is there goes before a deadline that has come.
                biased;
                output = &mut future => return Ok(output),
                () = sleep_until(deadline) => batch.answer_expired(Instant::now(), expired),
                _ = &mut given_up => {
                    let sent = trip.may_be_seen();
                    batch.answer_all(|member| trip.failed(member, Failure::GivenUp { sent }));
                    return Err(NobodyLeft::GivenUp);
                }
                () = &mut abandoned => return Err(NobodyLeft::Departed),
            }
        }
    }
}
