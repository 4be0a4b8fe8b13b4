//! What is found out about a request while it is answered, for the access log.
//!
//! It is noted where it is known, deep in the making of an answer, and read where the line
//! is written, around all of it: the two share it through the task that makes the answer.
//! Where there is no such log nothing is shared, and a note is nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::task_local;
use uuid::Uuid;

use crate::code::Code;
use crate::job::{Job, RouteName};
use crate::job_id::JobId;
use crate::route::Route;
use crate::tokens::Name;

/// Takes a line of the access log without its end, and waits for nobody.
pub type WriteLine = fn(&[u8]);

task_local! {
    static NOTED: Shared;
}

/// What is found out about a request.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// The name of the token that let it in.
    pub token: Option<Name>,
    /// The route that it is of.
    pub route: Option<RouteName>,
    /// Its job's id.
    pub id: Option<JobId>,
    /// The bytes of its job.
    pub bytes: Option<usize>,
    /// What it came to.
    pub code: Option<Code>,
    /// How its answer was had, where it is no job that was waited for.
    pub way: Option<Way>,
    /// Its job's batch.
    pub batch: Option<Batch>,
}

/// How the answer of what is no job that was waited for was had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Way {
    /// A call went by itself, as it came.
    Alone,
    /// It was passed through, to no route.
    PassedThrough,
    /// A job was handed in for later, or such jobs were asked for.
    Later,
}

/// What is told of a job's batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch {
    /// Its id.
    pub id: Uuid,
    /// How many items it had.
    pub size: usize,
    /// How long the job waited for it to leave.
    pub queued: Duration,
    /// How long the upstream had it.
    pub upstream: Duration,
}

impl Noted {
    /// It is a job of this route.
    pub fn job(&mut self, route: &Route, job: &Job) {
        self.route = Some(route.name.clone());
        self.id = job.id().cloned();
        self.bytes = Some(job.raw().len());
    }
}

/// What is noted about one request; clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared(Arc<Mutex<Noted>>);

impl Shared {
    /// What is noted so far.
    pub fn noted(&self) -> MutexGuard<'_, Noted> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something, and notes here what it finds out.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        NOTED.sync_scope(self.clone(), work)
    }

    /// The same of what takes a while.
    pub fn during_all<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        NOTED.scope(self.clone(), work)
    }
}

/// Notes something about the request that is being answered, where that is logged.
pub(super) fn note(note: impl FnOnce(&mut Noted)) {
    let _ = NOTED.try_with(|shared| note(&mut shared.noted()));
}
