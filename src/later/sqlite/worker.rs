//! The store's thread: takes what has come during the last commit, does it to the records,
//! commits all of it at once, and then tells each what became of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

use super::command::{Command, Reply};
use super::journal::Journal;
use super::published::Published;
use super::row::Row;
use super::trouble::NotCommitted;
use crate::job::Handle;
use crate::later::answer::Answer;
use crate::later::backlog::{Claim, Claimed};
use crate::later::record::{Millis, NewRecord, Record, StreamName};
use crate::later::records::{Made, Outcome};
use crate::later::store::{Accepted, Look, Refused, StoreError};
use crate::throttle::LogThrottle;

/// Most commands that are committed together, and that wait for that.
pub(super) const MOST: usize = 256;

/// What is told once it is known whether everything is committed; the jobs that were claimed
/// for somebody who has gone.
type Told = Box<dyn FnOnce(Result<(), StoreError>) -> Vec<Handle>>;

#[derive(Debug)]
pub(super) struct Worker {
    journal: Journal,
    published: Arc<Published>,
    /// Whether the last commit failed: the next holds one command, so that those that would
    /// work alone do.
    is_careful: bool,
    /// Jobs that were claimed for somebody who has gone, and are to wait again.
    unwanted: Vec<Handle>,
    /// Who is told that it is closed.
    closes: Option<oneshot::Sender<()>>,
    failures: LogThrottle,
}

impl Worker {
    pub fn new(journal: Journal, published: Arc<Published>) -> Self {
        Self {
            journal,
            published,
            is_careful: false,
            unwanted: Vec::new(),
            closes: None,
            failures: LogThrottle::default(),
        }
    }

