//! What changes by itself.

use tokio::time::Instant;

/// What a step is told that is no part of the state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub now: Instant,
    /// Whether anybody may still submit whom waiting for could pay.
    pub anybody_left: bool,
}
