//! Streams: which answers there are, in the order of finishing, and where some are
//! missing because they have expired.
//!
//! Positions are given in one row for all streams. A stream is there as long as it has
//! records, finished or not. What those have lost that are gone is remembered of a bounded
//! number, the last ones; all others share a mark.

mod undo;

use std::collections::BTreeMap;
use std::ops::Bound;

use super::marks::TouchedMarks;
use super::vanished::Vanished;
use crate::job::Handle;
use crate::later::record::StreamName;
use crate::later::store::{Page, Position};

/// All streams.
#[derive(Debug)]
pub(super) struct Streams {
    streams: BTreeMap<StreamName, Stream>,
    /// The last position that was given.
    last: Position,
    vanished: Vanished,
    /// What has changed since the last commit, where a commit may fail.
    touched: Option<TouchedMarks>,
}

#[derive(Debug)]
struct Stream {
    /// How many records are there, finished or not.
    records: usize,
    answers: BTreeMap<Position, Handle>,
    /// The last position at which an answer has expired, or may have.
    expired: Position,
}

/// Why a record leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    Deleted,
    Expired,
}

impl Streams {
    /// Positions are larger than this, which is as if all before had expired.
    pub fn after(position: Position) -> Self {
        Self {
            streams: BTreeMap::new(),
            last: position,
            vanished: Vanished::new(position),
            touched: None,
        }
    }

    /// The next position.
    pub fn next_position(&mut self) -> Position {
        self.last += 1;
        self.last
    }

    /// A record is made. Its stream's name, in the memory that all of the stream share.
    pub fn enter(&mut self, name: StreamName) -> StreamName {
        if let Some((shared, _)) = self.streams.get_key_value(&name) {
            let shared = shared.clone();
            if let Some(stream) = self.streams.get_mut(&shared) {
                stream.records += 1;
            }
            return shared;
        }
        self.touch(&name);
        let stream = Stream {
            records: 1,
            answers: BTreeMap::new(),
            expired: self.vanished.take(&name),
        };
        self.streams.insert(name.clone(), stream);
        name
    }

    /// A record is finished.
    pub fn finish(&mut self, name: &StreamName, position: Position, handle: Handle) {
        if let Some(stream) = self.streams.get_mut(name) {
            stream.answers.insert(position, handle);
        }
    }

    /// A record is gone; where its answer was, if it had one.
    pub fn leave(&mut self, name: &StreamName, position: Option<Position>, why: Leaving) {
        if why == Leaving::Expired {
            self.touch(name);
        }
        let Some(stream) = self.streams.get_mut(name) else {
            return;
        };
        stream.records -= 1;
        if let Some(position) = position {
            stream.answers.remove(&position);
            if why == Leaving::Expired {
                stream.expired = stream.expired.max(position);
            }
        }
        if stream.records == 0 {
            self.vanish(name);
        }
    }

    fn vanish(&mut self, name: &StreamName) {
        self.touch(name);
        if let Some(forgotten) = self.vanished.next_forgotten().cloned() {
            self.touch(&forgotten);
        }
        if let Some((name, stream)) = self.streams.remove_entry(name) {
            self.vanished.remember(name, stream.expired);
        }
    }

    /// The answers after a position, or all, at most `limit`.
    pub fn read(&self, name: &StreamName, after: Option<Position>, limit: usize) -> Page {
        let stream = self.streams.get(name);
        let expired = stream.map_or_else(|| self.vanished.of(name), |it| it.expired);
        let range = (
            after.map_or(Bound::Unbounded, Bound::Excluded),
            Bound::Unbounded,
        );
        let answers = stream.map(|it| it.answers.range(range));
        let answers = answers.into_iter().flatten().take(limit);
        let answers: Vec<_> = answers.map(|(at, handle)| (*at, *handle)).collect();
        let full = answers.last().filter(|_| answers.len() == limit);
        Page {
            gap: after.is_some_and(|after| after < expired || after > self.last),
            next: full.map_or(self.last, |it| it.0),
            answers,
        }
    }
}
