//! The store in an SQLite file: records outlast the process, and the machine.
//!
//! The records are in memory as those of the store there are, but for their jobs and
//! answers; the file is their journal, and has the bytes. One thread has both. It does what
//! has come during its last commit to the records, commits all of it at once, and then
//! tells each what became of it; what could not be committed it takes back.
//!
//! ```text
//! steps ──command──▶ worker ──▶ journal ──▶ records, claims
//!   ▲                  │           │ writing
//!   └── published ◀────┘           ▼
//!                                 file
//! ```
//!
//! | file | what it is |
//! |---|---|
//! | `schema`, `writing`, `file` | what stands in the file; what is written in a commit; the file |
//! | `error`, `trouble`, `aside` | why it is not opened; what SQLite's errors mean; a damaged one |
//! | `row`, `claims`, `journal`, `load` | what is kept in memory; what is sent; from changes to rows, and back |
//! | `command`, `worker`, `published` | what is asked; the thread; what is told without it |
//!
//! A file has the room that it needed at its peak, for records to come; it is given back at
//! a start at which more than half of it is free.

mod aside;
mod claims;
mod command;
mod error;
mod file;
mod journal;
mod load;
mod published;
mod row;
mod schema;
#[cfg(test)]
mod tests;
mod trouble;
mod worker;
mod writing;

use std::future::ready;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use self::command::{Command, Reply};
use self::file::{File, Syncing};
use self::journal::Journal;
use self::load::{Found, NotLoaded, load};
use self::published::Published;
use self::trouble::Trouble;
use self::worker::{MOST, Worker};
use super::answer::Answer;
use super::backlog::{Backlog, Claim, Claimed, News, Waiting};
use super::clock;
use super::kept::Kept;
use super::record::{Millis, NewRecord, Record, StreamName};
use super::settings::Settings;
use super::store::{Accepted, Expired, Look, Page, Pending, Position, Refused, Store, StoreError};
use crate::job::{Handle, RouteName, State};
use crate::observe::CountsByRoute;

pub use self::error::OpenError;

/// Records in a file. Dropped, it ends once everything is committed that was asked for.
#[derive(Debug)]
pub struct Sqlite {
    /// `None` once it ends.
    commands: Option<mpsc::Sender<Command>>,
    published: Arc<Published>,
    thread: Option<JoinHandle<()>>,
    /// How long a step may take; without end in tests whose time stands still.
    patience: Option<Duration>,
    /// Whether it was asked to end and need not be waited for.
    is_closed: AtomicBool,
}

/// Longest that a step takes: a disk that is held up for longer is as good as away.
const PATIENCE: Duration = Duration::from_secs(10);

impl Sqlite {
    /// The records of this file, which is made where there is none. What was sent by a
    /// process that is gone is interrupted. It reads all of the file, and takes its time.
    ///
    /// # Errors
    /// Where it can't be had. A damaged one is moved aside, and a new one is begun.
    pub fn open(path: &Path, settings: &Settings) -> Result<Self, OpenError> {
        Self::open_with(path, settings, Syncing::Full)
    }

    fn open_with(path: &Path, settings: &Settings, syncing: Syncing) -> Result<Self, OpenError> {
        let opened = match read(path, settings, syncing) {
            Err(Trouble::Damaged(damage)) => {
                aside::move_aside(path, &damage)?;
                read(path, settings, syncing)
            }
            opened => opened,
        };
        let failed = |error| OpenError::Failed {
            path: path.to_owned(),
            error,
        };
        let (journal, found) = opened.map_err(|trouble| match trouble {
            Trouble::Refused(error) => error,
            Trouble::Damaged(damage) => failed(damage.into()),
        })?;
        let published = Arc::<Published>::default();
        published.opened(&journal.records);
        let worker = Worker::new(journal, Arc::clone(&published));
        let (commands, receiver) = mpsc::channel(MOST);
        let thread = std::thread::Builder::new().name("sqlite".to_owned());
        let thread = thread.spawn(move || worker.run(receiver));
        let thread = thread.map_err(|error| failed(error.into()))?;
        let Found {
            records,
            interrupted,
            unreadable,
        } = found;
        info!(file = %path.display(), records, interrupted, unreadable, "the file of jobs for later is open");
        Ok(Self {
            commands: Some(commands),
            published,
            thread: Some(thread),
            patience: (syncing == Syncing::Full).then_some(PATIENCE),
            is_closed: AtomicBool::new(false),
        })
    }

