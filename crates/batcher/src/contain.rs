//! Code of others that the batcher calls for somebody else: wakers, and what is dropped.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls it. Its panic is told by the hook, and nobody else's: `None` then.
pub(crate) fn contain<T>(theirs: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(theirs)).ok()
}
