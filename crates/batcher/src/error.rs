//! Why an item was not taken, or not answered.

use std::fmt;

use thiserror::Error;

/// An item that was not taken, handed back with the reason.
#[derive(Error)]
#[error("{reason}")]
pub struct Refused<J> {
    /// The item.
    pub item: J,
    /// Why.
    #[source]
    pub reason: Refusal,
}

impl<J> fmt::Debug for Refused<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused")
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

/// Why an item was not taken.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// The queue is full.
    #[error("the queue is full; room is expected in {retry_after} s")]
    Full {
        /// The seconds until there should be room for one more, 1 to 60.
        retry_after: u64,
    },
    /// The queue has room, but none for one more item that waits for another of
    /// its key: such items may take up a tenth of it.
    #[error("too many items wait for others of their keys; room is expected in {retry_after} s")]
    KeyFull {
        /// The seconds until there should be room for one more, 1 to 60.
        retry_after: u64,
    },
    /// The item alone exceeds what a batch or the queue may hold.
    #[error("the item is larger than a batch may be")]
    TooLarge,
    /// The batcher is closed.
    #[error("the batcher is closed")]
    Closed,
}

/// Why an item that was taken got no result.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Unanswered {
    /// Its deadline came while it waited for a batch.
    #[error("the deadline passed while the item was queued")]
    Expired {
        /// The seconds until there should be room for one more, 1 to 60.
        retry_after: u64,
    },
    /// Its deadline came while it waited for room in the queue, which it has
    /// never entered.
    #[error("the queue stayed full until the deadline")]
    Full {
        /// The seconds until there should be room for one more, 1 to 60.
        retry_after: u64,
    },
    /// The batcher was closed before there was room in the queue, which the item
    /// has never entered.
    #[error("the batcher was closed before there was room in the queue")]
    Closed,
    /// The batcher gave up what was queued.
    #[error("the batcher was closed before the item's batch left")]
    Abandoned,
    /// Whoever processed its batch dropped it or panicked.
    #[error("the batch was dropped without an answer")]
    Dropped,
}

impl Unanswered {
    /// Whether the item had entered the queue.
    pub fn had_entered(&self) -> bool {
        !matches!(self, Self::Full { .. } | Self::Closed)
    }
}
