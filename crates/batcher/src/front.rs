//! What stands before a batcher's batches: functions that know nothing of them.
//!
//! Each front gives its function the items of a batch by value, and its members
//! the results that come back. None of them guesses: where it can't be told which
//! result is whose, a member gets an error.

mod in_order;
mod keyed;
mod loader;

pub use loader::{LoadKey, LoadValue, Loader};
