//! Stories about the real binary, told over real sockets.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod harness;

mod accounting;
mod adaptive;
mod admin;
mod batching;
mod deadlines;
mod framing;
mod http_rules;
mod intake;
mod overload;
mod results;
mod shutdown;
mod slots;
mod tracing;
mod upstream_failures;
mod upstream_status;
