//! What a batch is known by: to its members' callers, to the upstream, in the log.
//!
//! Immutable. An attempt with fewer members, or another one, has a context of its own
//! with the same id.

use std::sync::OnceLock;

use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Span, debug_span};
use uuid::Uuid;

use crate::batcher::FlushReason;
use crate::trace_context::TraceContext;

/// One batch, or a half of one.
#[derive(Debug)]
pub struct BatchContext {
    /// Its id.
    pub id: Uuid,
    /// `X-Batch-Id`.
    pub id_header: HeaderValue,
    /// `X-Batch-Size`.
    pub size_header: HeaderValue,
    /// How many members the current attempt began with.
    pub members: usize,
    /// How many items those have together: what is said of its size.
    pub size: usize,
    /// Why it left.
    pub reason: FlushReason,
    /// When it left.
    pub left: Instant,
    /// Its place in a trace, where a member has one.
    pub trace: Option<TraceContext>,
    /// The batch that it is a half of.
    pub half_of: Option<Uuid>,
    /// What the answers to its jobs have in common, once the first is made.
    pub answer_headers: OnceLock<HeaderMap>,
}

impl BatchContext {
    /// The context of a batch of `size` items whose members have these traces, one a
    /// member.
    pub(super) fn new<'a>(
        size: usize,
        traces: impl ExactSizeIterator<Item = Option<&'a TraceContext>>,
        reason: FlushReason,
        left: Instant,
        half_of: Option<Uuid>,
    ) -> Self {
        let id = Uuid::now_v7();
        Self {
            id,
            id_header: header(id),
            size_header: HeaderValue::from(size),
            members: traces.len(),
            size,
            reason,
            left,
            trace: TraceContext::for_batch(traces),
            half_of,
            answer_headers: OnceLock::new(),
        }
    }

    /// The context of an attempt with so many members, of `size` items: in a span of its
    /// own, where there was one before.
    pub(super) fn for_attempt(&self, members: usize, size: usize, is_first: bool) -> Self {
        let trace = self.trace.as_ref();
        Self {
            id: self.id,
            id_header: self.id_header.clone(),
            size_header: HeaderValue::from(size),
            members,
            size,
            reason: self.reason,
            left: self.left,
            trace: match is_first {
                true => trace.cloned(),
                false => trace.map(TraceContext::next_span),
            },
            half_of: self.half_of,
            // They tell the size.
            answer_headers: OnceLock::new(),
        }
    }

    /// What the log's lines about the batch stand in. Where a member has a trace, it
    /// has the batch's place in its own, and links to those of its members' callers,
    /// which are other traces but for a batch of one.
    pub(super) fn span<'a>(&self, traces: impl Iterator<Item = &'a TraceContext>) -> Span {
        let span = debug_span!(
            "batch",
            batch_id = %self.id,
            traceparent = self.trace.as_ref().map(tracing::field::display),
            links = Empty
        );
        if !span.is_disabled() {
            let links: Vec<_> = traces.map(ToString::to_string).collect();
            if !links.is_empty() {
                span.record("links", links.join(","));
            }
        }
        span
    }

    /// How long ago it left, in milliseconds to the microsecond; more digits are noise.
    pub(super) fn duration_ms(&self) -> f64 {
        self.left.elapsed().as_micros() as f64 / 1e3
    }
}

#[expect(
    clippy::expect_used,
    reason = "hexadecimal digits and hyphens are allowed in headers"
)]
fn header(id: Uuid) -> HeaderValue {
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    let text = id.hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(text).expect("an id that a header may hold")
}
