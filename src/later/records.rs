//! The records, and everything that is counted of them: a value, told the time.
//!
//! Every store that decides by itself has them: it keeps what jobs `J` and answers `A` are
//! made of, each in its own way. A store whose commits may fail takes back what it could
//! not commit ([`undo`]).

mod backlog;
mod claims;
mod entry;
mod indexes;
mod marks;
mod restore;
mod restored;
mod routes;
mod streams;
#[cfg(test)]
mod tests;
mod touched;
mod undo;
mod vanished;

use std::collections::BTreeMap;

use self::entry::Given;
use self::indexes::Indexes;
use self::routes::Routes;
use self::streams::{Leaving, Streams};
use self::touched::Touched;
use super::clock;
use super::record::{Millis, NewRecord, Record, StreamName};
use super::settings::Settings;
use super::store::{Expired, Look, Page, Position, Refused};
use crate::job::{Handle, State};
use crate::observe::CountsByRoute;

pub(super) use self::entry::{Claimable, Entry, Job, Outcome};
pub(super) use self::marks::{Mark, Marks};
pub(super) use self::restored::{Restored, TooManyRoutes};
pub(super) use self::routes::{Counts, Ever, Route};
pub(super) use self::touched::Change;

/// Most records that expire in one step: nobody is to wait for many.
const MOST_AT_ONCE: usize = 256;

#[derive(Debug)]
pub(super) struct Records<J, A> {
    max_jobs: usize,
    max_bytes: usize,
    /// Boxed: in a node of the tree almost half of the places are empty.
    present: BTreeMap<Handle, Box<Entry<J, A>>>,
    indexes: Indexes,
    /// How many claims there were.
    claims: u64,
    /// What has changed since the last commit, where a commit may fail.
    touched: Option<Touched<J, A>>,
}

/// A record as it is read, but for its answer, and what is kept of that.
pub(super) type Read<A> = (Record, Option<A>);

/// What became of a new record.
#[derive(Debug)]
pub(super) enum Made<A> {
    /// It is made.
    New(Record),
    /// There is one of its route with its key and its digest: this.
    Existing(Read<A>),
}

impl<J: Job, A: Clone> Records<J, A> {
    /// None yet; positions are larger than this.
    pub fn new(settings: &Settings, position: Position) -> Self {
        Self {
            max_jobs: settings.max_jobs,
            max_bytes: settings.max_bytes,
            present: BTreeMap::new(),
            indexes: Indexes {
                keep: clock::millis(settings.keep),
                finished: BTreeMap::new(),
                bytes: 0,
                routes: Routes::default(),
                streams: Streams::after(position),
            },
            claims: 0,
            touched: None,
        }
    }

    /// These bounds hold from here on. What is finished expires when it was told it would.
    pub fn set(&mut self, settings: &Settings) {
        self.max_jobs = settings.max_jobs;
        self.max_bytes = settings.max_bytes;
        self.indexes.keep = clock::millis(settings.keep);
    }

    /// Makes a record, of whose job this is kept, unless there is one of its route by its
    /// key, or no room.
    pub fn accept(&mut self, new: NewRecord, job: J) -> Result<Made<A>, Refused> {
        if let Some(idempotency) = &new.idempotency
            && let Some(route) = self.indexes.routes.named(&new.route)
            && let Some(handle) = route.keys.get(&idempotency.key)
            && let Some(entry) = self.present.get_mut(handle)
        {
            let before = entry.idempotency();
            if before.is_none_or(|it| it.digest != idempotency.digest) {
                return Err(Refused::KeyReused);
            }
            let read = entry.read(*handle, Look::ForAnswer, route, self.indexes.keep);
            return Ok(Made::Existing(read));
        }
        let bytes = new.job.bytes();
        let filled = self.indexes.bytes.saturating_add(bytes);
        if self.present.len() >= self.max_jobs || filled > self.max_bytes {
            return Err(self.full());
        }
        // Whose record is not made has no number.
        let Some(number) = self.indexes.routes.number_of(&new.route) else {
            return Err(self.full());
        };
        let handle = new.handle;
        self.touch(&handle);
        self.touch_route(number);
        let mut entry = Box::new(Entry {
            route: number,
            id: new.job.id().cloned(),
            state: State::Queued,
            read: false,
            bytes,
            until: new.deadline,
            answer: None,
            given: Given::new(new.stream, new.idempotency),
            job,
        });
        let keep = self.indexes.keep;
        let route = self.indexes.routes.of_mut(number);
        route.counts.ever.accepted += 1;
        let (record, _) = entry.read(handle, Look::ForState, route, keep);
        self.link(handle, entry);
        Ok(Made::New(record))
    }

    fn full(&self) -> Refused {
        let next_expiry = self.next_expiry();
        Refused::Full { next_expiry }
    }

