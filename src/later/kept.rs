//! A job as bytes: what a store that lasts keeps of it, to be read again by its route.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::job::{Carried, Job};
use crate::trace_context::TraceContext;

/// The first byte of each: how the others are to be read.
const VERSION: u8 = 1;

/// A job, but for what its route's shape makes of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// The body as it came, without outer whitespace.
    pub body: Bytes,
    /// Its `Content-Type`, where that matters.
    pub content_type: Option<Box<str>>,
    /// What travels with its batch.
    pub carried: Option<Arc<Carried>>,
    /// The caller's trace.
    pub trace: Option<Box<TraceContext>>,
}

/// The bytes are no job that this version has written, or could have.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the bytes are no job")]
pub struct NotKept;

/// The same, as it is written.
#[derive(Deserialize, Serialize)]
struct Wire<'a> {
    #[serde(borrow)]
    body: &'a [u8],
    content_type: Option<&'a str>,
    captures: Vec<&'a str>,
    query: Option<&'a str>,
    headers: Vec<(&'a str, &'a [u8])>,
    /// `traceparent` and `tracestate`.
    trace: Option<(&'a str, Option<&'a str>)>,
}

impl Kept {
    /// What is kept of a job.
    pub fn of(job: &Job) -> Self {
        Self {
            body: job.raw().clone(),
            content_type: job.call().content_type().map(Into::into),
            carried: job.carried().cloned(),
            trace: job.trace().cloned().map(Box::new),
        }
    }

    /// As bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let nothing = Carried::default();
        let carried = self.carried.as_deref().unwrap_or(&nothing);
        let headers = carried.headers.iter();
        let parent = self.trace.as_ref().map(|it| it.to_string());
        let state = self.trace.as_ref().and_then(|it| it.state());
        let wire = Wire {
            body: &self.body,
            content_type: self.content_type.as_deref(),
            captures: carried.captures.iter().map(|it| &**it).collect(),
            query: carried.query.as_deref(),
            headers: headers
                .map(|(name, value)| (name.as_str(), value.as_bytes()))
                .collect(),
            trace: parent.as_deref().map(|it| (it, state)),
        };
        let mut bytes = Vec::with_capacity(self.body.len() + 16);
        bytes.push(VERSION);
        // Nothing of it can't be written.
        postcard::to_extend(&wire, bytes).unwrap_or_default()
    }

    /// Reads it again; the body stays where it is.
    ///
    /// # Errors
    /// Where it is none.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self, NotKept> {
        let (&VERSION, rest) = bytes.split_first().ok_or(NotKept)? else {
            return Err(NotKept);
        };
        let wire: Wire<'_> = postcard::from_bytes(rest).map_err(|_| NotKept)?;
        let header = |(name, value): (&str, &[u8])| {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| NotKept)?;
            let mut value = HeaderValue::from_bytes(value).map_err(|_| NotKept)?;
            // As they came: most that travel with a batch are credentials.
            value.set_sensitive(true);
            Ok((name, value))
        };
        let headers = wire.headers.into_iter().map(header);
        let carried = Carried {
            captures: wire.captures.into_iter().map(Into::into).collect(),
            query: wire.query.map(Into::into),
            headers: headers.collect::<Result<_, NotKept>>()?,
        };
        let trace = wire.trace.and_then(|(parent, state)| {
            let trace = TraceContext::parse(parent)?;
            Some(match state {
                Some(state) => trace.with_state(state),
                None => trace,
            })
        });
        Ok(Self {
            body: bytes.slice_ref(wire.body),
            content_type: wire.content_type.map(Into::into),
            carried: (carried != Carried::default()).then(|| Arc::new(carried)),
            trace: trace.map(Box::new),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept() -> impl Strategy<Value = Kept> {
        let header = ("[a-z][a-z0-9-]{0,8}", "[ -~\u{80}-\u{ff}]{0,8}");
        let header = header.prop_map(|(name, value)| {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            (name.parse().unwrap(), value)
        });
        let carried = (
            prop::collection::vec(".{0,8}", 0..3),
            prop::option::of(".{0,8}"),
            prop::collection::vec(header, 0..3),
        );
        let carried = carried.prop_map(|(captures, query, headers)| Carried {
            captures: captures.into_iter().map(Into::into).collect(),
            query: query.map(Into::into),
            headers: headers.into(),
        });
        let carried = carried.prop_map(|it| (it != Carried::default()).then(|| Arc::new(it)));
        let trace = (1..u128::MAX, 1..u64::MAX, any::<bool>(), any::<bool>());
        let trace = trace.prop_map(|(trace, span, sampled, state)| {
            let sampled = u8::from(sampled);
            let it = TraceContext::parse(&format!("00-{trace:032x}-{span:016x}-{sampled:02x}"));
            Box::new(match state {
                true => it.unwrap().with_state("a=b"),
                false => it.unwrap(),
            })
        });
        let body = prop::collection::vec(any::<u8>(), 0..40);
        let parts = (
            body,
            prop::option::of(".{0,8}"),
            carried,
            prop::option::of(trace),
        );
        parts.prop_map(|(body, content_type, carried, trace)| Kept {
            body: body.into(),
            content_type: content_type.map(Into::into),
            carried,
            trace,
        })
    }

    proptest! {
        #[test]
        fn a_job_reads_as_it_was_written(kept in kept()) {
            let bytes = Bytes::from(kept.to_bytes());
            let read = Kept::from_bytes(&bytes);
            let carried = read.iter().flat_map(|it| &it.carried);
            let mut headers = carried.flat_map(|it| &it.headers);
            prop_assert!(headers.all(|(_, value)| value.is_sensitive()));
            prop_assert_eq!(read, Ok(kept));
        }

        #[test]
        fn whatever_else_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            // Without a panic.
            let _read = Kept::from_bytes(&Bytes::from(bytes));
        }
    }

    #[test]
    fn what_another_version_wrote_is_refused() {
        let mut bytes = Kept::default().to_bytes();
        bytes[0] += 1;
        assert_eq!(Kept::from_bytes(&bytes.into()), Err(NotKept));
        assert_eq!(Kept::from_bytes(&Bytes::new()), Err(NotKept));
    }
}
