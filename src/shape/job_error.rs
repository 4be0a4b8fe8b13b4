//! Why a request's body is not a job.

use thiserror::Error;

use crate::job_id::IdError;

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
