//! A job: a call that was read, and what else is known of it until it is answered.
//!
//! `http` makes them, batchers hold them, the engine sends them. Every route's calls are
//! jobs, whatever their shape.

mod carried;
mod handle;
mod route_name;
mod state;

use std::sync::Arc;

use bytes::Bytes;

pub use carried::Carried;
pub use handle::{Handle, NoRandomness, NotAHandle};
pub use route_name::{NotARouteName, RouteName};
pub use state::State;

use crate::job_id::JobId;
use crate::shape::{Call, JobError, Limits, NotMerged, Request, Shape};
use crate::trace_context::TraceContext;

/// One job.
#[derive(Clone, Debug)]
pub struct Job {
    call: Call,
    /// Boxed, since most jobs have none of it and every job is moved.
    more: Option<Box<More>>,
}

/// What few jobs have.
#[derive(Clone, Debug, Default)]
struct More {
    trace: Option<TraceContext>,
    handle: Option<Handle>,
    carried: Option<Arc<Carried>>,
}

impl Job {
    /// The job of this call.
    pub fn new(call: Call) -> Self {
        Self { call, more: None }
    }

    /// Reads a body in the form of section 1, as the route `jobs` does without settings: an
    /// object with an `id`, which may nest `max_depth` levels, itself the first. The result
    /// keeps the body's memory.
    ///
    /// # Errors
    /// [`JobError::Malformed`] before all others: whatever is not JSON is not a
    /// job with a fault.
    pub fn parse(body: Bytes, max_depth: usize) -> Result<Self, JobError> {
        let limits = Limits {
            max_depth,
            max_items: usize::MAX,
            max_bytes: usize::MAX,
        };
        match Shape::jobs().read(body, Request::default(), limits) {
            Ok(call) => Ok(Self::new(call)),
            Err(NotMerged::NoJob(error)) => Err(error),
            // Jobs are never let alone.
            Err(NotMerged::Alone(_)) => Err(JobError::NotAnObject),
        }
    }

    /// The same job, with the trace its caller belongs to.
    #[must_use]
    pub fn with_trace(mut self, trace: Option<TraceContext>) -> Self {
        if trace.is_some() {
            self.more().trace = trace;
        }
        self
    }

    /// The same job, with what travels with its batch.
    #[must_use]
    pub fn with_carried(mut self, carried: Option<Arc<Carried>>) -> Self {
        if carried.is_some() {
            self.more().carried = carried;
        }
        self
    }

    /// The same job, whose answer is fetched later from this address. What it keeps of
    /// the request is its own bytes alone.
    #[must_use]
    pub fn for_later(mut self, handle: Handle) -> Self {
        self.call = self.call.detached();
        self.more().handle = Some(handle);
        self
    }

    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    /// Where its answer is fetched later, if it is.
    pub fn handle(&self) -> Option<Handle> {
        self.more.as_ref()?.handle
    }

    /// The call, as its shape has read it.
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// What it is known by, if it is.
    pub fn id(&self) -> Option<&JobId> {
        self.call.id()
    }

    /// The body as it came, without outer whitespace.
    pub fn raw(&self) -> &Bytes {
        self.call.body()
    }

    /// What of its request travels with its batch, if anything does.
    pub fn carried(&self) -> Option<&Arc<Carried>> {
        self.more.as_ref()?.carried.as_ref()
    }

    /// The bytes of its body and of what it carries.
    pub fn bytes(&self) -> usize {
        self.raw().len() + self.carried().map_or(0, |it| it.bytes())
    }

    /// The caller's trace, where it sent a valid one, with the job's own place where that is kept.
    pub fn trace(&self) -> Option<&TraceContext> {
        self.more.as_ref()?.trace.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job_id::IdError;
    use crate::json;

    fn parse(body: &str) -> Result<String, JobError> {
        Job::parse(Bytes::copy_from_slice(body.as_bytes()), json::MAX_DEPTH)
            .map(|job| job.id().unwrap().to_string())
    }

    #[test]
    fn a_job_is_an_object_with_one_id() {
        use JobError::*;
        for (body, expected) in [
            ("[]", Err(NotAnObject)),
            ("{}", Err(NoId)),
            (r#"{"ID":1,"body":{"id":1}}"#, Err(NoId)),
            (r#"{"id":1,"\u0069d":1}"#, Err(TwoIds)),
            (r#"{"id":1.0}"#, Err(Id(IdError::NotAnInteger))),
            (r#"{"id":[1]}"#, Err(Id(IdError::Type))),
            (r#"{"id":"\u0061\n"}"#, Ok(r#""a\n""#.to_owned())),
            (r#"{"b":{"id":2},"id":-1}"#, Ok("-1".to_owned())),
        ] {
            assert_eq!(parse(body), expected, "{body}");
        }
    }

    #[test]
    fn what_is_not_json_is_told_before_what_is_no_job() {
        for body in [r#"{"id":1.5,"#, r#"{"id":1,"id":2"#, "", "[] []"] {
            assert!(matches!(parse(body), Err(JobError::Malformed(_))), "{body}");
        }
        let not_utf8 = Job::parse(Bytes::from_static(b"{\"id\":\"\xff\"}"), json::MAX_DEPTH);
        assert!(matches!(not_utf8, Err(JobError::Malformed(_))));
    }

    #[test]
    fn jobs_of_equal_ids_have_equal_keys() {
        let job = |body: &'static str| {
            Job::parse(Bytes::from_static(body.as_bytes()), json::MAX_DEPTH).unwrap()
        };
        let (a, b) = (job(r#"{"id":"a"}"#), job(r#"{"id":"\u0061"}"#));
        assert_eq!(a.id(), b.id());
        assert!(a.call().keys().eq(b.call().keys()));
        assert_ne!(job(r#"{"id":1}"#).id(), job(r#"{"id":"1"}"#).id());
    }

    #[test]
    fn the_object_is_kept_byte_for_byte() {
        let body = "\n {\"b\":1.00, \"id\" : 7,\"b\":12345678901234567890123} \t";
        let job = Job::parse(Bytes::from_static(body.as_bytes()), json::MAX_DEPTH).unwrap();
        assert_eq!(job.raw(), body.trim());
    }
}