    /// Runs until it is closed, or nobody can ask any more and everything is done that was
    /// asked for.
    pub fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let (mut taken, mut told) = (Vec::new(), Vec::new());
        while self.closes.is_none() {
            let most = if self.is_careful { 1 } else { MOST };
            if commands.blocking_recv_many(&mut taken, most) == 0 {
                break;
            }
            let round = || self.round(&mut taken, &mut told);
            if catch_unwind(AssertUnwindSafe(round)).is_err() {
                error!(
                    "the file of jobs for later goes on after a panic; what was not told is lost"
                );
                // Whoever asked is told that it is not known by this.
                taken.clear();
                told.clear();
                self.journal.recover();
            }
        }
        // Whoever asks from here on is refused.
        drop(commands);
        if let Err(error) = self.journal.close() {
            warn!(%error, "the file of jobs for later was not closed in order");
        }
        // Whoever asked may have gone.
        let _gone = self.closes.map(|it| it.send(()));
    }

    /// Does what is asked, commits it, and tells what became of it.
    fn round(&mut self, taken: &mut Vec<Command>, told: &mut Vec<Told>) {
        if let Some(settings) = self.published.heard() {
            self.journal.records.set(&settings);
        }
        told.extend(taken.drain(..).map(|it| self.apply(it)));
        let committed = self.commit();
        let unwanted = told.drain(..).flat_map(|tell| tell(committed));
        self.unwanted.extend(unwanted);
        if !self.unwanted.is_empty() {
            let unwanted = &self.unwanted;
            unwanted
                .iter()
                .for_each(|it| self.journal.records.release(it));
            if self.commit().is_ok() {
                self.unwanted.clear();
            }
        }
    }

    /// Commits what has changed.
    fn commit(&mut self) -> Result<(), StoreError> {
        if !self.journal.is_changed() {
            return Ok(());
        }
        let is_asked_for = self.journal.is_asked_for();
        let published = &self.published;
        let committed = self.journal.commit(|records| published.committed(records));
        self.is_careful = committed.is_err();
        let Err(NotCommitted {
            error,
            is_uncertain,
        }) = committed
        else {
            return Ok(());
        };
        self.warn(&error);
        match (is_asked_for, is_uncertain) {
            // What is read is there all the same.
            (false, _) => Ok(()),
            (true, true) => Err(StoreError::Unanswered),
            (true, false) => Err(StoreError::NotCommitted),
        }
    }

    fn warn(&self, error: &dyn std::error::Error) {
        if let Some(untold) = self.failures.admit() {
            warn!(%error, failures_not_warned_of = untold, "the file of jobs for later failed");
        }
    }

    fn apply(&mut self, command: Command) -> Told {
        let records = &mut self.journal.records;
        match command {
            Command::Accept(new, reply) => {
                let accepted = new.into_iter().map(|(new, job)| self.accept(new, job));
                let accepted: Vec<_> = accepted.collect();
                when_committed(reply, Ok(accepted))
            }
            Command::Claim(claim, reply) => {
                let claimed = self.claim(&claim);
                Box::new(move |committed| {
                    let unwanted = reply.send(committed.map(|()| claimed)).err();
                    let unwanted = unwanted.and_then(Result::ok).unwrap_or_default();
                    unwanted.iter().map(|it| it.handle).collect()
                })
            }
            Command::Release(handles, reply) => {
                handles.iter().for_each(|it| records.release(it));
                when_committed(reply, Ok(()))
            }
            Command::Sent(handles, reply) => when_committed(reply, Ok(records.sent(handles))),
            Command::QueuedAgain(handles, reply) => {
                handles.iter().for_each(|it| records.queued_again(it));
                when_committed(reply, Ok(()))
            }
            Command::Finish(answers, now, reply) => {
                let streams = self.finish(answers, now);
                when_committed(reply, Ok(streams))
            }
            Command::Fetch(handle, look, reply) => {
                let record = self.fetch(handle, look);
                when_committed(reply, record)
            }
            Command::Delete(handle, reply) => when_committed(reply, Ok(records.delete(&handle))),
            Command::Expire(now, reply) => when_committed(reply, Ok(records.expire(now))),
            Command::ReadStream(stream, after, limit, reply) => {
                let page = records.read_stream(&stream, after, limit);
                when_committed(reply, Ok(page))
            }
            Command::Close(reply) => {
                self.closes = Some(reply);
                Box::new(|_| Vec::new())
            }
            #[cfg(test)]
            Command::Stall(until) => {
                let _over = until.recv();
                Box::new(|_| Vec::new())
            }
            #[cfg(test)]
            Command::Panic(reply) => {
                assert!(reply.is_closed(), "on purpose");
                Box::new(|_| Vec::new())
            }
            #[cfg(test)]
            Command::Limit(pages, reply) => {
                let pages = self.journal.file().limit(pages);
                when_committed(reply, Ok(pages))
            }
        }
    }

    fn accept(&mut self, new: NewRecord, job: Vec<u8>) -> Result<Accepted, Refused> {
        let number = self.journal.number(job);
        let row = Row::new(number, &new);
        let made = self.journal.records.accept(new, row);
        if !matches!(made, Ok(Made::New(_))) {
            self.journal.forget_job(number);
        }
        match made? {
            Made::New(record) => Ok(Accepted::New(record)),
            Made::Existing(read) => Ok(Accepted::Existing(self.whole(read)?)),
        }
    }

    fn claim(&mut self, claim: &Claim) -> Vec<Claimed> {
        let claimed = self.journal.records.claim(claim);
        let with_job = claimed.into_iter().map(|it| {
            let number = self.journal.number_of(&it.handle);
            let job = number.map(|it| self.journal.job_of(it)).transpose();
            let job = job.unwrap_or_else(|why| {
                error!(job = %it.handle, %why, "a job for later can't be read, and fails");
                None
            });
            Claimed {
                handle: it.handle,
                // Where it can't be read, what is no job: its lane answers that.
                job: job.unwrap_or_default(),
                deadline: it.deadline,
                interrupted: it.interrupted,
            }
        });
        with_job.collect()
    }

    fn finish(&mut self, answers: Vec<(Handle, Answer)>, now: Millis) -> Vec<StreamName> {
        let finish = |(handle, answer): (Handle, Answer)| {
            let outcome = Outcome::from(&answer);
            if let Some(number) = self.journal.unfinished(&handle) {
                self.journal.answer(number, answer);
            }
            self.journal.records.finish(&handle, outcome, (), now)
        };
        let mut streams: Vec<_> = answers.into_iter().filter_map(finish).collect();
        streams.sort_unstable();
        streams.dedup();
        streams
    }

    fn fetch(&mut self, handle: Handle, look: Look) -> Result<Option<Record>, StoreError> {
        let read = self.journal.records.fetch(handle, look);
        read.map(|it| self.whole(it)).transpose()
    }

    /// A record with its answer.
    fn whole(&self, read: (Record, Option<()>)) -> Result<Record, StoreError> {
        let (record, answer) = read;
        let number = answer.and_then(|()| self.journal.number_of(&record.handle));
        let answer = number.map(|it| self.journal.answer_of(it)).transpose();
        let answer = answer.map_err(|error| {
            self.warn(&error);
            StoreError::NotCommitted
        })?;
        Ok(Record { answer, ..record })
    }
}

/// Tells this once it is committed.
fn when_committed<T: 'static>(reply: Reply<T>, result: Result<T, StoreError>) -> Told {
    Box::new(move |committed| {
        // Whoever asked may have gone.
        let _gone = reply.send(committed.and(result));
        Vec::new()
    })
}
