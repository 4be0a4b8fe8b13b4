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
    GivenUp {
        /// Whether the upstream may have seen them.
        sent: bool,
    },
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
        loop {
            let (Some(deadline), Some(last)) = (batch.earliest_deadline(), batch.latest_deadline())
            else {
                return Err(NobodyLeft::Expired);
            };
            tokio::select! {
                // An answer that is there goes before a deadline that has come.
                biased;
                output = &mut future => return Ok(output),
                () = sleep_until(deadline) => {
                    let now = Instant::now();
                    let sent = match last <= now {
                        true => trip.may_have_been_seen(),
                        false => trip.may_be_seen(),
                    };
                    batch.answer_expired(now, |member: &Member| {
                        trip.failed(member, Failure::DeadlineExceeded { sent })
                    });
                }
                _ = &mut given_up => {
                    let sent = trip.may_have_been_seen();
                    batch.answer_all(|member| trip.failed(member, Failure::GivenUp { sent }));
                    return Err(NobodyLeft::GivenUp { sent });
                }
                () = &mut abandoned => return Err(NobodyLeft::Departed),
            }
        }
    }
}
