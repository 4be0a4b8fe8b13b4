//! The store in memory: records last until the process ends.
//!
//! One lock, and no step under it that takes longer the more records there are, but for
//! the logarithm. It does not keep the jobs, which are where they wait to be sent.

use std::future::ready;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::answer::Answer;
use super::clock;
use super::record::{Millis, NewRecord, Record, StreamName};
use super::records::{Made, Outcome, Read, Records as RecordsOf};
use super::settings::Settings;
use super::store::{Accepted, Expired, Look, Page, Pending, Position, Refused, Store, StoreError};
use crate::job::{Handle, State};
use crate::observe::CountsByRoute;

type Records = RecordsOf<(), Answer>;

/// Records in memory.
#[derive(Debug)]
pub struct Memory(Mutex<Records>);

impl Memory {
    /// No records yet. Positions in streams begin at the time it is made, in microseconds,
    /// so that those of a process before are smaller.
    pub fn new(settings: &Settings) -> Self {
        let micros = Position::try_from(clock::since_the_epoch().as_micros());
        let records = Records::new(settings, micros.unwrap_or_default());
        Self(Mutex::new(records))
    }

    fn with<T>(&self, step: impl FnOnce(&mut Records) -> T) -> T {
        step(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Records> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Each step is done when it is called, and has never failed.
impl Store for Memory {
    fn accept(&self, records: Vec<NewRecord>) -> Pending<'_, Vec<Result<Accepted, Refused>>> {
        let accept = |it: &mut Records, new| match it.accept(new, ())? {
            Made::New(record) => Ok(Accepted::New(record)),
            Made::Existing(read) => Ok(Accepted::Existing(whole(read))),
        };
        let accepted = self.with(|it| records.into_iter().map(|new| accept(it, new)).collect());
        Box::pin(ready(accepted))
    }

    fn sent(&self, handles: Vec<Handle>) -> Pending<'_, Result<Vec<Handle>, StoreError>> {
        Box::pin(ready(Ok(self.with(|it| it.sent(handles)))))
    }

    fn queued_again(&self, handles: Vec<Handle>) -> Pending<'_, Result<(), StoreError>> {
        self.with(|it| handles.iter().for_each(|handle| it.queued_again(handle)));
        Box::pin(ready(Ok(())))
    }

    fn finish(
        &self,
        answers: Vec<(Handle, Answer)>,
    ) -> Pending<'_, Result<Vec<StreamName>, StoreError>> {
        let now = clock::now();
        let streams = self.with(|it| {
            let answers = answers.into_iter();
            let finish = |(handle, answer): (Handle, Answer)| {
                it.finish(&handle, Outcome::from(&answer), answer, now)
            };
            let mut streams: Vec<_> = answers.filter_map(finish).collect();
            streams.sort_unstable();
            streams.dedup();
            streams
        });
        Box::pin(ready(Ok(streams)))
    }

    fn fetch(&self, handle: Handle, look: Look) -> Pending<'_, Result<Option<Record>, StoreError>> {
        let record = self.with(|it| it.fetch(handle, look)).map(whole);
        Box::pin(ready(Ok(record)))
    }

    fn delete(&self, handle: Handle) -> Pending<'_, Result<Option<State>, StoreError>> {
        Box::pin(ready(Ok(self.with(|it| it.delete(&handle)))))
    }

    fn expire(&self, now: Millis) -> Pending<'_, Result<Expired, StoreError>> {
        Box::pin(ready(Ok(self.with(|it| it.expire(now)))))
    }

    fn read_stream(
        &self,
        stream: &StreamName,
        after: Option<Position>,
        limit: usize,
    ) -> Pending<'_, Result<Page, StoreError>> {
        let page = self.with(|it| it.read_stream(stream, after, limit));
        Box::pin(ready(Ok(page)))
    }

    fn set(&self, settings: &Settings, _longest_call: Duration) {
        self.with(|it| it.set(settings));
    }

    fn counts(&self) -> CountsByRoute {
        let now = clock::now();
        self.with(|it| it.counts(now))
    }
}

/// A record with its answer.
fn whole((record, answer): Read<Answer>) -> Record {
    Record { answer, ..record }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::later::suite_tests::{Under, every_store};

    struct InMemory;

    impl Under for InMemory {
        type Store = Memory;

        async fn make(settings: &Settings) -> Memory {
            Memory::new(settings)
        }

        async fn pass(time: Duration) {
            tokio::time::advance(time).await;
        }
    }

    every_store!(InMemory);
}
