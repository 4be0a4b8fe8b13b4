//! What the batcher has in place of tokio under [shuttle]: a checker that takes
//! every decision about which task runs next, and so can try thousands of orders
//! and repeat the one that failed.
//!
//! | the batcher says | and gets |
//! |---|---|
//! | `crate::sync` | by `cfg(shuttle)`: shuttle's locks and atomics; each use is a point where another task may run |
//! | `tokio::sync`, `tokio::select!`, `tokio::task` | shuttle-tokio's |
//! | `tokio::time` | [`time`]: a clock that a task of its own moves at any moment |
//! | `tokio::runtime` | [`runtime`]: one that can end, and says whether all it was given has |
//!
//! What this can't see: shuttle's atomics are sequentially consistent, so an
//! ordering that is too weak goes unnoticed; and a panic in a task ends the run,
//! so that processors here forget their batches rather than panic.
//!
//! The stories, which [`explore`](mod@explore) runs, are in `../tests/stories/`.
//!
//! [shuttle]: https://docs.rs/shuttle

pub mod explore;
pub mod runtime;
pub mod time;

pub use shuttle_tokio::{select, sync, task};
