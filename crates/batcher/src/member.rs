//! An item with the duty to answer it: while it waits, and as a member of a batch.

use std::time::Duration;

use tokio::time::Instant;

use crate::extent::Extent;
use crate::frame::Frame;
use crate::keys::Keys;
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
#[derive(Debug, Default)]
pub(crate) struct Standing {
    pub number: Number,
    /// Those of a member; while it waits its entry has them.
    pub keys: Keys,
}

/// One item of a batch, and the duty to answer it.
#[derive(Debug)]
pub struct Member<J, R> {
    pub(crate) item: J,
    pub(crate) answerer: Answerer<R>,
    pub(crate) runtime: usize,
    /// None where a caller waits for its answer.
    pub(crate) detached: Option<Box<Standing>>,
    /// What it takes up of a batch.
    pub(crate) extent: Extent,
    /// What it takes up while it waits.
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
            mut detached,
        } = entry.item;
        if let Some(standing) = &mut detached {
            standing.keys = entry.keys;
        }
        Self {
            item,
            answerer,
            runtime,
            detached,
            extent: entry.extent,
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
            extent: self.extent,
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
        let mut standing = self.detached?;
        let (number, keys) = (standing.number, std::mem::take(&mut standing.keys));
        let entry = Entry {
            item: Pending {
                item: self.item,
                answerer: self.answerer,
                runtime: self.runtime,
                detached: Some(standing),
            },
            keys,
            extent: self.extent,
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

    /// How many units of `max_size` it takes up, see
    /// [`Options::weight`](crate::Options::weight).
    pub fn weight(&self) -> usize {
        self.extent.weight
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

    /// What a caller's item is moved as.
    #[test]
    fn what_is_moved_for_a_caller_is_small() {
        const WORD: usize = size_of::<usize>();
        type Large = [u64; 32];
        assert_eq!(size_of::<Pending<u64, Large>>(), 4 * WORD);
        assert_eq!(size_of::<Member<u64, Large>>(), 11 * WORD);
        assert_eq!(size_of::<Delivery<Large>>(), 5 * WORD);
    }
}
