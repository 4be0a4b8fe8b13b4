//! What is known of streams besides their records.

use std::collections::BTreeMap;

use crate::later::record::StreamName;
use crate::later::store::Position;

/// Of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::later) struct Mark {
    /// The last position at which an answer has expired, or may have.
    pub expired: Position,
    /// Where it has no records: which stream it was to vanish, from 1 on.
    pub vanished: Option<u64>,
}

/// Of all streams together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::later) struct Marks {
    /// The last position that was given.
    pub last: Position,
    /// The last position at which a stream may have lost an answer of which nothing is
    /// known.
    pub others: Position,
    /// How many streams have ever vanished.
    pub vanished: u64,
}

/// What has changed since the last commit, as it was before.
#[derive(Debug, Default)]
pub(super) struct TouchedMarks {
    pub streams: BTreeMap<StreamName, Option<Mark>>,
    pub all: Marks,
}
