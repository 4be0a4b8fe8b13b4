//! Answers that are fetched later: a job is handed in, has an address, and its answer is
//! fetched when its caller likes.
//!
//! A *record* is such a job, from the moment that the store has committed it until it is
//! deleted or expires. `http` hands jobs in and reads records; the engine tells which jobs
//! it is about to send. What a record's answer is, is made by `http`, by the same function
//! that answers waiting callers.
//!
//! | file | what it is |
//! |---|---|
//! | [`record`] | a record, its states, and what it is made of |
//! | [`answer`] | an answer as it is kept |
//! | [`store`] | what every store promises |

pub mod answer;
pub mod record;
pub mod store;

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

use self::answer::Answer;
use self::record::{IdempotencyKey, Record, StreamName};
use self::store::{Position, Refused, Store, StoreError};
use crate::job::{Handle, Job, NoRandomness, State};
use crate::observe::{Observer, RecordCounts};

/// Where records are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// In memory, until the process ends.
    Memory,
    /// Nowhere: every caller waits for its answer.
    Off,
}

/// The bounds and times of records.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Most records there may be.
    pub max_jobs: usize,
    /// Most bytes of their jobs and answers.
    pub max_bytes: usize,
    /// How long a finished record is kept.
    pub keep: Duration,
    /// The longest that a job may take to finish, from when it was handed in.
    pub job_timeout: Duration,
}

/// Answers fetched later. A handle: clones are the same.
#[derive(Clone, Debug)]
pub struct Later(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<dyn Store>,
    settings: Settings,
    observer: Arc<Observer>,
}

/// Where jobs wait that were accepted.
pub trait Lane: Send + Sync + 'static {
    /// Has a job queued whose record is committed. It is answered by
    /// [`Later::answered`], once and whatever happens; also where it can't be queued.
    fn submit(&self, job: Job, deadline: Instant) -> Box<dyn Withdraw>;
}

/// A job that was queued.
pub trait Withdraw: Send + Sync {
    /// Its record is gone: it is not sent any more, or its result is nobody's.
    fn withdraw(&self);
}

/// What is handed in.
#[derive(Debug)]
pub struct HandIn {
    /// The job.
    pub job: Job,
    /// The stream that its answer is told on.
    pub stream: Option<StreamName>,
    /// What makes handing it in again harmless.
    pub key: Option<IdempotencyKey>,
}

/// Why a job was not handed in.
#[derive(Debug, Error)]
pub enum HandInError {
    /// The store did not take it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The process is about to end.
    #[error("the process ends")]
    Closed,
    /// There are no random bits for a handle.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

/// Why there is no record.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FetchError {
    /// There is none: never was, deleted, expired, or another's.
    #[error("there is no such job")]
    Unknown,
    /// The store is away.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Later {
    /// Records in this store. Jobs that are handed in wait in what
    /// [`start`](Self::start) is given.
    pub fn new(store: Arc<dyn Store>, settings: Settings, observer: Arc<Observer>) -> Self {
        Self(Arc::new(Inner {
            store,
            settings,
            observer,
        }))
    }

    /// Takes jobs from here on: those that were handed in wait in `lane`.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(&self, _lane: Arc<dyn Lane>) {}

    /// Commits a job and has it queued, whether or not this is awaited to its end. The
    /// record, new or that which was made by the same request before.
    ///
    /// # Errors
    /// Where there is no record.
    pub async fn hand_in(&self, _job: HandIn) -> Result<Record, HandInError> {
        Err(HandInError::Closed)
    }

    /// Reads a record.
    ///
    /// # Errors
    /// Where there is none to be had.
    pub async fn fetch(&self, handle: Handle) -> Result<Record, FetchError> {
        self.0.store.fetch(handle).await?.ok_or(FetchError::Unknown)
    }

    /// Reads a record as soon as it is finished, or at this time as it is then. It ends
    /// too when the record is deleted.
    ///
    /// # Errors
    /// Where there is none to be had.
    pub async fn fetch_finished(
        &self,
        handle: Handle,
        _until: Instant,
    ) -> Result<Record, FetchError> {
        self.fetch(handle).await
    }

    /// Removes a record; its state until then. A queued job is not sent any more; of one
    /// that was sent the result is nobody's.
    ///
    /// # Errors
    /// Where there is none to be had.
    pub async fn delete(&self, handle: Handle) -> Result<State, FetchError> {
        let deleted = self.0.store.delete(handle).await?;
        deleted.ok_or(FetchError::Unknown)
    }

    /// Listens to a stream, from after this position on, or from its beginning.
    pub fn listen(&self, stream: StreamName, after: Option<Position>) -> Listener {
        Listener {
            later: self.clone(),
            stream,
            after: after.unwrap_or_default(),
        }
    }

    /// These are about to be sent. Those of them that are not to be, since their records
    /// are gone. To be awaited before the first byte leaves.
    ///
    /// # Errors
    /// Where the store is away: nothing may be sent then.
    pub async fn sent(&self, handles: Vec<Handle>) -> Result<Vec<Handle>, StoreError> {
        self.0.store.sent(handles).await
    }

    /// These wait for another attempt.
    pub fn queued_again(&self, _handles: Vec<Handle>) {}

    /// What became of a job. It is committed soon, and visible from then on.
    pub fn answered(&self, _handle: Handle, _answer: Answer) {}

    /// Waits until every answer is committed that there is, and ends what listens.
    pub async fn end(&self) {}

    /// What was counted, and what there is, at one moment.
    pub fn counts(&self) -> RecordCounts {
        self.0.store.counts()
    }

    /// The bounds and times.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }
}

/// Somebody who listens to a stream. It holds no answers: it reads them when it is asked.
#[derive(Debug)]
pub struct Listener {
    later: Later,
    stream: StreamName,
    after: Position,
}

/// What a listener hears.
#[derive(Clone, Debug)]
pub enum Heard {
    /// Answers have expired since the position that was asked for.
    Gap,
    /// A record finished, with its position.
    Finished(Position, Box<Record>),
}

impl Listener {
    /// The next, as soon as there is one; `None` when the process ends. An error of the
    /// store does not end it: it may be asked again.
    ///
    /// # Errors
    /// Where the store is away.
    pub async fn next(&mut self) -> Result<Option<Heard>, StoreError> {
        let _page = self
            .later
            .0
            .store
            .read_stream(&self.stream, self.after, 1)
            .await?;
        Ok(None)
    }
}
