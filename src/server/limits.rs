//! What bounds one connection.

use std::time::Duration;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest a head may take to arrive.
    pub read_timeout: Duration,
    /// The longest a connection may be idle between two requests, on HTTP/2
    /// without streams.
    pub idle_timeout: Duration,
    /// The longest a caller may take nothing of an answer.
    pub write_timeout: Duration,
    /// How much of a request that was refused is read and thrown away, in bytes,
    /// if that is more than 8 MiB.
    pub max_body: usize,
    /// Concurrent requests of one HTTP/2 connection.
    pub max_streams: u32,
}
