//! An item with the duty to answer it: while it waits, and as a member of a batch.

use std::time::Duration;

use tokio::time::Instant;

use crate::queue::Entry;
use crate::reply_slot::Answerer;

/// An item that waits, and the duty to answer it.
pub(crate) struct Pending<J, R> {
    pub item: J,
    pub answerer: Answerer<R>,
    /// Which of the batcher's runtimes its caller waits on.
    pub runtime: usize,
}

/// One item of a batch, and the duty to answer it.
#[derive(Debug)]
pub struct Member<J, R> {
    pub(crate) item: J,
    pub(crate) answerer: Answerer<R>,
    pub(crate) runtime: usize,
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
        } = entry.item;
        Self {
            item,
            answerer,
            runtime,
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
            bytes: self.bytes,
            arrived: self.arrived,
            deadline: self.deadline,
        };
        (self.item, left)
    }

    /// The item.
    pub fn item(&self) -> &J {
        &self.item
    }

    /// Whether it is detached: no caller awaits it.
    pub fn is_detached(&self) -> bool {
        false
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
