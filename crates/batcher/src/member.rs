//! An item with the duty to answer it: while it waits, and as a member of a batch.

use std::time::Duration;

use tokio::time::Instant;

use crate::frame::Frame;
use crate::queue::{Entry, Loads, Number};
use crate::reply_slot::Answerer;

/// An item that waits, and the duty to answer it.
pub(crate) struct Pending<J, R> {
    pub item: J,
    pub answerer: Answerer<R>,
    /// Which of the batcher's runtimes its caller waits on, or it came from.
    pub runtime: usize,
    /// If it is detached.
    pub detached: Option<Box<Standing>>,
}

/// Where a detached item is in line, or was. Boxed, so that callers' items are no larger
/// for it.
#[derive(Debug)]
pub(crate) struct Standing {
    pub number: Number,
    pub key: Option<u64>,
}

/// One item of a batch, and the duty to answer it.
#[derive(Debug)]
pub struct Member<J, R> {
    pub(crate) item: J,
    pub(crate) answerer: Answerer<R>,
    pub(crate) runtime: usize,
    /// None where a caller waits for its answer.
    pub(crate) detached: Option<Box<Standing>>,
    pub(crate) bytes: usize,
    pub(crate) arrived: Instant,
    pub(crate) deadline: Option<Instant>,
}

impl<J, R> Member<J, R> {
    /// One whose batch leaves.
    pub(crate) fn new(entry: Entry<Pending<J, R>>) -> Self {
        let Pending {
            item,
            answerer,
            runtime,
            detached,
        } = entry.item;
        Self {
            item,
            answerer,
            runtime,
            detached,
            bytes: entry.bytes,
            arrived: entry.arrived,
            deadline: entry.deadline,
        }
    }

    /// Takes the item out, and leaves something else in its place.
    pub(crate) fn exchange<L>(self, item: L) -> (J, Member<L, R>) {
        let left = Member {
            item,
            answerer: self.answerer,
            runtime: self.runtime,
            detached: self.detached,
            bytes: self.bytes,
            arrived: self.arrived,
            deadline: self.deadline,
        };
        (self.item, left)
    }

    /// As it waited, with its number; `None` where it is not detached.
    pub(crate) fn into_entry(
        self,
        frame: Option<&Frame>,
    ) -> Option<(Number, Entry<Pending<J, R>>)> {
        let standing = self.detached?;
        let Standing { number, key } = *standing;
        let entry = Entry {
            item: Pending {
                item: self.item,
                answerer: self.answerer,
                runtime: self.runtime,
                detached: Some(standing),
            },
            key,
            bytes: self.bytes,
            frame: frame.cloned(),
            arrived: self.arrived,
            deadline: self.deadline,
        };
        Some((number, entry))
    }

    /// What it counts for while its batch is parked.
    pub(crate) fn loads(&self) -> Loads {
        Loads::one(self.bytes, self.is_detached())
    }

    /// The item.
    pub fn item(&self) -> &J {
        &self.item
    }

    /// Whether it is detached: no caller awaits it.
    pub fn is_detached(&self) -> bool {
        self.detached.is_some()
    }

    /// When the item was submitted.
    pub fn arrived(&self) -> Instant {
        self.arrived
    }

    /// When its caller is answered at the latest, if there is such a time.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// How long it had waited by `left`.
    pub fn waited(&self, left: Instant) -> Duration {
        left.saturating_duration_since(self.arrived)
    }
}

#[cfg(test)]
mod tests {
    use std::mem::size_of;

    use crate::recipient::Delivery;

    use super::*;

    /// What a caller's item is moved as: a word more than its own, for what is detached.
    #[test]
    fn what_is_moved_for_a_caller_is_small() {
        const WORD: usize = size_of::<usize>();
        type Large = [u64; 32];
        assert_eq!(size_of::<Pending<u64, Large>>(), 4 * WORD);
        assert_eq!(size_of::<Member<u64, Large>>(), 9 * WORD);
        assert_eq!(size_of::<Delivery<Large>>(), 5 * WORD);
    }
}
