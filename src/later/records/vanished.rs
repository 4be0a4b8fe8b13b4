//! Streams that have no records any more: a bounded number is remembered, the last ones;
//! all others share a mark.

use std::collections::BTreeMap;

use super::marks::Mark;
use crate::later::record::StreamName;
use crate::later::store::Position;

/// Most streams without records that are remembered.
const REMEMBERED: usize = 1024;

#[derive(Debug)]
pub(super) struct Vanished {
    /// The last position at which an answer has expired of those that are remembered, and
    /// when they vanished.
    streams: BTreeMap<StreamName, (Position, u64)>,
    /// Those, the first that vanished first.
    order: BTreeMap<u64, StreamName>,
    /// How many have ever vanished.
    pub times: u64,
    /// The last position at which any other stream may have lost an answer.
    pub others: Position,
}

impl Vanished {
    /// None yet; all may have lost an answer there.
    pub fn new(others: Position) -> Self {
        Self {
            streams: BTreeMap::new(),
            order: BTreeMap::new(),
            times: 0,
            others,
        }
    }

    /// Where a stream may have lost its last answer; it is forgotten.
    pub fn take(&mut self, name: &StreamName) -> Position {
        let Some((expired, time)) = self.streams.remove(name) else {
            return self.others;
        };
        self.order.remove(&time);
        expired
    }

    /// Where a stream may have lost its last answer.
    pub fn of(&self, name: &StreamName) -> Position {
        self.streams.get(name).map_or(self.others, |it| it.0)
    }

    /// What is known of a stream, if it is remembered.
    pub fn mark(&self, name: &StreamName) -> Option<Mark> {
        self.streams.get(name).map(|&(expired, time)| Mark {
            expired,
            vanished: Some(time),
        })
    }

    /// The stream that is forgotten when another vanishes.
    pub fn next_forgotten(&self) -> Option<&StreamName> {
        let is_full = self.streams.len() >= REMEMBERED;
        let first = self.order.first_key_value().filter(|_| is_full);
        first.map(|it| it.1)
    }

    /// A stream has vanished whose last answer to expire was there.
    pub fn remember(&mut self, name: StreamName, expired: Position) {
        if let Some(first) = self.next_forgotten().cloned() {
            self.others = self.others.max(self.take(&first));
        }
        self.times += 1;
        self.put(name, expired, self.times);
    }

    /// A stream is remembered as one that vanished then.
    pub fn put(&mut self, name: StreamName, expired: Position, time: u64) {
        self.order.insert(time, name.clone());
        self.streams.insert(name, (expired, time));
    }
}
