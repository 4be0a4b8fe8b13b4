//! What of a request travels with its batch, besides its body.

use http::{HeaderName, HeaderValue};

/// What the calls of one batch have in common but for their bodies. Calls that differ in it
/// never share a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// What the route's path captured, percent-encoded as it came, in the order of its
    /// names.
    pub captures: Box<[Box<str>]>,
    /// The query as it came, without the question mark.
    pub query: Option<Box<str>>,
    /// The headers of `forward_headers` that the caller sent, in the order of the settings.
    pub headers: Box<[(HeaderName, HeaderValue)]>,
}
