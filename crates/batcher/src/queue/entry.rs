//! One item that waits, and where it is kept.

use tokio::time::Instant;

use super::keys::{Number, Rank};
use crate::frame::Frame;

/// One item that waits.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    pub item: T,
    /// Entries with equal keys never share a batch.
    pub key: Option<u64>,
    pub bytes: usize,
    /// Entries of different frames never share a batch.
    pub frame: Option<Frame>,
    pub arrived: Instant,
    pub deadline: Option<Instant>,
}

/// An entry with where it waits.
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    pub number: Number,
    pub position: Position,
    pub rank: Rank,
    /// Its deadline comes before one of an earlier item.
    pub early: bool,
    /// Until when it waits for company, if not as long as any may.
    pub hurried: Option<Instant>,
    pub entry: Entry<T>,
}

/// Where an entry waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// The oldest of its key: the next batch of its frame may take it.
    Ready,
    /// One of its key is ready.
    Held,
    /// For room in the queue.
    Overflow,
}

/// Where an entry was when it was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// In the queue proper, ready or held.
    Queue,
    /// Waiting for room in the queue.
    Overflow,
}

/// Why a batch can't grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Size,
    Bytes,
}
