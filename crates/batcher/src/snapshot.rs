//! The counts of a batcher.

use std::time::Duration;

use tokio::time::Instant;

/// The counts of a batcher at one moment. Items are those that callers wait for, where
/// nothing else is said; batches those of detached items too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Items that ever entered the queue.
    pub accepted: u64,
    /// Items that wait: in the queue, and in parked batches.
    pub queued: usize,
    /// The most that waited since the last [`Batcher::observe`](crate::Batcher::observe).
    pub most_queued: usize,
    /// Their bytes.
    pub queued_bytes: usize,
    /// Items that wait for room in the queue.
    pub waiting_for_room: usize,
    /// The most of them since the last [`Batcher::observe`](crate::Batcher::observe).
    pub most_waiting_for_room: usize,
    /// Items that were ever kept apart from a batch by their keys: it left without
    /// them though there was room, or took later ones.
    pub kept_apart: u64,
    /// Detached items that wait: in their lane, and in parked batches.
    pub detached_queued: usize,
    /// When the oldest of them arrived that is in its lane; of several frames that of which
    /// the next batch is.
    pub detached_oldest: Option<Instant>,
    /// Detached items that ever took free places of batches that left for callers.
    pub detached_rode: u64,
    /// Batches in flight.
    pub in_flight: usize,
    /// The most of them since the last [`Batcher::observe`](crate::Batcher::observe).
    pub most_in_flight: usize,
    /// How many there may be.
    pub max_in_flight: usize,
    /// How long every slot was taken, in all.
    pub saturated: Duration,
    /// How many [`Source`](crate::Source)s are open.
    pub sources: usize,
    /// Items whose caller left while they were queued.
    pub cancelled_queued: u64,
    /// Items whose caller left later: while their batch was in flight, or with an
    /// answer that it had not yet taken.
    pub cancelled_in_flight: u64,
}

impl Snapshot {
    /// With the most of either, where both were told once.
    pub fn with_most_of(mut self, other: Self) -> Self {
        self.most_queued = self.most_queued.max(other.most_queued);
        self.most_waiting_for_room = self.most_waiting_for_room.max(other.most_waiting_for_room);
        self.most_in_flight = self.most_in_flight.max(other.most_in_flight);
        self
    }
}
