//! The batcher of microbatch, run under [shuttle]: a checker that takes every
//! decision about which task runs next, and so can try thousands of orders and
//! repeat the one that failed.
//!
//! `batcher` and `window` are the product's own files, by symbolic link. What
//! they are built on is put in its place here, under the names they use:
//!
//! | they say | and get |
//! |---|---|
//! | `crate::sync` | shuttle's locks and atomics; each use is a point where another task may run |
//! | `tokio::sync`, `tokio::select!`, `tokio::task` | shuttle-tokio's |
//! | `tokio::time` | [`time`]: a clock that a task of its own moves at any moment |
//! | `tokio::runtime` | [`runtime`]: one that can end, and says whether all it was given has |
//!
//! What this can't see: shuttle's atomics are sequentially consistent, so an
//! ordering that is too weak goes unnoticed; and a panic in a task ends the run,
//! so that processors here forget their batches rather than panic.
//!
//! The stories are in `tests/stories/`; `./run` runs them.
//!
//! [shuttle]: https://docs.rs/shuttle

// `tokio::…` in the product's files is a path into this crate.
extern crate self as tokio;

pub mod batcher;
pub mod explore;
pub mod runtime;
pub mod sync;
pub mod time;
pub mod window;

pub use shuttle_tokio::{select, task};
