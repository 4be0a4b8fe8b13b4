//! Which failed calls provably left the upstream nothing to process.
//!
//! [`CallError`](super::error::CallError) asks about a call that ended without the head
//! of an answer. Whatever is not proven here counts as sent: a batch that is sent
//! twice by mistake does harm that one that is given up does not.
//!
//! | case | how it is known |
//! |---|---|
//! | refused, unreachable, unknown to DNS | the body was never asked for |
//! | connecting took too long | the same; [`DispatchFlag::withdraw`](super::tracked::DispatchFlag::withdraw) keeps it so |
//! | TLS failed | the same: a request needs a connection that is through with TLS |
//! | a kept connection was closed before the request was written | the same: the HTTP library gives the request back whole; or the body was asked for, and the connection's socket, which counts what the system takes, took nothing of it: [`DispatchFlag`](super::tracked::DispatchFlag) is reset. [`Upstream`](super::client::Upstream) sends it on another connection then |
//! | TLS 1.3: the upstream wants another certificate of ours, or one at all | the upstream says so, on a connection that no call was over before: [`Unsent::Stranger`] |
//! | HTTP/2: `RST_STREAM` with `REFUSED_STREAM` | the upstream says so, [`Unsent::Refused`] |
//! | HTTP/2: `GOAWAY` with a last stream below ours | the upstream says so, [`Unsent::GoneAway`] |
//! | HTTP/2: any other reset; `GOAWAY` that covers our stream, then the end of the connection | not known, so sent |
//! | HTTP/1.1: the connection ended once the body had been asked for, even if the upstream read none of it | not known, so sent |
//! | anything after the head of an answer | not asked: the upstream was at work |
//!
//! The upstream's word is taken from the type of an error and its place in the
//! chain of causes, never from its text.

use std::error::Error;

use tokio_rustls::rustls;

use crate::tls::words;

/// Why a call can't have been processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsent {
    /// No byte of the body has left this process, nor will: a proof by
    /// construction, see [`TrackedBody`](super::tracked::TrackedBody). At most the head
    /// has, and no job is in that.
    Unasked,
    /// The upstream broke the handshake off over our certificate, and reads nothing
    /// before that is through: see [`words::refuses_client`].
    Stranger,
    /// The upstream reset our stream with `REFUSED_STREAM`: closed "prior to any
    /// processing having occurred" (RFC 9113, section 8.7). A stream gets this
    /// error from a frame with its own number alone (`h2`, `State::recv_reset`).
    Refused,
    /// The upstream sent `GOAWAY` with a last stream below ours, which is then
    /// "guaranteed to be safe to retry" (RFC 9113, sections 6.8 and 8.7), whatever
    /// its error code. `h2` gives a remote `GOAWAY` as their error to the streams
    /// above the last one alone, and forgets those (`Inner::recv_go_away`); one
    /// that is covered lives on, and ends with the connection in an I/O error. To
    /// requests that are not on a stream yet the connection gives it too, but then
    /// nobody has asked for their body.
    GoneAway,
}

/// The proof that a call was not processed, if there is one. `error` is what the
/// client gave in place of the head of an answer, `tls` what TLS ended the connection with,
/// `kept` whether that had others before, `asked` whether anybody has asked for the body.
pub(super) fn proof(
    error: &hyper::Error,
    tls: Option<&rustls::Error>,
    kept: bool,
    asked: bool,
) -> Option<Unsent> {
    if !asked {
        return Some(Unsent::Unasked);
    }
    if !kept && tls.is_some_and(words::refuses_client) {
        return Some(Unsent::Stranger);
    }
    let error = stream_error(error)?;
    // Resets and farewells of our own, or of `h2` itself, prove nothing.
    if !error.is_remote() {
        return None;
    }
    if error.is_go_away() {
        return Some(Unsent::GoneAway);
    }
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    refused.then_some(Unsent::Refused)
}

/// What ended our HTTP/2 stream: the direct cause. At another place an error of
/// `h2` may be about something else.
fn stream_error(error: &hyper::Error) -> Option<&h2::Error> {
    error.source()?.downcast_ref()
}
