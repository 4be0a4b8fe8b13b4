//! One item that waits, and where it is kept.

use tokio::time::Instant;

use super::keys::Number;
use crate::extent::Extent;
use crate::frame::Frame;
use crate::keys::Keys;
use crate::options::Options;

/// One item that waits.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    pub item: T,
    /// Entries with a key in common never share a batch.
    pub keys: Keys,
    /// What it takes up of a batch.
    pub extent: Extent,
    /// What it takes up while it waits.
    pub bytes: usize,
    /// Entries of different frames never share a batch.
    pub frame: Option<Frame>,
    pub arrived: Instant,
    pub deadline: Option<Instant>,
}

impl<T> Entry<T> {
    /// An item that comes, with what is said of it.
    #[inline]
    pub fn new(item: T, options: Options, arrived: Instant) -> Self {
        Self {
            item,
            extent: options.extent(),
            keys: options.keys,
            bytes: options.bytes,
            frame: options.frame,
            arrived,
            deadline: options.deadline,
        }
    }
}

/// An entry with where it waits.
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    pub number: Number,
    pub position: Position,
    /// How many of its keys older items have, which it follows.
    pub behind: u32,
    /// Whether it was counted as kept apart from a batch.
    pub kept_apart: bool,
    /// Its deadline comes before one of an earlier item.
    pub early: bool,
    /// Until when it waits for company, if not as long as any may.
    pub hurried: Option<Instant>,
    pub entry: Entry<T>,
}

/// Where an entry waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// The oldest of each of its keys: the next batch of its frame may take it.
    Ready,
    /// An older one that has a key of its own waits.
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
