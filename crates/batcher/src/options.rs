//! What is said of an item when it is submitted.

use tokio::time::Instant;

use crate::frame::Frame;

/// What a batcher may know of an item, see
/// [`Batcher::submit_with`](crate::Batcher::submit_with). Nothing of it by default.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Items with equal keys never share a batch. A hash of an id will do: two ids
    /// that meet by chance are only kept apart for nothing. An item without a key
    /// is kept apart from none.
    ///
    /// Keys that strangers choose must be hashes keyed by something they don't know, such
    /// as those of one [`RandomState`](std::hash::RandomState): looking up one of many
    /// keys that were chosen to collide takes as long as there are of them.
    pub key: Option<u64>,
    /// The item's size in bytes, no more than there really are: the sizes of all
    /// that wait are summed up.
    pub bytes: usize,
    /// Items of different frames never share a batch; those without one have each
    /// other's company. What an adaptive wait has learnt of a frame's arrivals is
    /// forgotten when nothing of it waits: of the items that come after that the first
    /// waits for `max_wait`, if no second one comes and sources are left.
    pub frame: Option<Frame>,
    /// When the item is answered, if it is still queued. Without one it waits as
    /// long as it takes.
    pub deadline: Option<Instant>,
}

impl Options {
    /// With this key.
    #[must_use]
    pub fn key(mut self, key: u64) -> Self {
        self.key = Some(key);
        self
    }

    /// With this size.
    #[must_use]
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// With this frame.
    #[must_use]
    pub fn frame(mut self, frame: Frame) -> Self {
        self.frame = Some(frame);
        self
    }

    /// With this deadline.
    #[must_use]
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }
}
