//! Claimed jobs on their way back: they wait in the store again, to be claimed by this
//! process or another.

use super::claimer::Signals;
use super::outbox::{Outbox, Pauses};
use super::reported::Reported;
use crate::job::Handle;

/// Has the store take them back, for ever. Those that are on their way are in `taken`, and
/// are the first where it is run again.
pub(super) async fn run(
    taken: &mut Vec<Handle>,
    released: &Outbox<Handle>,
    store: &Reported,
    claimers: &Signals,
) {
    loop {
        if taken.is_empty() {
            *taken = released.take().await;
        }
        let mut pauses = Pauses::new();
        while store.release(taken.clone()).await.is_err() {
            pauses.next().await;
        }
        released.committed(taken.len());
        taken.clear();
        claimers.wake_all();
    }
}
