//! What a call is: a batch as it is sent, and the answer that comes.

use bytes::Bytes;
use http::HeaderValue;

use super::error::CallError;
use super::response::Response;
use super::tracked::DispatchFlag;
use crate::trace_context::TraceContext;

/// One batch, as it is sent.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// The array of its jobs, in pieces that follow each other.
    pub array: Vec<Bytes>,
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
