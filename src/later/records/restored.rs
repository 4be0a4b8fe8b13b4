//! A record as it was before, in a process that is gone.

use thiserror::Error;

use crate::job::{Handle, RouteName, State};
use crate::job_id::JobId;
use crate::later::record::{Idempotency, Millis, StreamName};
use crate::later::store::Position;

/// A record as it was.
#[derive(Debug)]
pub(in crate::later) struct Restored<J, A> {
    pub handle: Handle,
    pub route: RouteName,
    pub id: Option<JobId>,
    pub stream: Option<StreamName>,
    pub idempotency: Option<Idempotency>,
    /// Of its job, or of its answer if it has one.
    pub bytes: usize,
    /// When its job is answered at the latest or, once it has been, when it expires.
    pub until: Millis,
    pub job: J,
    /// Its answer, if it has one: where in its stream, and `done` or `failed`.
    pub answer: Option<(Position, State, A)>,
}

/// There are more routes than can be told apart.
#[derive(Clone, Copy, Debug, Error)]
#[error("there are more routes than can be told apart")]
pub(in crate::later) struct TooManyRoutes;
