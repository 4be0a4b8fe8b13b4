//! The records, and everything that is counted of them: a value, told the time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::streams::{Leaving, Streams};
use crate::code::Code;
use crate::job::{Handle, RouteName, State};
use crate::job_id::JobId;
use crate::later::answer::Answer;
use crate::later::clock;
use crate::later::record::{Idempotency, IdempotencyKey, Millis, NewRecord, Record, StreamName};
use crate::later::settings::Settings;
use crate::later::store::{Accepted, Expired, Look, Page, Position, Refused};
use crate::observe::RecordCounts;

/// Most records that expire in one step: nobody is to wait for many.
const MOST_AT_ONCE: usize = 256;

#[derive(Debug)]
pub(super) struct Records {
    max_jobs: usize,
    max_bytes: usize,
    keep: Millis,
    /// Boxed: in a node of the tree almost half of the places are empty.
    present: BTreeMap<Handle, Box<Entry>>,
    /// Those of them that are queued, the oldest first.
    queued: BTreeSet<Handle>,
    /// Those of them that are finished, in the order of finishing, which is that of
    /// expiring.
    finished: BTreeMap<Position, Handle>,
    keys: BTreeMap<IdempotencyKey, Handle>,
    streams: Streams,
    counts: Counts,
}

/// A record.
#[derive(Debug)]
struct Entry {
    route: RouteName,
    id: Option<JobId>,
    state: State,
    /// Whether somebody has read its answer.
    read: bool,
    /// Of its job, or of its answer once it has one.
    bytes: usize,
    /// When it expires; unfinished, at the latest.
    expires_at: Millis,
    answer: Option<(Position, Answer)>,
    /// What few have.
    given: Option<Box<Given>>,
}

/// What was handed in with a job.
#[derive(Debug)]
struct Given {
    stream: Option<StreamName>,
    idempotency: Option<Idempotency>,
}

/// What there is and what there was.
#[derive(Debug, Default)]
struct Counts {
    present: [u64; State::ALL.len()],
    bytes: usize,
    accepted: u64,
    finished: BTreeMap<Code, u64>,
    deleted: [u64; State::ALL.len()],
    expired_read: u64,
    expired_unread: u64,
}

impl Entry {
    fn given(&self) -> Option<&Given> {
        self.given.as_deref()
    }

    fn stream(&self) -> Option<&StreamName> {
        self.given().and_then(|it| it.stream.as_ref())
    }

    fn read(&mut self, handle: Handle, look: Look) -> Record {
        self.read |= self.answer.is_some() && look == Look::ForAnswer;
        Record {
            handle,
            route: self.route.clone(),
            id: self.id.clone(),
            state: self.state,
            expires_at: self.expires_at,
            answer: self.answer.as_ref().map(|it| it.1.clone()),
        }
    }
}

impl Records {
    /// None yet; positions are larger than this.
    pub fn new(settings: &Settings, position: Position) -> Self {
        Self {
            max_jobs: settings.max_jobs,
            max_bytes: settings.max_bytes,
            keep: clock::millis(settings.keep),
            present: BTreeMap::new(),
            queued: BTreeSet::new(),
            finished: BTreeMap::new(),
            keys: BTreeMap::new(),
            streams: Streams::after(position),
            counts: Counts::default(),
        }
    }

    /// Makes a record, unless there is one by its key, or no room.
    pub fn accept(&mut self, new: NewRecord) -> Result<Accepted, Refused> {
        if let Some(idempotency) = &new.idempotency
            && let Some(handle) = self.keys.get(&idempotency.key)
            && let Some(entry) = self.present.get_mut(handle)
        {
            let before = entry.given().and_then(|it| it.idempotency.as_ref());
            return match before.is_some_and(|it| it.digest == idempotency.digest) {
                true => Ok(Accepted::Existing(entry.read(*handle, Look::ForAnswer))),
                false => Err(Refused::KeyReused),
            };
        }
        let bytes = new.job.raw().len();
        let filled = self.counts.bytes.saturating_add(bytes);
        if self.present.len() >= self.max_jobs || filled > self.max_bytes {
            let next_expiry = self.next_expiry();
            return Err(Refused::Full { next_expiry });
        }
        let handle = new.handle;
        let stream = new.stream.map(|name| self.streams.enter(name));
        if let Some(idempotency) = &new.idempotency {
            self.keys.insert(idempotency.key.clone(), handle);
        }
        let given = Given {
            stream,
            idempotency: new.idempotency,
        };
        let is_given = given.stream.is_some() || given.idempotency.is_some();
        let mut entry = Box::new(Entry {
            route: new.route,
            id: new.job.id().cloned(),
            state: State::Queued,
            read: false,
            bytes,
            expires_at: new.deadline.saturating_add(self.keep),
            answer: None,
            given: is_given.then(|| Box::new(given)),
        });
        let record = entry.read(handle, Look::ForState);
        self.counts.present[State::Queued as usize] += 1;
        self.counts.bytes = filled;
        self.counts.accepted += 1;
        self.present.insert(handle, entry);
        self.queued.insert(handle);
        Ok(Accepted::New(record))
    }

