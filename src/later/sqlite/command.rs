//! What the store's thread is asked to do.

use tokio::sync::oneshot;

use crate::job::{Handle, State};
use crate::later::answer::Answer;
use crate::later::backlog::{Claim, Claimed};
use crate::later::record::{Millis, NewRecord, Record, StreamName};
use crate::later::store::{Accepted, Expired, Look, Page, Position, Refused, StoreError};

/// To whom it is told what became of it, once it is committed.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// A step of the store.
#[derive(Debug)]
pub(super) enum Command {
    /// New records, and their jobs as they are kept.
    Accept(
        Vec<(NewRecord, Vec<u8>)>,
        Reply<Vec<Result<Accepted, Refused>>>,
    ),
    Claim(Claim, Reply<Vec<Claimed>>),
    Release(Vec<Handle>, Reply<()>),
    Sent(Vec<Handle>, Reply<Vec<Handle>>),
    QueuedAgain(Vec<Handle>, Reply<()>),
    /// By the time of whoever asks.
    Finish(Vec<(Handle, Answer)>, Millis, Reply<Vec<StreamName>>),
    Fetch(Handle, Look, Reply<Option<Record>>),
    Delete(Handle, Reply<Option<State>>),
    Expire(Millis, Reply<Expired>),
    ReadStream(StreamName, Option<Position>, usize, Reply<Page>),
    /// The last one: it is told once the file is closed.
    Close(oneshot::Sender<()>),
    /// The thread does nothing until this is dropped, as where the disk is held up.
    #[cfg(test)]
    Stall(std::sync::mpsc::Receiver<()>),
    #[cfg(test)]
    Panic(Reply<()>),
    /// The file has so many pages at most, and how many it has.
    #[cfg(test)]
    Limit(i64, Reply<i64>),
}