    /// It is finished, if it is there and was not; its stream.
    pub fn finish(
        &mut self,
        handle: &Handle,
        outcome: Outcome,
        answer: A,
        now: Millis,
    ) -> Option<StreamName> {
        let entry = self.present.get(handle)?;
        let stream = entry.stream().cloned();
        if entry.answer.is_none() {
            let number = entry.route;
            let position = self.indexes.streams.next_position();
            let until = now.saturating_add(self.indexes.keep);
            self.change(handle, |entry| {
                entry.state = outcome.state;
                entry.bytes = outcome.bytes;
                entry.until = until;
                entry.answer = Some((position, answer));
            });
            let counts = &mut self.indexes.routes.of_mut(number).counts.ever;
            *counts.finished.entry(outcome.code).or_default() += 1;
            if let Some(stream) = &stream {
                self.indexes.streams.finish(stream, position, *handle);
            }
        }
        stream
    }

    pub fn fetch(&mut self, handle: Handle, look: Look) -> Option<Read<A>> {
        let entry = self.present.get_mut(&handle)?;
        let route = self.indexes.routes.of(entry.route);
        Some(entry.read(handle, look, route, self.indexes.keep))
    }

    /// What is kept of a record's job.
    pub fn job(&self, handle: &Handle) -> Option<&J> {
        self.present.get(handle).map(|it| &it.job)
    }

    /// The same, if it has no answer.
    pub fn unfinished_job(&self, handle: &Handle) -> Option<&J> {
        let entry = self.present.get(handle);
        let unfinished = entry.filter(|it| it.answer.is_none());
        unfinished.map(|it| &it.job)
    }

    pub fn delete(&mut self, handle: &Handle) -> Option<State> {
        let entry = self.remove(handle, Leaving::Deleted)?;
        let route = self.indexes.routes.of_mut(entry.route);
        route.counts.ever.deleted[entry.state as usize] += 1;
        Some(entry.state)
    }

    /// Some of those whose time is over go.
    pub fn expire(&mut self, now: Millis) -> Expired {
        let mut expired = Expired::default();
        while let Some((&(at, _), &handle)) = self.indexes.finished.first_key_value() {
            if at > now || expired.records == MOST_AT_ONCE {
                expired.next = Some(at);
                break;
            }
            if let Some(entry) = self.remove(&handle, Leaving::Expired) {
                let counts = &mut self.indexes.routes.of_mut(entry.route).counts.ever;
                match entry.read {
                    true => counts.expired_read += 1,
                    false => counts.expired_unread += 1,
                }
                expired.records += 1;
            }
        }
        expired
    }

    pub fn read_stream(&self, stream: &StreamName, after: Option<Position>, limit: usize) -> Page {
        self.indexes.streams.read(stream, after, limit)
    }

    pub fn counts(&self, now: Millis) -> CountsByRoute {
        let routes = self.indexes.routes.iter();
        let counted = routes.filter(|it| it.counts.ever.accepted > 0);
        counted.map(|it| (it.name.text(), it.counts(now))).collect()
    }

    fn next_expiry(&self) -> Option<Millis> {
        let (first, _) = self.indexes.finished.first_key_value()?;
        Some(first.0)
    }

    /// Changes a record's state, and everything that follows from it.
    fn change<T>(
        &mut self,
        handle: &Handle,
        change: impl FnOnce(&mut Entry<J, A>) -> T,
    ) -> Option<T> {
        self.touch(handle);
        let entry = self.present.get_mut(handle)?;
        self.indexes.remove(*handle, entry);
        let changed = change(entry);
        self.indexes.insert(*handle, entry);
        Some(changed)
    }

    fn remove(&mut self, handle: &Handle, why: Leaving) -> Option<Box<Entry<J, A>>> {
        self.touch(handle);
        let entry = self.unlink(handle)?;
        if let Some(stream) = entry.stream() {
            let position = entry.answer.as_ref().map(|it| it.0);
            self.indexes.streams.leave(stream, position, why);
        }
        Some(entry)
    }

    /// A record is there, as it is.
    fn link(&mut self, handle: Handle, mut entry: Box<Entry<J, A>>) {
        self.indexes.insert(handle, &entry);
        let route = self.indexes.routes.of_mut(entry.route);
        if let Some(idempotency) = entry.idempotency() {
            route.keys.insert(idempotency.key.clone(), handle);
        }
        let position = entry.answer.as_ref().map(|it| it.0);
        if let Some(stream) = entry.given.as_mut().and_then(|it| it.stream.as_mut()) {
            let streams = &mut self.indexes.streams;
            *stream = streams.enter(stream.clone());
            position.inspect(|at| streams.finish(stream, *at, handle));
        }
        self.present.insert(handle, entry);
    }

    /// A record is not there, but for what its stream knows of it.
    fn unlink(&mut self, handle: &Handle) -> Option<Box<Entry<J, A>>> {
        let entry = self.present.remove(handle)?;
        self.indexes.remove(*handle, &entry);
        if let Some(idempotency) = entry.idempotency() {
            let keys = &mut self.indexes.routes.of_mut(entry.route).keys;
            keys.remove(&idempotency.key);
        }
        Some(entry)
    }
}
