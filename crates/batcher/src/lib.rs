#![doc = include_str!("../README.md")]
//!
//! # Several runtimes
//! One batcher may serve several runtimes, such as one for each thread: each has a
//! handle of its own, from [`Batcher::on_this_runtime`]. Items of all of them share
//! batches. A batch is processed on the runtime that sent it (the one that filled it
//! or found its wait to be over, or that had the slot before), unless fewer are under
//! way on another: then there.
//!
//! # How it works
//! One short lock guards the queue and the counts, and what decides under it is a pure
//! value: it is told the time, and returns which entries leave and why, which parked
//! batches get a slot, and when to look again. Whoever changes something (submits the
//! item that fills a batch, frees a slot, asks for a flush) has it decide in the same
//! step, and spawns the batches once the lock is released.
//!
//! Detached items wait in a second lane, with a queue like that of callers, and one small
//! policy says which of the two has a slot that both want.
//!
//! Each runtime has two tasks for all batchers there: a clock that sleeps until the next
//! time at which one of them could have something due, and one that wakes callers who
//! were answered on other runtimes.

mod answered;
mod attachment;
mod batch;
mod batcher;
mod cap;
mod contain;
mod detached;
mod error;
mod extent;
mod frame;
mod front;
mod handle;
mod keys;
mod liveness;
mod member;
mod options;
mod policy;
mod queue;
mod rate;
mod recipient;
mod remote_wakes;
mod reply;
mod reply_slot;
mod runtimes;
mod settings;
mod slot_request;
mod snapshot;
mod source;
mod sources;
mod spawning;
mod state;
mod sync;
mod wanted;
pub mod window;
mod work;

#[cfg(test)]
mod claimed_tests;
#[cfg(test)]
mod detached_tests;
#[cfg(test)]
mod dropped_tests;
#[cfg(test)]
mod frames_tests;
#[cfg(test)]
mod many_runtimes_tests;
#[cfg(test)]
mod million_tests;
#[cfg(test)]
mod panic_tests;
#[cfg(test)]
mod parked_tests;
#[cfg(test)]
mod reentry_tests;
#[cfg(test)]
mod runtimes_tests;
#[cfg(test)]
mod sharing_tests;
#[cfg(test)]
mod tenants_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod waiting_tests;
#[cfg(test)]
mod wanted_tests;

pub use batch::Batch;
pub use batcher::Batcher;
pub use cap::{Cap, Ceiling};
pub use detached::Detached;
pub use error::{Error, Failure};
pub use frame::Frame;
pub use front::{LoadKey, LoadValue, Loader};
pub use handle::Slot;
pub use keys::Keys;
pub use member::Member;
pub use options::Options;
pub use policy::FlushReason;
pub use recipient::OnAnswer;
pub use reply::Reply;
pub use reply_slot::Stage;
pub use settings::{OnFull, Settings, Wait};
pub use snapshot::Snapshot;
pub use source::{Occupied, Source};
pub use wanted::Wanted;
