//! An item with the duty to answer it: while it waits, and as a member of a batch.

use std::num::NonZero;
use std::time::Duration;

use tokio::time::Instant;

use crate::extent::{Extent, MORE_THAN_ANY_BATCH};
use crate::frame::Frame;
use crate::keys::Keys;
use crate::options::Options;
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
    /// What it weighs, where it shares a batch with no other: while it waits its entry
    /// weighs more than any batch may.
    pub alone: Option<NonZero<u32>>,
}

impl<J, R> Entry<Pending<J, R>> {
    /// A detached item that comes, with what is said of it. Its number is to be told under
    /// the lock.
    pub fn detached(item: J, answerer: Answerer<R>, runtime: usize, options: Options) -> Self {
        let now = Instant::now();
        let standing = Standing {
            alone: options.alone.then_some(options.weight),
            ..Standing::default()
        };
        let arrived = options.arrived.map_or(now, |it| it.min(now));
        let pending = Pending {
            item,
            answerer,
            runtime,
            detached: Some(Box::new(standing)),
        };
        let mut entry = Self::new(pending, options, arrived);
        entry.set_weight_in_line();
        entry
    }

    /// The number of a detached item.
    pub fn set_number(&mut self, number: Number) {
        if let Some(standing) = &mut self.item.detached {
            standing.number = number;
        }
    }

    fn set_weight_in_line(&mut self) {
        let standing = self.item.detached.as_ref();
        if standing.is_some_and(|it| it.alone.is_some()) {
            self.extent.weight = MORE_THAN_ANY_BATCH;
        }
    }
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
        let mut extent = entry.extent;
        if let Some(standing) = &mut detached {
            standing.keys = entry.keys;
            let alone = standing.alone;
            extent.weight = alone.map_or(extent.weight, |it| it.get() as usize);
        }
        Self {
            item,
            answerer,
            runtime,
            detached,
            extent,
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
        let mut entry = Entry {
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
        entry.set_weight_in_line();
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