    /// Asks the thread.
    fn ask<'a, T: Send + 'a>(
        &'a self,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Pending<'a, Result<T, StoreError>> {
        let (reply, replied) = oneshot::channel();
        let command = command(reply);
        Box::pin(async move {
            let until = self.patience.map(|it| Instant::now() + it);
            self.send(command, until).await?;
            answered(replied, until).await?
        })
    }

    /// Nothing is done where this fails.
    async fn send(&self, command: Command, until: Option<Instant>) -> Result<(), StoreError> {
        let commands = self.commands.as_ref().ok_or(StoreError::NotCommitted)?;
        let sent = within(until, commands.send(command)).await;
        sent.and_then(Result::ok).ok_or(StoreError::NotCommitted)
    }
}

/// What the thread replies by this time.
async fn answered<T>(
    mut reply: oneshot::Receiver<T>,
    until: Option<Instant>,
) -> Result<T, StoreError> {
    let answered = within(until, &mut reply).await;
    match answered {
        Some(answered) => answered.map_err(|_| StoreError::Unanswered),
        // From here on the thread knows that nobody waits, and takes back what it claims;
        // what it has sent before is here.
        None => {
            reply.close();
            reply.try_recv().map_err(|_| StoreError::Unanswered)
        }
    }
}

/// What comes by this time, if one is set.
async fn within<T>(until: Option<Instant>, comes: impl Future<Output = T>) -> Option<T> {
    match until {
        Some(until) => timeout_at(until, comes).await.ok(),
        None => Some(comes.await),
    }
}

/// Reads the file, and notes in it what is interrupted.
fn read(path: &Path, settings: &Settings, syncing: Syncing) -> Result<(Journal, Found), Trouble> {
    let file = File::open(path, syncing)?;
    let (mut journal, found) = load(file, settings).map_err(|error| match error {
        NotLoaded::File(error) => Trouble::unreadable(path, error),
        error => Trouble::Damaged(error.to_string()),
    })?;
    match journal.commit(|_| ()) {
        Err(it) if it.is_full() => {
            let (file, error) = (path.display(), it.error);
            warn!(%file, %error, "there is no room for jobs for later: what there is can be read");
        }
        committed => committed.map_err(|it| Trouble::of(path, it.error))?,
    }
    Ok((journal, found))
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(thread) = self.thread.take()
            && !*self.is_closed.get_mut()
        {
            let _panicked = thread.join();
        }
    }
}

impl Store for Sqlite {
    fn accept(&self, records: Vec<NewRecord>) -> Pending<'_, Vec<Result<Accepted, Refused>>> {
        let each = records.len();
        let kept = records.into_iter().map(|record| {
            let job = Kept::of(&record.job).to_bytes();
            (record, job)
        });
        let kept = kept.collect();
        let accepted = self.ask(|reply| Command::Accept(kept, reply));
        Box::pin(async move {
            let refused = |error| (0..each).map(|_| Err(Refused::Store(error))).collect();
            accepted.await.unwrap_or_else(refused)
        })
    }

    fn sent(&self, handles: Vec<Handle>) -> Pending<'_, Result<Vec<Handle>, StoreError>> {
        // The claim has committed it, but for those that wait for their next attempt.
        match self.published.gone(&handles) {
            Some(gone) => Box::pin(ready(Ok(gone))),
            None => self.ask(|reply| Command::Sent(handles, reply)),
        }
    }

    fn queued_again(&self, handles: Vec<Handle>) -> Pending<'_, Result<(), StoreError>> {
        self.ask(|reply| Command::QueuedAgain(handles, reply))
    }

    fn finish(
        &self,
        answers: Vec<(Handle, Answer)>,
    ) -> Pending<'_, Result<Vec<StreamName>, StoreError>> {
        let now = clock::now();
        self.ask(|reply| Command::Finish(answers, now, reply))
    }

    fn fetch(&self, handle: Handle, look: Look) -> Pending<'_, Result<Option<Record>, StoreError>> {
        self.ask(|reply| Command::Fetch(handle, look, reply))
    }

    fn delete(&self, handle: Handle) -> Pending<'_, Result<Option<State>, StoreError>> {
        self.ask(|reply| Command::Delete(handle, reply))
    }

    fn expire(&self, now: Millis) -> Pending<'_, Result<Expired, StoreError>> {
        self.ask(|reply| Command::Expire(now, reply))
    }

    fn read_stream(
        &self,
        stream: &StreamName,
        after: Option<Position>,
        limit: usize,
    ) -> Pending<'_, Result<Page, StoreError>> {
        let stream = stream.clone();
        self.ask(|reply| Command::ReadStream(stream, after, limit, reply))
    }

    fn set(&self, settings: &Settings, _longest_call: Duration) {
        self.published.set(*settings);
    }

    fn counts(&self) -> CountsByRoute {
        self.published.counts(clock::now())
    }

    fn backlog(&self) -> Option<&dyn Backlog> {
        Some(self)
    }

    fn close(&self) -> Pending<'_, ()> {
        Box::pin(async {
            let until = self.patience.map(|it| Instant::now() + it);
            let (reply, closed) = oneshot::channel();
            // What has ended is closed, and what is held up is not waited for.
            let _ended = self.send(Command::Close(reply), until).await;
            let _ended = answered(closed, until).await;
            self.is_closed.store(true, Ordering::Relaxed);
        })
    }
}

impl Backlog for Sqlite {
    fn claim(&self, claim: Claim) -> Pending<'_, Result<Vec<Claimed>, StoreError>> {
        self.ask(|reply| Command::Claim(claim, reply))
    }

    fn release(&self, handles: Vec<Handle>) -> Pending<'_, Result<(), StoreError>> {
        self.ask(|reply| Command::Release(handles, reply))
    }

    fn waiting(&self, route: &RouteName) -> Waiting {
        self.published.waiting(route)
    }

    fn routes(&self) -> Vec<RouteName> {
        self.published.waited_for()
    }

    /// Nobody else has the file: what is new is the backlog alone.
    fn news(&self) -> Pending<'_, News> {
        Box::pin(async {
            self.published.news().await;
            News::default()
        })
    }
}
