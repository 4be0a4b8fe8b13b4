//! A job: the caller's object byte for byte, plus the id found in it.
//!
//! `http::jobs` makes them, the engine joins them; both compare ids by
//! [`JobId`] alone.

mod handle;
mod id;
mod state;

use bytes::Bytes;
use thiserror::Error;

pub use handle::{Handle, NoRandomness, NotAHandle};
pub use id::{IdError, JobId, MAX_ID_CHARS};
pub use state::State;

use crate::json::{self, Shape};
use crate::trace_context::TraceContext;

/// One job: the object as the caller wrote it, and its id.
#[derive(Clone, Debug)]
pub struct Job {
    id: JobId,
    key: u64,
    raw: Bytes,
    trace: Option<Box<TraceContext>>,
    /// Boxed, since most jobs have none and every job is moved.
    handle: Option<Box<Handle>>,
}

impl Job {
    /// Reads the body of a request, which may nest `max_depth` levels, itself the
    /// first. The result keeps the body's memory.
    ///
    /// # Errors
    /// [`JobError::Malformed`] before all others: whatever is not JSON is not a
    /// job with a fault.
    pub fn parse(body: Bytes, max_depth: usize) -> Result<Self, JobError> {
        let raw = json::trim(body);
        let text = std::str::from_utf8(&raw)
            .map_err(|error| JobError::Malformed(format!("not UTF-8: {error}")))?;
        let mut ids = (None, 0_usize);
        let shape = json::visit_members(text, &["id"], |_, value| {
            ids.0.get_or_insert(value);
            ids.1 += 1;
        })
        .map_err(|error| JobError::Malformed(error.to_string()))?;
        if json::deeper_than(max_depth, &raw) {
            return Err(JobError::Malformed(format!(
                "nested deeper than {max_depth} levels"
            )));
        }
        let id = match (shape, ids) {
            (Shape::Other, _) => return Err(JobError::NotAnObject),
            (Shape::Object, (None, _)) => return Err(JobError::NoId),
            (Shape::Object, (Some(id), 1)) => JobId::parse(id)?,
            (Shape::Object, _) => return Err(JobError::TwoIds),
        };
        Ok(Self {
            key: id.fingerprint(),
            id,
            raw,
            trace: None,
            handle: None,
        })
    }

    /// The same job, with the trace its caller belongs to.
    #[must_use]
    pub fn with_trace(mut self, trace: Option<Box<TraceContext>>) -> Self {
        self.trace = trace;
        self
    }

    /// The same job, whose answer is fetched later from this address. What it keeps of
    /// the request is its own bytes alone.
    #[must_use]
    pub fn for_later(mut self, handle: Handle) -> Self {
        self.raw = Bytes::copy_from_slice(&self.raw);
        self.handle = Some(Box::new(handle));
        self
    }

    /// Where its answer is fetched later, if it is.
    pub fn handle(&self) -> Option<Handle> {
        self.handle.as_deref().copied()
    }

    /// The id, by which its result will be known.
    pub fn id(&self) -> &JobId {
        &self.id
    }

    /// The object as it came, without outer whitespace.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The caller's trace, where it sent a valid one.
    pub fn trace(&self) -> Option<&TraceContext> {
        self.trace.as_deref()
    }

    /// A number that is equal for equal ids, and different for different ones
    /// but for chance. Meaningful within this process alone.
    pub fn key(&self) -> u64 {
        self.key
    }
}

/// Why a request's body is not a job. The texts are shown to the caller.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum JobError {
    /// Not one JSON document in UTF-8 within the nesting limit.
    #[error("the body is not acceptable JSON: {0}")]
    Malformed(String),
    /// Valid JSON, but no object.
    #[error("a job is a JSON object like {{\"id\": \"42\", \"body\": …}}")]
    NotAnObject,
    /// No member `id`.
    #[error("the job has no \"id\"; give it one, a string or an integer")]
    NoId,
    /// More than one top-level member `id`.
    #[error("the job has more than one \"id\"; parsers would disagree about which counts")]
    TwoIds,
    /// Its id is none.
    #[error(transparent)]
    Id(#[from] IdError),
}

impl JobError {
    /// Where in the body the fault is, as a JSON pointer (RFC 6901), if it is
    /// in one place.
    pub fn pointer(&self) -> Option<&'static str> {
        match self {
            Self::Malformed(_) => None,
            Self::NotAnObject => Some(""),
            _ => Some("/id"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<String, JobError> {
        Job::parse(Bytes::copy_from_slice(body.as_bytes()), json::MAX_DEPTH)
            .map(|job| job.id().to_string())
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
        assert_eq!((a.id(), a.key()), (b.id(), b.key()));
        assert_ne!(job(r#"{"id":1}"#).id(), job(r#"{"id":"1"}"#).id());
    }

    #[test]
    fn the_object_is_kept_byte_for_byte() {
        let body = "\n {\"b\":1.00, \"id\" : 7,\"b\":12345678901234567890123} \t";
        let job = Job::parse(Bytes::from_static(body.as_bytes()), json::MAX_DEPTH).unwrap();
        assert_eq!(job.raw(), body.trim());
    }
}
