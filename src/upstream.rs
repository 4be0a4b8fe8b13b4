//! The call to the upstream: one batch out, one answer back.
//!
//! The engine calls it. It knows connections, times and limits; it does not
//! know what a job is. Redirects are not followed, no proxy is taken from the
//! environment, and nothing is decompressed, since nothing asks for that.
//!
//! ```text
//! Upstream ──lease──▶ pool ──▶ connection ──▶ HTTP library ──▶ socket ──▶ TCP, or unix
//!    ▲                 ▲                                         │
//!    └─── Response ────┘ whole, cut or suspect       track ◀─────┘ what was written
//! ```

mod call;
mod client;
mod connect;
mod connection;
mod dial;
mod endpoint;
mod error;
mod headers;
mod hop_by_hop;
mod lease;
mod pool;
mod response;
mod secured;
mod socket;
mod target;
mod tls;
mod tracked;
mod unix;
mod unsent;
#[cfg(test)]
mod unsent_tests;

pub use call::{Call, Outgoing};
pub use client::{Settings, Upstream};
pub use dial::{DialError, Dialed, Dialer};
pub use endpoint::Endpoint;
pub use error::{CallError, SetupError, chain};
pub use headers::credentials;
pub use hop_by_hop::{strip_hop_by_hop, tokens};
pub use response::{Ended, Origin, Response};
pub use target::{LONGEST, NoSuchPath, Target, TargetError, walks};
pub use tls::{Tls, TlsSettings};
pub use tracked::DispatchFlag;
