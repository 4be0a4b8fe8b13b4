//! The locks and atomics that the batcher is made of.
//!
//! They are those of `std`; with `cfg(shuttle)` they are a checker's that decides
//! at each use of them which task runs next. `concurrency/` compiles the crate so,
//! and with a stand-in for tokio; nothing else sets it.

#[cfg(shuttle)]
use shuttle as source;
#[cfg(not(shuttle))]
use std as source;

pub(crate) use source::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
pub(crate) use source::sync::{Mutex, MutexGuard};
pub(crate) use source::thread_local;

/// A value that is made when it is first used and shared by the whole process; with
/// `cfg(shuttle)`, by one schedule.
#[cfg(not(shuttle))]
macro_rules! process_wide {
    ($(#[$doc:meta])* static $name:ident: $type:ty = $value:expr;) => {
        $(#[$doc])*
        static $name: std::sync::LazyLock<$type> = std::sync::LazyLock::new(|| $value);
    };
}

#[cfg(shuttle)]
macro_rules! process_wide {
    ($(#[$doc:meta])* static $name:ident: $type:ty = $value:expr;) => {
        shuttle::lazy_static! {
            $(#[$doc])*
            static ref $name: $type = $value;
        }
    };
}

pub(crate) use process_wide;
