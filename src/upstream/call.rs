//! What a call is: a batch as it is sent, and the answer that comes.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::error::CallError;
use super::response::Response;
use super::tracked::DispatchFlag;
use crate::trace_context::TraceContext;

/// One batch, as it is sent.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// Its body, in pieces that follow each other.
    pub body: Vec<Bytes>,
    /// The body's type, where it is not JSON.
    pub content_type: Option<&'a HeaderValue>,
    /// What the URL's placeholders stand for, percent-encoded, in the order of the route's
    /// names.
    pub captures: &'a [Box<str>],
    /// The callers' query, which they have in common; it follows the URL's own.
    pub query: Option<&'a str>,
    /// The callers' headers that travel with it, which they have in common.
    pub headers: &'a [(HeaderName, HeaderValue)],
    /// `X-Batch-Id`.
    pub batch_id: &'a HeaderValue,
    /// `X-Batch-Size`.
    pub batch_size: &'a HeaderValue,
    /// Its place in a trace, where it has one.
    pub trace: Option<&'a TraceContext>,
    /// Tells from the call on whether the upstream may have seen the batch.
    pub dispatch: &'a DispatchFlag,
    /// Which of the runtimes calls, from 0.
    pub runtime: usize,
}

/// A way to call an upstream. [`Upstream`](super::Upstream) is the one over HTTP; a simulation
/// brings its own.
pub trait Call: Send + Sync + 'static {
    /// Posts one batch; returns when the head of the answer is there.
    ///
    /// # Errors
    /// [`CallError`]; the request is given up when the future is dropped.
    fn post(&self, batch: Outgoing<'_>)
    -> impl Future<Output = Result<Response, CallError>> + Send;
}
