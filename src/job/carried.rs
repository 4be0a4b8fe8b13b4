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

impl Carried {
    /// How many bytes it is.
    pub fn bytes(&self) -> usize {
        let captures = self.captures.iter().map(|it| it.len());
        let query = self.query.as_ref().map_or(0, |it| it.len());
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| name.as_str().len() + value.len());
        captures.sum::<usize>() + query + headers.sum::<usize>()
    }
}
