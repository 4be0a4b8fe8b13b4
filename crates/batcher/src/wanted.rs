//! What is wanted of whoever submits detached items in time, rather than all that there are.

use std::num::NonZero;

/// What is to be submitted, see
/// [`Batcher::detached_wanted`](crate::Batcher::detached_wanted).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A batch, to leave by itself.
    Batch,
    /// Items that weigh so much, to take free places of callers' batches.
    Riders(NonZero<usize>),
}
