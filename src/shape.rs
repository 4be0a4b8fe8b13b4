//! Shapes: how calls become a batch, and how its answer becomes replies.
//!
//! A route has one. `http` reads calls and writes problems by it, the engine writes batches,
//! reads answers and writes replies. Everything is spliced and nothing reserialised: items,
//! ids, frames and results travel byte for byte. All of it is pure.
//!
//! | file | what it is |
//! |---|---|
//! | [`keys`], [`presets`] | the keys of a table, and tables that have a name |
//! | `compile`, `fits`, `template`, `probe` | from keys to a [`Shape`], or to every [`Mistake`] at once |
//! | `intake`, `call`, `kinds`, [`alone`] | a request's body to a [`Call`], or why it goes alone |
//! | `outgoing` | calls to the body of a batch |
//! | `answer`, `element`, `matching`, `ids`, `outer`, `nan` | an answer to each call's results |
//! | `reply`, `share`, `outcome` | a call's results to its reply |
//! | `problem` | what the proxy says itself |
//!
//! What it promises: no caller is given a byte of another's result; what an upstream reads
//! of a batch are the callers' items and nothing else, each as it came; and what can't be
//! merged so is not merged.

pub mod alone;
mod answer;
mod call;
mod compile;
mod element;
mod fits;
mod form;
mod ids;
mod intake;
mod job_error;
pub mod keys;
mod kinds;
mod matching;
mod media;
mod mistake;
mod nan;
mod no_results;
mod outcome;
mod outer;
mod outgoing;
mod pieces;
pub mod presets;
mod probe;
mod problem;
mod reply;
mod share;
mod span;
mod template;
#[cfg(test)]
mod tests;

pub use alone::Why;
pub use answer::Answer;
pub use call::{Call, Frame};
pub use form::Shape;
pub use intake::{Limits, NotMerged, Request};
pub use job_error::JobError;
pub use keys::Keys;
pub use kinds::Kinds;
pub use mistake::Mistake;
pub use no_results::{Count, NoResults};
pub use outcome::{Outcome, Reply};
pub use outgoing::Outgoing;
pub use pieces::Spliced;
pub use problem::Problem;