    /// Whether its job may be sent.
    pub fn sent(&mut self, handle: &Handle) -> bool {
        self.goes_on(handle, State::Sent)
    }

    /// Its job waits again.
    pub fn queued_again(&mut self, handle: &Handle) {
        self.goes_on(handle, State::Queued);
    }

    /// Goes on to a state in which it has no answer; false if it has one or is gone.
    fn goes_on(&mut self, handle: &Handle, state: State) -> bool {
        let entry = self.present.get_mut(handle);
        let Some(entry) = entry.filter(|it| it.answer.is_none()) else {
            return false;
        };
        self.counts.present[entry.state as usize] -= 1;
        self.counts.present[state as usize] += 1;
        entry.state = state;
        match state {
            State::Queued => self.queued.insert(*handle),
            _ => self.queued.remove(handle),
        };
        true
    }

    /// It is finished, if it is there and was not; its stream.
    pub fn finish(&mut self, handle: Handle, answer: Answer, now: Millis) -> Option<StreamName> {
        let entry = self.present.get_mut(&handle)?;
        if entry.answer.is_none() {
            let (position, state) = (self.streams.next_position(), answer.state());
            let counts = &mut self.counts;
            counts.present[entry.state as usize] -= 1;
            counts.present[state as usize] += 1;
            counts.bytes = counts.bytes - entry.bytes + answer.bytes();
            *counts.finished.entry(answer.code()).or_default() += 1;
            entry.state = state;
            entry.bytes = answer.bytes();
            entry.expires_at = now.saturating_add(self.keep);
            entry.answer = Some((position, answer));
            self.queued.remove(&handle);
            self.finished.insert(position, handle);
            if let Some(stream) = entry.stream() {
                self.streams.finish(stream, position, handle);
            }
        }
        entry.stream().cloned()
    }

    pub fn fetch(&mut self, handle: Handle, look: Look) -> Option<Record> {
        let entry = self.present.get_mut(&handle)?;
        Some(entry.read(handle, look))
    }

    pub fn delete(&mut self, handle: &Handle) -> Option<State> {
        let entry = self.remove(handle, Leaving::Deleted)?;
        self.counts.deleted[entry.state as usize] += 1;
        Some(entry.state)
    }

    /// Some of those whose time is over go.
    pub fn expire(&mut self, now: Millis) -> Expired {
        let mut expired = Expired::default();
        while let Some(handle) = self.finished.first_key_value().map(|it| *it.1) {
            expired.next = self.present.get(&handle).map(|it| it.expires_at);
            if expired.next.is_some_and(|it| it > now) || expired.records == MOST_AT_ONCE {
                return expired;
            }
            if let Some(entry) = self.remove(&handle, Leaving::Expired) {
                match entry.read {
                    true => self.counts.expired_read += 1,
                    false => self.counts.expired_unread += 1,
                }
                expired.records += 1;
            }
        }
        expired.next = None;
        expired
    }

    pub fn read_stream(&self, stream: &StreamName, after: Option<Position>, limit: usize) -> Page {
        self.streams.read(stream, after, limit)
    }

    pub fn counts(&self, now: Millis) -> RecordCounts {
        let counts = &self.counts;
        RecordCounts {
            present: counts.present,
            bytes: counts.bytes as u64,
            oldest_queued: self.queued.first().map(|oldest| {
                let waited = now.saturating_sub(oldest.millis());
                Duration::from_millis(waited)
            }),
            accepted: counts.accepted,
            finished: counts.finished.iter().map(|it| (*it.0, *it.1)).collect(),
            deleted: counts.deleted,
            expired_read: counts.expired_read,
            expired_unread: counts.expired_unread,
        }
    }

    fn next_expiry(&self) -> Option<Millis> {
        let (_, first) = self.finished.first_key_value()?;
        self.present.get(first).map(|it| it.expires_at)
    }

    fn remove(&mut self, handle: &Handle, why: Leaving) -> Option<Box<Entry>> {
        let entry = self.present.remove(handle)?;
        let position = entry.answer.as_ref().map(|it| it.0);
        match &position {
            Some(position) => drop(self.finished.remove(position)),
            None => drop(self.queued.remove(handle)),
        }
        if let Some(given) = entry.given() {
            if let Some(idempotency) = &given.idempotency {
                self.keys.remove(&idempotency.key);
            }
            if let Some(stream) = &given.stream {
                self.streams.leave(stream, position, why);
            }
        }
        self.counts.present[entry.state as usize] -= 1;
        self.counts.bytes -= entry.bytes;
        Some(entry)
    }
}
