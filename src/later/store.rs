//! Where records are kept, and what every store promises.
//!
//! A store commits: when a call has returned `Ok`, what it did is done, and a store that
//! lasts has it after a crash. What is committed before what is decided by the order of the
//! calls alone:
//!
//! 1. [`accept`](Store::accept), before a caller is told the handle;
//! 2. [`sent`](Store::sent), before the first byte of a batch leaves; what it returns as
//!    gone is not sent;
//! 3. [`finish`](Store::finish), before an answer is visible to anybody;
//! 4. [`delete`](Store::delete), before its caller is told so.
//!
//! A store knows nothing of batches, connections or statuses, and decides the one thing
//! that has to be decided in one place: which of several came first. A record that was
//! deleted or expired is not finished, one that is finished is not finished again, and of
//! several deletions one succeeds. Idempotency keys are each route's own; the bounds, the
//! streams and their positions are those of all routes together.

use std::time::Duration;

use thiserror::Error;

use super::answer::Answer;
use super::backlog::Backlog;
use super::record::{Millis, NewRecord, Record, StreamName};
use super::settings::Settings;
use crate::job::{Handle, RouteName, State};
use crate::observe::CountsByRoute;

pub use super::step::{Pending, StoreError};

/// Where records are kept. Its methods may be called from any task.
pub trait Store: std::fmt::Debug + Send + Sync + 'static {
    /// Makes records, each for itself, and tells what became of each, in their order.
    fn accept(&self, records: Vec<NewRecord>) -> Pending<'_, Vec<Result<Accepted, Refused>>>;

    /// The jobs of these are about to be sent. Returns those that are not to be: they were
    /// deleted, have expired or are finished, or whose claim is another's by now.
    ///
    /// Of jobs that were claimed and are sent for the first time it is done when it is first
    /// polled, since the claim has committed it: so they take free places in callers'
    /// batches, which wait for no store.
    fn sent(&self, handles: Vec<Handle>) -> Pending<'_, Result<Vec<Handle>, StoreError>>;

    /// The jobs of these wait again, to be sent once more later.
    fn queued_again(&self, handles: Vec<Handle>) -> Pending<'_, Result<(), StoreError>>;

    /// These are finished: their answers are kept for `keep` from now on. An answer to a
    /// record that is gone or finished is dropped, so that this can be asked again. There
    /// is always room for an answer. Returns the streams of those records, also of those
    /// that were finished before.
    fn finish(
        &self,
        answers: Vec<(Handle, Answer)>,
    ) -> Pending<'_, Result<Vec<StreamName>, StoreError>>;

    /// Reads a record; `None` if there is none, or none any more.
    fn fetch(&self, handle: Handle, look: Look) -> Pending<'_, Result<Option<Record>, StoreError>>;

    /// Removes a record; its state until then, or `None` if there is none.
    fn delete(&self, handle: Handle) -> Pending<'_, Result<Option<State>, StoreError>>;

    /// Removes finished records whose time is over by `now`, as many as may go in one
    /// step; those that are left say so by when the next expires. Unfinished ones stay,
    /// until they are answered by their deadline.
    fn expire(&self, now: Millis) -> Pending<'_, Result<Expired, StoreError>>;

    /// Which answers a stream has: those after a position, or all that there are, at most
    /// `limit`, in the order of finishing. Who is told one reads it by
    /// [`fetch`](Self::fetch).
    fn read_stream(
        &self,
        stream: &StreamName,
        after: Option<Position>,
        limit: usize,
    ) -> Pending<'_, Result<Page, StoreError>>;

    /// What was counted, and what there is, at one moment: of each route that records were
    /// ever made of.
    fn counts(&self) -> CountsByRoute;

    /// These bounds hold from here on, for what it holds already too; but what is finished
    /// expires when it was told it would. `longest_call` is how long a job may take once it is
    /// sent.
    fn set(&self, settings: &Settings, longest_call: Duration);

    /// Lets go of what it lasts in, once everything is there that was committed: the
    /// process ends. Steps after that fail, and nothing is committed by them.
    fn close(&self) -> Pending<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// How many answers [`finish`](Self::finish) has dropped since this was last asked, of
    /// each route, since another process had the job by then.
    fn fenced(&self) -> Vec<(RouteName, usize)> {
        Vec::new()
    }

    /// Where jobs wait in the store and are claimed from it, since it lasts; `None` where
    /// each is submitted to its lane as soon as it is accepted.
    fn backlog(&self) -> Option<&dyn Backlog> {
        None
    }
}

/// What a record is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Somebody is told its answer: if it has one, it counts as read.
    ForAnswer,
    /// Nobody is told more than how far it has come.
    ForState,
}

/// What became of a new record.
#[derive(Clone, Debug)]
pub enum Accepted {
    /// It is made.
    New(Record),
    /// There is one of its route with its key and its digest: this.
    Existing(Record),
}

/// Why a record was not made.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Refused {
    /// There are as many as there may be, or they take up as much.
    #[error("the store is full")]
    Full {
        /// When the next record expires, in milliseconds since the epoch, if one is to.
        next_expiry: Option<Millis>,
    },
    /// There is one of its route with its key and another digest.
    #[error("the idempotency key is another request's")]
    KeyReused,
    /// The store is away.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where in a stream: the number of an answer. Numbers grow, and are never used twice, by a
/// later process neither.
pub type Position = u64;

/// A part of a stream.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Whether answers after the position that was asked for have expired, or may have:
    /// where nobody gave that position, nobody knows, nor of the name of a stream that is
    /// forgotten since it has no records. Deleted ones are no gap.
    pub gap: bool,
    /// Where the answers are, in the order of finishing.
    pub answers: Vec<(Position, Handle)>,
    /// Where to read on from: the last of these or, if these are all there are, the last
    /// position that was given in any stream.
    pub next: Position,
}

/// What expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// How many.
    pub records: usize,
    /// When the next one does, if there is a finished one.
    pub next: Option<Millis>,
}
