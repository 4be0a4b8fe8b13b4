//! One batch to the answers of its members.
//!
//! The batcher hands a batch over; from then on every member is answered here,
//! whatever happens: by its result, by the batch's failure, or by its deadline,
//! which does not disturb the others. When nobody is left to answer, the call to
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

mod answer;
mod attempt;
#[cfg(test)]
mod attempts_tests;
mod batch;
mod budget;
mod call;
pub mod circuit;
pub mod context;
pub mod correlate;
pub mod encode;
mod history;
mod journal;
mod learning;
pub mod meaning;
pub mod outcome;
mod policy;
mod process;
mod race;
mod retry;
mod run;
#[cfg(test)]
mod tests;

pub use batch::Batch;
pub use policy::{Phase, Policy, Results};
pub use process::Engine;
