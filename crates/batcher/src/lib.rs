//! Gathers single items into batches, and answers each item on its own.
//!
//! A library of its own: it knows sizes and times, and nothing of HTTP, JSON or
//! what an id is. Items go in one by one with [`Batcher::submit`]; batches come
//! out at a processor, an async function given to [`Batcher::new`]; each
//! [`Reply`] resolves to its own item's result.
//!
//! ```
//! use std::time::Duration;
//! use microbatch_batcher::{Batch, Batcher, Options, Settings};
//! use tokio::time::Instant;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let squares = Batcher::new(Settings::default(), |batch: Batch<u64, u64>| async move {
//!     // One call for all of them, in earnest; then each gets its own.
//!     let (numbers, mut batch) = batch.take_items(|_| ());
//!     let mut squares = numbers.into_iter().map(|it| it.pow(2));
//!     batch.answer_all(|_| squares.next().unwrap_or_default());
//! });
//! let three = squares.submit(3).unwrap();
//! // It waits for a second at most, and two with this key never share a batch.
//! let hasty = Options::default().key(4).deadline(Instant::now() + Duration::from_secs(1));
//! let four = squares.submit_with(4, hasty).unwrap();
//! assert_eq!((three.await, four.await), (Ok(9), Ok(16)));
//! # }
//! ```
//!
//! # Promises
//! - Every item that was taken is answered exactly once, or its caller has left.
//!   A processor that panics or forgets a member answers
//!   [`Unanswered::Dropped`].
//! - No batch exceeds `max_size` or `max_bytes`, or holds two equal keys.
//! - No item waits longer than `max_wait` for company while a slot is free, nor
//!   longer than half of the time until its deadline.
//! - Items of different [frames](Frame) never share a batch: size, bytes and waits hold
//!   for each frame, slots and the queue's bounds for all of them. Frames whose batches
//!   are ready take turns, whatever waits of each; one costs nothing while it has no item.
//! - Items of one key, of which a batch takes one, fill no more than a tenth of the
//!   queue while they wait for one another.
//! - An item whose deadline has come is answered at once while it is queued;
//!   from then on it is the processor's, see [`Batch::answer_expired`].
//! - When the runtime ends that the batcher was made on, it is closed and what is
//!   queued is answered [`Unanswered::Abandoned`].
//! - While nothing waits, nothing runs: no timer, no polling.
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
//! Each runtime has two tasks for all batchers there: a clock that sleeps until the next
//! time at which one of them could have something due, and one that wakes callers who
//! were answered on other runtimes.

mod attachment;
mod batch;
mod batcher;
mod cap;
mod error;
mod frame;
mod handle;
mod member;
mod options;
mod policy;
mod queue;
mod rate;
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
pub mod window;

#[cfg(test)]
mod frames_tests;
#[cfg(test)]
mod many_runtimes_tests;
#[cfg(test)]
mod parked_tests;
#[cfg(test)]
mod reentry_tests;
#[cfg(test)]
mod runtimes_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod waiting_tests;

pub use batch::Batch;
pub use batcher::Batcher;
pub use cap::{Cap, Ceiling};
pub use error::{Refusal, Refused, Unanswered};
pub use frame::Frame;
pub use handle::Slot;
pub use member::Member;
pub use options::Options;
pub use policy::FlushReason;
pub use reply::{Reply, Stage};
pub use settings::{OnFull, Settings, Wait};
pub use snapshot::Snapshot;
pub use source::Source;
