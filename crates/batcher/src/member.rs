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
    /// Its number among the detached items, if it is one.
    pub detached: Option<Number>,
}

/// Where a detached item was in line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    number: Number,
    key: Option<u64>,
}

/// One item of a batch, and the duty to answer it.
#[derive(Debug)]
pub struct Member<J, R> {
    pub(crate) item: J,
    pub(crate) answerer: Answerer<R>,
    pub(crate) runtime: usize,
    /// None where a caller waits for its answer.
    pub(crate) detached: Option<Standing>,
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
        let key = entry.key;
        Self {
            item,
            answerer,
            runtime,
            detached: detached.map(|number| Standing { number, key }),
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
        let Standing { number, key } = self.detached?;
        let entry = Entry {
            item: Pending {
                item: self.item,
                answerer: self.answerer,
                runtime: self.runtime,
                detached: Some(number),
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
