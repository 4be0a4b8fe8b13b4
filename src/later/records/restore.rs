//! Records are there again that were there before.

use super::Records;
use super::entry::{Entry, Given, Job};
use super::marks::{Mark, Marks};
use super::restored::{Restored, TooManyRoutes};
use super::routes::{Ever, RouteNumber};
use crate::job::{Handle, RouteName, State};
use crate::later::record::StreamName;

impl<J: Job, A: Clone> Records<J, A> {
    /// What was ever counted of a route, and its number; whether nothing else has either.
    pub fn restore_route(&mut self, number: u16, name: &RouteName, ever: Ever) -> bool {
        let number = RouteNumber(number);
        self.indexes.routes.restore(number, name, ever)
    }

    /// What was known of all streams, before any of their records.
    pub fn restore_marks(&mut self, marks: Marks) {
        self.indexes.streams.restore_marks(marks);
    }

    /// What was known of a stream, after its records.
    pub fn restore_stream(&mut self, name: &StreamName, mark: Mark) {
        self.indexes.streams.restore(name, mark);
    }

    /// A record. One whose job is claimed was sent.
    pub fn restore(&mut self, record: Restored<J, A>) -> Result<(), TooManyRoutes> {
        let number = self.indexes.routes.number_of(&record.route);
        let is_claimed = record.job.claimable().is_some_and(|it| it.claim > 0);
        let (state, answer) = match record.answer {
            Some((position, state, answer)) => (state, Some((position, answer))),
            None if is_claimed => (State::Sent, None),
            None => (State::Queued, None),
        };
        let entry = Entry {
            route: number.ok_or(TooManyRoutes)?,
            id: record.id,
            state,
            read: false,
            bytes: record.bytes,
            until: record.until,
            answer,
            given: Given::new(record.stream, record.idempotency),
            job: record.job,
        };
        self.link(record.handle, Box::new(entry));
        Ok(())
    }

    /// A record of a route can't be had any more: it counts as deleted.
    pub fn lose(&mut self, route: &RouteName, state: State) {
        let known = self.indexes.routes.named(route).map(|it| it.number);
        if let Some(number) = known {
            self.touch_route(number);
            let counts = &mut self.indexes.routes.of_mut(number).counts;
            counts.ever.deleted[state as usize] += 1;
        }
    }

    /// Claims have larger numbers than this.
    pub fn restore_claims(&mut self, claims: u64) {
        self.claims = claims;
    }

    /// Somebody had read the answer of a record.
    pub fn restore_read(&mut self, handle: &Handle) {
        if let Some(entry) = self.present.get_mut(handle) {
            entry.read = true;
        }
    }

    /// What is kept of the jobs of those whose answers somebody has read.
    pub fn read(&self) -> impl Iterator<Item = &J> {
        let read = self.present.values().filter(|it| it.read);
        read.map(|it| &it.job)
    }
}
