//! The locks and atomics that the batcher is made of: those of `std`.
//!
//! [`batcher`](crate) names them by this module, so that the crate in
//! `concurrency/` can compile the same files with the ones of a checker that
//! decides which task runs next at each of them.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
pub(crate) use std::sync::{Mutex, MutexGuard};
pub(crate) use std::thread_local;

/// A value that is made when it is first used and shared by the whole process.
macro_rules! process_wide {
    ($(#[$doc:meta])* static $name:ident: $type:ty = $value:expr;) => {
        $(#[$doc])*
        static $name: std::sync::LazyLock<$type> = std::sync::LazyLock::new(|| $value);
    };
}

pub(crate) use process_wide;
