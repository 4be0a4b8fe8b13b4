//! What is said of an item when it is submitted.

use std::num::NonZero;

use tokio::time::Instant;

use crate::extent::Extent;
use crate::frame::Frame;
use crate::keys::Keys;
use crate::settings::Settings;

/// What a batcher may know of an item, see
/// [`Batcher::submit_with`](crate::Batcher::submit_with). Nothing of it by default.
#[derive(Clone, Debug)]
pub struct Options {
    /// Items that have a key in common never share a batch: the later one waits for the
    /// next, and so do those that have one in common with it. Hashes of ids will do: two
    /// ids that meet by chance are only kept apart for nothing. An item without a key is
    /// kept apart from none.
    ///
    /// Keys that strangers choose must be hashes keyed by something they don't know, such
    /// as those of one [`RandomState`](std::hash::RandomState): looking up one of many
    /// keys that were chosen to collide takes as long as there are of them. Each key takes
    /// up some 100 bytes while its item waits, beside the item's own.
    pub keys: Keys,
    /// How many units of `max_size` the item takes up, such as the values that it is a
    /// list of. One that weighs more than `max_size` leaves in a batch of its own.
    pub weight: NonZero<u32>,
    /// The bytes that the item takes up while it waits, no more than there really are: the
    /// sizes of all that wait are summed up, and `queue_bytes` bounds them.
    pub bytes: usize,
    /// The bytes that it adds to a batch, separators included, which `max_bytes` bounds;
    /// where nothing is said, they are its `bytes`.
    pub bytes_in_batch: Option<usize>,
    /// Items of different frames never share a batch; those without one have each
    /// other's company. What an adaptive wait has learnt of a frame's arrivals is
    /// forgotten when nothing of it waits: of the items that come after that the first
    /// waits for `max_wait`, if no second one comes and sources are left.
    pub frame: Option<Frame>,
    /// When the item is answered, if it is still queued. Without one it waits as
    /// long as it takes.
    pub deadline: Option<Instant>,
    /// Since when a detached item has waited, where it did so elsewhere before it was
    /// submitted: what `detached_max_wait` says, and how old its batch is, go by this. A
    /// later time than that of its submission is as good as none. Its place in line goes by
    /// its submission: older ones are to be submitted first. Of an item that a caller waits
    /// for this says nothing.
    pub arrived: Option<Instant>,
    /// Whether a detached item shares its batch with no other: it takes no free place of
    /// callers' batches either. Of an item that a caller waits for this says nothing.
    pub alone: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            keys: Keys::NONE,
            weight: NonZero::<u32>::MIN,
            bytes: 0,
            bytes_in_batch: None,
            frame: None,
            deadline: None,
            arrived: None,
            alone: false,
        }
    }
}

impl Options {
    /// With this key, and no other.
    #[must_use]
    pub fn key(mut self, key: u64) -> Self {
        self.keys = Keys::one(key);
        self
    }

    /// With these keys, and no others. None or one of them asks for no memory.
    #[must_use]
    pub fn keys(mut self, keys: impl IntoIterator<Item = u64>) -> Self {
        self.keys = keys.into_iter().collect();
        self
    }

    /// With this weight, of 1 at least.
    #[must_use]
    pub fn weight(mut self, units: usize) -> Self {
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        self.weight = NonZero::new(units).unwrap_or(NonZero::<u32>::MIN);
        self
    }

    /// With this size, while it waits and in a batch.
    #[must_use]
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// With this size in a batch, where that is another than it has while it waits.
    #[must_use]
    pub fn bytes_in_batch(mut self, bytes: usize) -> Self {
        self.bytes_in_batch = Some(bytes);
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

    /// Detached, and waiting since then.
    #[must_use]
    pub fn arrived(mut self, arrived: Instant) -> Self {
        self.arrived = Some(arrived);
        self
    }

    /// Detached, and in a batch of its own.
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// What it takes up of a batch.
    pub(crate) fn extent(&self) -> Extent {
        Extent {
            weight: self.weight.get() as usize,
            bytes: self.bytes_in_batch.unwrap_or(self.bytes),
        }
    }

    /// Whether its bytes exceed what a batch may have, if it is alone in it.
    pub(crate) fn is_too_large(&self, settings: &Settings) -> bool {
        let overhead = settings.overhead_of(self.frame.as_ref());
        let alone = self.extent().bytes.checked_add(overhead);
        alone.is_none_or(|it| it > settings.max_bytes)
    }
}
