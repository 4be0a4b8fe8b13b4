//! One batch into two, each a batch of its own from there.

use std::sync::Arc;

use tracing::{Instrument, warn};

use super::answer::Failed;
use super::outcome::JobResult;
use super::retry::resume;
use super::trip::Trip;
use super::{Batch, Phase, Processor};
use crate::batcher::Slot;
use crate::job::Job;
use crate::upstream::Call;

impl<C: Call> Processor<C> {
    /// Each half has its place in line for a slot before the slot of the whole is
    /// free, so that nothing younger goes first.
    pub(super) async fn split(self: Arc<Self>, mut batch: Batch, trip: &Trip) {
        let half = batch.split();
        let slot = batch.slot();
        if !half.is_empty() {
            let (slot, trip) = (half.slot(), trip.of_half(&half));
            let span = trip.span(&half);
            let travel = Arc::clone(&self).travel_with(half, trip, slot);
            tokio::spawn(travel.instrument(span));
        }
        batch.park();
        let trip = trip.of_half(&batch);
        let span = trip.span(&batch);
        self.travel_with(batch, trip, slot).instrument(span).await;
    }

    /// Sets out once there is a slot.
    async fn travel_with(
        self: Arc<Self>,
        mut batch: Batch,
        trip: Trip,
        slot: impl Future<Output = Slot<Job, JobResult>> + Send,
    ) {
        let slot = async {
            let slot = slot.await;
            if *self.phase.borrow() == Phase::GivingUp {
                // What was given up has freed it. Nothing is sent any more.
                drop(slot);
                return std::future::pending().await;
            }
            slot
        };
        let slot = self.attend(&mut batch, &trip, slot).await;
        match slot.and_then(|slot| resume(&mut batch, &trip, slot)) {
            Ok(()) => self.travel(batch, trip).await,
            Err(nobody_left) => trip.log_nobody_left(nobody_left),
        }
    }

    /// One line for each split, and now and then one aloud for an upstream that
    /// takes no batch of this size: each costs it two calls more.
    pub(super) fn log_split(&self, trip: &Trip, failed: &Failed) {
        trip.log_split(failed);
        if failed.failure.status() == Some(413)
            && let Some(silent) = self.too_large.now()
        {
            warn!(
                batch_id = %trip.id(),
                size = trip.size(),
                batches_not_warned_of = silent,
                "the upstream answered 413 to a batch, which goes on in halves; lower \
                 batch.max_size or batch.max_bytes"
            );
        }
    }
}
