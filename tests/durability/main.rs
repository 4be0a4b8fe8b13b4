//! Stores that last lose nothing: the real binary is killed at random moments, its store is
//! damaged, filled and taken away, and everything that callers and the upstream saw is held
//! against the contract.
//!
//! ```sh
//! cargo test --test durability -- --nocapture
//! MICROBATCH_ROUNDS=5000 cargo test --release --test durability -- --nocapture
//! ```
//!
//! `MICROBATCH_ROUNDS` is how many ends of processes each course has, `SEED` begins the draws
//! of one again (processes and clocks have a say as well). `cargo test` alone does not run it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[allow(dead_code, unused_imports, reason = "the stories use the rest of it")]
#[path = "../stories/harness/mod.rs"]
mod harness;

mod callers;
mod ledger;
mod moment;
mod network;
mod process;
mod redis;
mod replicas;
mod report;
mod scene;
mod settle;
mod started;
mod streams;
mod upstream;

mod away;
mod clock;
mod disk;
mod lasting;
mod memory;
mod power;
