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
