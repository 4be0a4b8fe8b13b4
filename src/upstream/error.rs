//! Why a call has no complete answer, in words for the operator's log.

use std::fmt::{self, Write};

use thiserror::Error;
use tokio_rustls::rustls;

use super::unsent::{self, Unsent};
use crate::reread::OpenError;
use crate::tls::words::{self, Names};

/// The longest text about an error, in bytes: part of it may be the upstream's.
const MAX_TEXT: usize = 512;

/// What is said of a route's TLS.
pub(super) const OF_ROUTE: Names = Names {
    peer: "the upstream",
    ca: "upstream.tls.ca",
    server_name: "upstream.tls.server_name",
    identity: "give it one that it trusts by upstream.tls.cert and upstream.tls.key",
    plain: "where it speaks no TLS, its URL begins with http://",
};

/// What is said of that of an upstream that has no such settings.
pub(super) const OF_SYSTEM: Names = Names {
    ca: "the file that SSL_CERT_FILE names to the proxy",
    server_name: "its URL",
    identity: "call it by a route that has one (upstream.tls.cert)",
    ..OF_ROUTE
};

/// Why calls to an upstream can't be prepared.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The TLS library, or the system's roots.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The URL's host or path.
    #[error("url: {0}")]
    Url(String),
    /// The files of its certificates.
    #[error("{key}: {error}")]
    Files {
        /// What the settings are called that name them.
        key: String,
        /// Which of them, and what is wrong with it.
        error: OpenError,
    },
}

/// Why a call has no complete answer. The texts are for the operator's log.
#[derive(Debug, Error)]
pub enum CallError {
    /// Refused, unreachable, unknown to DNS, TLS failed: nothing was sent.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// Connecting took longer than it, or the whole call, may: nothing was sent.
    #[error("connecting took too long")]
    ConnectTimeout,
    /// An answer that is not this call's, with its status. Its connection is not
    /// used again.
    #[error("an answer to another batch, with status {0}")]
    Foreign(u16),
    /// The upstream said over HTTP/2 that it had not begun, and never will: it
    /// refused the stream, or went away without it.
    #[error("the upstream turned the call away unprocessed: {0}")]
    Refused(String),
    /// The connection was lost after sending had begun, or broke the protocol.
    #[error("connection lost: {0}")]
    Disconnected(String),
    /// No complete answer in time.
    #[error("no complete answer in time")]
    Timeout,
    /// The body is over the limit; with the status.
    #[error("answer over the limit")]
    TooLarge(u16),
}

impl CallError {
    /// Of a call that ended before the head of an answer, on a connection that was `kept` for it or
    /// not, and which TLS may have ended.
    pub(super) fn without_answer(
        error: &hyper::Error,
        tls: Option<&rustls::Error>,
        kept: bool,
        asked: bool,
    ) -> Self {
        // What the HTTP library knows of it is a text at most.
        let text = tls.map_or_else(|| chain(error), |it| chain(it));
        match unsent::proof(error, tls, kept, asked) {
            Some(Unsent::Unasked | Unsent::Stranger) => Self::Unreachable(text),
            Some(Unsent::Refused | Unsent::GoneAway) => Self::Refused(text),
            None => Self::Disconnected(text),
        }
    }

    /// Of a connection that broke off: within an answer, whatever the upstream says
    /// then, it was at work.
    pub(super) fn disconnected(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Disconnected(chain(error))
    }
}

/// An error with all its causes, which say what really happened, as far as there is
/// room: part of it may be the upstream's own words. Of TLS it says what to do.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    told(error, &OF_ROUTE)
}

/// The same of an upstream whose settings have these names.
pub(super) fn told(error: &(dyn std::error::Error + 'static), names: &Names) -> String {
    if let Some(text) = words::cause(error).and_then(|it| words::told(it, names)) {
        return format!("TLS: {text}");
    }
    let mut text = Text(String::new());
    for (n, cause) in std::iter::successors(Some(error), |error| error.source()).enumerate() {
        let separator = if n > 0 { ": " } else { "" };
        if write!(text, "{separator}{cause}").is_err() {
            break;
        }
    }
    text.0
}

/// Text that takes no more than it may.
struct Text(String);

impl Write for Text {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let mut room = more.len().min(MAX_TEXT - self.0.len());
        while !more.is_char_boundary(room) {
            room -= 1;
        }
        self.0.push_str(&more[..room]);
        match room == more.len() {
            true => Ok(()),
            false => Err(fmt::Error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_an_error_is_bounded() {
        let error = std::io::Error::other("é".repeat(1 << 20));
        let text = chain(&error);
        assert!(
            text.len() <= MAX_TEXT && text.len() > MAX_TEXT - 2,
            "{}",
            text.len()
        );
        assert_eq!(chain(&std::io::Error::other("short")), "short");
    }
}
