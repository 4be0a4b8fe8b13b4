//! Why a request was not passed on, or its answer not back.

use thiserror::Error;

use crate::upstream::NoSuchPath;

/// See the module. The texts are for the operator's log.
#[derive(Debug, Error)]
pub enum ForwardError {
    /// As many were under way as may be, for as long as one waits. Nothing was sent.
    #[error("no place came free in time")]
    NoPlace,
    /// The process ends, and nothing is passed on any more.
    #[error("the process ends")]
    Closed,
    /// The process could not wait any longer for the answer's head.
    #[error("the process ended first")]
    GivenUp {
        /// Whether the upstream may have seen the request.
        sent: bool,
    },
    /// There is no such path at the upstream.
    #[error("no such path: {0}")]
    NoSuchPath(#[from] NoSuchPath),
    /// Refused, unreachable, unknown to DNS, TLS failed, or a connection that ended before
    /// the request was on it: nothing was sent.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// Connecting took too long: nothing was sent.
    #[error("connecting took too long")]
    ConnectTimeout,
    /// The connection was lost, or broke the protocol.
    #[error("connection lost: {0}")]
    Disconnected(String),
    /// No head of an answer in time.
    #[error("no head of an answer in time")]
    Timeout,
    /// The caller sent nothing more of its body for too long.
    #[error("the caller's body did not arrive in time")]
    CallerSilent,
    /// The caller's body broke off, or is framed wrong.
    #[error("the caller's body broke off")]
    CallerBroke,
    /// 101, though nobody had asked for another protocol.
    #[error("the upstream changed protocols unasked")]
    Unasked,
}
