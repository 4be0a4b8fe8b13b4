//! The records, and everything that is counted of them: a value, told the time.

use std::collections::BTreeMap;

use super::routes::{RouteNumber, Routes};
use super::streams::{Leaving, Streams};
use crate::job::{Handle, RouteName, State};
use crate::job_id::JobId;
use crate::later::answer::Answer;
use crate::later::clock;
use crate::later::record::{Idempotency, Millis, NewRecord, Record, StreamName};
use crate::later::settings::Settings;
use crate::later::store::{Accepted, Expired, Look, Page, Position, Refused};
use crate::observe::CountsByRoute;

/// Most records that expire in one step: nobody is to wait for many.
const MOST_AT_ONCE: usize = 256;

#[derive(Debug)]
pub(super) struct Records {
    max_jobs: usize,
    max_bytes: usize,
    keep: Millis,
    /// Boxed: in a node of the tree almost half of the places are empty.
    present: BTreeMap<Handle, Box<Entry>>,
    /// Those of them that are finished, in the order of finishing, which is that of
    /// expiring.
    finished: BTreeMap<Position, Handle>,
    /// The bytes of all that are present.
    bytes: usize,
    routes: Routes,
    streams: Streams,
}

/// A record.
#[derive(Debug)]
struct Entry {
    route: RouteNumber,
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

impl Entry {
    fn given(&self) -> Option<&Given> {
        self.given.as_deref()
    }

    fn stream(&self) -> Option<&StreamName> {
        self.given().and_then(|it| it.stream.as_ref())
    }

    fn read(&mut self, handle: Handle, look: Look, route: &RouteName) -> Record {
        self.read |= self.answer.is_some() && look == Look::ForAnswer;
        Record {
            handle,
            route: route.clone(),
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
            finished: BTreeMap::new(),
            bytes: 0,
            routes: Routes::default(),
            streams: Streams::after(position),
        }
    }

    /// Makes a record, unless there is one of its route by its key, or no room.
    pub fn accept(&mut self, new: NewRecord) -> Result<Accepted, Refused> {
        let Some(number) = self.routes.number_of(&new.route) else {
            return Err(self.full());
        };
        let route = self.routes.of_mut(number);
        if let Some(idempotency) = &new.idempotency
            && let Some(handle) = route.keys.get(&idempotency.key)
            && let Some(entry) = self.present.get_mut(handle)
        {
            let before = entry.given().and_then(|it| it.idempotency.as_ref());
            if before.is_none_or(|it| it.digest != idempotency.digest) {
                return Err(Refused::KeyReused);
            }
            let record = entry.read(*handle, Look::ForAnswer, &route.name);
            return Ok(Accepted::Existing(record));
        }
        let bytes = new.job.bytes();
        let filled = self.bytes.saturating_add(bytes);
        if self.present.len() >= self.max_jobs || filled > self.max_bytes {
            return Err(self.full());
        }
        let handle = new.handle;
        let stream = new.stream.map(|name| self.streams.enter(name));
        if let Some(idempotency) = &new.idempotency {
            route.keys.insert(idempotency.key.clone(), handle);
        }
        let given = Given {
            stream,
            idempotency: new.idempotency,
        };
        let is_given = given.stream.is_some() || given.idempotency.is_some();
        let mut entry = Box::new(Entry {
            route: number,
            id: new.job.id().cloned(),
            state: State::Queued,
            read: false,
            bytes,
            expires_at: new.deadline.saturating_add(self.keep),
            answer: None,
            given: is_given.then(|| Box::new(given)),
        });
        let record = entry.read(handle, Look::ForState, &route.name);
        route.counts.present[State::Queued as usize] += 1;
        route.counts.bytes += bytes;
        route.counts.accepted += 1;
        route.queued.insert(handle);
        self.bytes = filled;
        self.present.insert(handle, entry);
        Ok(Accepted::New(record))
    }

    fn full(&self) -> Refused {
        let next_expiry = self.next_expiry();
        Refused::Full { next_expiry }
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
        let route = self.routes.of_mut(entry.route);
        route.goes_on(entry.state, state);
        entry.state = state;
        match state {
            State::Queued => route.queued.insert(*handle),
            _ => route.queued.remove(handle),
        };
        true
    }

    /// It is finished, if it is there and was not; its stream.
    pub fn finish(&mut self, handle: Handle, answer: Answer, now: Millis) -> Option<StreamName> {
        let entry = self.present.get_mut(&handle)?;
        if entry.answer.is_none() {
            let (position, state) = (self.streams.next_position(), answer.state());
            let route = self.routes.of_mut(entry.route);
            route.goes_on(entry.state, state);
            route.queued.remove(&handle);
            let counts = &mut route.counts;
            counts.bytes = counts.bytes - entry.bytes + answer.bytes();
            self.bytes = self.bytes - entry.bytes + answer.bytes();
            *counts.finished.entry(answer.code()).or_default() += 1;
            entry.state = state;
            entry.bytes = answer.bytes();
            entry.expires_at = now.saturating_add(self.keep);
            entry.answer = Some((position, answer));
            self.finished.insert(position, handle);
            if let Some(stream) = entry.stream() {
                self.streams.finish(stream, position, handle);
            }
        }
        entry.stream().cloned()
    }

    pub fn fetch(&mut self, handle: Handle, look: Look) -> Option<Record> {
        let entry = self.present.get_mut(&handle)?;
        let route = self.routes.of(entry.route);
        Some(entry.read(handle, look, &route.name))
    }

    pub fn delete(&mut self, handle: &Handle) -> Option<State> {
        let entry = self.remove(handle, Leaving::Deleted)?;
        let route = self.routes.of_mut(entry.route);
        route.counts.deleted[entry.state as usize] += 1;
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
                let counts = &mut self.routes.of_mut(entry.route).counts;
                match entry.read {
                    true => counts.expired_read += 1,
                    false => counts.expired_unread += 1,
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

    pub fn counts(&self, now: Millis) -> CountsByRoute {
        let routes = self.routes.iter();
        let counted = routes.filter(|it| it.counts.accepted > 0);
        counted.map(|it| (it.name.text(), it.counts(now))).collect()
    }

    fn next_expiry(&self) -> Option<Millis> {
        let (_, first) = self.finished.first_key_value()?;
        self.present.get(first).map(|it| it.expires_at)
    }

    fn remove(&mut self, handle: &Handle, why: Leaving) -> Option<Box<Entry>> {
        let entry = self.present.remove(handle)?;
        let position = entry.answer.as_ref().map(|it| it.0);
        let route = self.routes.of_mut(entry.route);
        match &position {
            Some(position) => drop(self.finished.remove(position)),
            None => drop(route.queued.remove(handle)),
        }
        if let Some(given) = entry.given() {
            if let Some(idempotency) = &given.idempotency {
                route.keys.remove(&idempotency.key);
            }
            if let Some(stream) = &given.stream {
                self.streams.leave(stream, position, why);
            }
        }
        route.counts.present[entry.state as usize] -= 1;
        route.counts.bytes -= entry.bytes;
        self.bytes -= entry.bytes;
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There may be a million.
    #[test]
    fn a_record_is_no_larger_for_its_route() {
        struct Unrouted {
            _id: Option<JobId>,
            _state: State,
            _read: bool,
            _bytes: usize,
            _expires_at: Millis,
            _answer: Option<(Position, Answer)>,
            _given: Option<Box<Given>>,
        }
        assert_eq!(size_of::<Entry>(), size_of::<Unrouted>());
    }
}
