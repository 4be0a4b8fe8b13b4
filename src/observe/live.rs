//! The last five minutes, second by second: what the live page shows and what the
//! advice is drawn from.
//!
//! Nothing runs to keep it: what happens is noted in the second it happens in, under
//! one short lock per batch. A second in which nothing happened does not exist.

mod failures;
mod for_later;
mod note;
mod recent;
mod ring;
mod second;
mod together;

pub use failures::{FAILURES, Failures};
pub use for_later::ForLater;
pub use note::Live;
pub use recent::Recent;
pub use ring::SECONDS;
pub use second::{Counts, Second, Size};
