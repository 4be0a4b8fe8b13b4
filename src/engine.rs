//! One batch to the answers of its members.
//!
//! The batcher hands a batch over; from then on every member is answered here,
//! whatever happens: by its result, by the batch's failure, or by its deadline,
//! which does not disturb the others. When no member is left that waits, the call to
//! the upstream is given up.
//!
//! A call that failed may not be the end:
//!
//! ```text
//!             ┌──────────── a pause without a slot, then a slot ◀── retry ─┐
//!             ▼                                                            │
//! slot ──▶ one call ──▶ results, each to its own                           │
//!             │                                                            │
//!             └──▶ failure ──▶ once more? ─────────────────────────────────┤
//!                                │    │                                    │
//!                                │    └── smaller? ──▶ two halves, each a batch of its own
//!                                └─ no ─▶ the same failure for all
//! ```
//!
//! | file | what it is |
//! |---|---|
//! | `process` | the engine: that way, from the slot to the last answer |
//! | `records` | what the store of jobs for later is told, and when they go back |
//! | `run`, `race` | a batch under way, and what it waits for while members expire or depart |
//! | [`context`], `history` | what a batch is known by, which does not change; what it has been through |
//! | `attempt`, `learning` | one call and how it ended; what is learned from each |
//! | `call`, `answer` | the call itself; its answer to outcomes |
//! | `batch`, `frame` | what the batcher is told of a job: its size, its keys, what it may share |
//! | `gone` | members that are answered while they are on their way |
//! | [`outcome`], [`meaning`] | the words for what became of a job; what a failure means |
//! | `retry`, `budget`, [`circuit`] | whether a batch is sent again; what calls of all batches share |
//! | `journal` | what is told of all this, to the log and to the observer |

mod answer;
#[cfg(test)]
mod answered_once_tests;
mod attempt;
#[cfg(test)]
mod attempts_tests;
mod batch;
mod budget;
mod call;
pub mod circuit;
pub mod context;
mod frame;
mod gone;
mod history;
mod journal;
#[cfg(test)]
mod lasting_tests;
mod learning;
pub mod meaning;
pub mod outcome;
mod policy;
mod process;
mod race;
mod records;
#[cfg(test)]
mod records_tests;
mod retry;
mod run;
#[cfg(test)]
mod shapes_tests;
#[cfg(test)]
mod tests;

pub use batch::{Batch, options};
pub use policy::{Phase, Policy};
pub use process::Engine;
