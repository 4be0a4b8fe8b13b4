//! Real services and unchanged clients, in turn: each client straight to its service, then through
//! microbatch. Its answers must be equal, and the calls that the service gets fewer.
//!
//! ```sh
//! cargo test --test services -- --nocapture
//! ```
//!
//! `cargo test` alone does not run it: the peers come from npm, PyPI and Debian, pinned, and are
//! installed below `target/services` on first use, which takes a minute or two. Where one can't be
//! had, its test says `SKIPPED` and passes; `MICROBATCH_SERVICES=required`, or a list of names such
//! as `openai,graphql`, makes that a failure.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[allow(dead_code, unused_imports, reason = "the stories use the rest of it")]
#[path = "../stories/harness/mod.rs"]
mod harness;

mod install;
mod relay;
mod service;
mod turns;

mod clickhouse;
mod cloudevents;
mod couchdb;
mod elasticsearch;
mod ethereum;
mod graphql;
mod kserve;
mod openai;
