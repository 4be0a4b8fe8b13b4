//! What the fuzz targets hold microbatch to.
//!
//! Each `check` gives one input to the product and to an oracle, and panics where they differ. The
//! oracles are second readings of the contract: they share no code with what they judge. The
//! targets call them with what the fuzzer makes up, `tests/corpora.rs` of the package above with
//! the inputs kept in `corpus/`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a finding is told by panicking"
)]

pub mod config;
pub mod correlation;
pub mod intake;
mod parts;
mod reading;
pub mod shapes;
pub mod trace_context;
