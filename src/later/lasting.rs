//! A store in memory that jobs are claimed from, as from stores that outlive the process:
//! it lasts as long as somebody has it. What claims jobs is tried on it, in this crate and
//! where it is embedded, without a disk or a server.
//!
//! Each [`Lasting`] is one process that shares it. One that [crashes](Lasting::crash) is
//! none any more, whatever still runs of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use super::answer::Answer;
use super::backlog::{Backlog, Claim, Claimed, News, Waiting};
use super::clock;
use super::kept::Kept;
use super::record::{Millis, NewRecord, Record, StreamName};
use super::records::{Claimable, Made, Outcome, Read, Records};
use super::settings::Settings;
use super::store::{Accepted, Expired, Look, Page, Pending, Position, Refused, Store, StoreError};
use crate::job::{Handle, RouteName, State};
use crate::observe::CountsByRoute;

/// One process's end of such a store.
#[derive(Debug)]
pub struct Lasting {
    shared: Arc<Mutex<Shared>>,
    number: usize,
    told: Arc<Notify>,
}

/// What all processes share.
#[derive(Debug)]
struct Shared {
    records: Records<Claimable, Answer>,
    jobs: BTreeMap<Handle, Bytes>,
    /// Whose the claimed ones are.
    claims: BTreeMap<Handle, usize>,
    processes: Vec<Process>,
}

/// One of them.
#[derive(Debug, Default)]
struct Process {
    told: Arc<Notify>,
    /// What it is not told yet.
    news: News,
    /// Whether it can't reach the store.
    is_away: bool,
    is_gone: bool,
}

impl Lasting {
    /// No records yet, and the first process.
    pub fn new(settings: &Settings) -> Self {
        let micros = Position::try_from(clock::since_the_epoch().as_micros());
        let shared = Shared {
            records: Records::new(settings, micros.unwrap_or_default()),
            jobs: BTreeMap::new(),
            claims: BTreeMap::new(),
            processes: Vec::new(),
        };
        Self::join(Arc::new(Mutex::new(shared)))
    }

    /// Another process with the same records.
    #[must_use]
    pub fn another(&self) -> Self {
        Self::join(Arc::clone(&self.shared))
    }

    fn join(shared: Arc<Mutex<Shared>>) -> Self {
        let told = Arc::<Notify>::default();
        let number = {
            let mut shared = lock(&shared);
            shared.processes.push(Process {
                told: Arc::clone(&told),
                ..Process::default()
            });
            shared.processes.len() - 1
        };
        Self {
            shared,
            number,
            told,
        }
    }

    /// The process is gone: what it has claimed is for others to claim, and nothing that is
    /// left of it does anything any more.
    pub fn crash(&self) {
        lock(&self.shared).processes[self.number].is_gone = true;
        self.lapse();
    }

    /// What the process has claimed is for others to claim, as where it was held up for
    /// longer than its lease: it goes on all the same.
    pub fn lapse(&self) {
        let mut shared = lock(&self.shared);
        let claims = std::mem::take(&mut shared.claims);
        let (lost, held): (Vec<_>, Vec<_>) =
            (claims.into_iter()).partition(|it| it.1 == self.number);
        shared.claims = held.into_iter().collect();
        for (handle, _) in lost {
            shared.records.abandon(&handle);
        }
        shared.tell_others(self.number, |_| ());
    }

    /// Whether the process can't reach the store: nothing is committed meanwhile.
    pub fn set_away(&self, is_away: bool) {
        lock(&self.shared).processes[self.number].is_away = is_away;
    }

    /// How many jobs are claimed by any process.
    pub fn claimed(&self) -> usize {
        lock(&self.shared).claims.len()
    }

    fn step<'a, T: Send + 'a>(
        &self,
        step: impl FnOnce(&mut Shared) -> T,
    ) -> Pending<'a, Result<T, StoreError>> {
        let mut shared = lock(&self.shared);
        let Process {
            is_away, is_gone, ..
        } = shared.processes[self.number];
        let done = match is_away || is_gone {
            true => Err(StoreError::NotCommitted),
            false => Ok(step(&mut shared)),
        };
        Box::pin(std::future::ready(done))
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    // Nothing panics while it is held.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn accept(&mut self, new: NewRecord) -> Result<Accepted, Refused> {
        let claimable = Claimable::new(new.frame, new.job.call().count());
        let kept = Bytes::from(Kept::of(&new.job).to_bytes());
        let handle = new.handle;
        Ok(match self.records.accept(new, claimable)? {
            Made::New(record) => {
                self.jobs.insert(handle, kept);
                Accepted::New(record)
            }
            Made::Existing(read) => Accepted::Existing(whole(read)),
        })
    }

    fn claim(&mut self, number: usize, claim: &Claim) -> Vec<Claimed> {
        let claimed = self.records.claim(claim);
        let each = claimed.into_iter().map(|it| {
            self.claims.insert(it.handle, number);
            Claimed {
                handle: it.handle,
                job: self.jobs.get(&it.handle).cloned().unwrap_or_default(),
                deadline: it.deadline,
                interrupted: it.interrupted,
            }
        });
        each.collect()
    }

    fn is_of(&self, handle: &Handle, number: usize) -> bool {
        self.claims.get(handle) == Some(&number)
    }

    fn finish(&mut self, number: usize, answers: Vec<(Handle, Answer)>) -> Vec<StreamName> {
        let now = clock::now();
        let mut streams = Vec::new();
        let mut finished = Vec::new();
        for (handle, answer) in answers {
            // Whose claim was taken over has no word any more.
            if self.claims.get(&handle).is_some_and(|it| *it != number) {
                continue;
            }
            let outcome = Outcome::from(&answer);
            streams.extend(self.records.finish(&handle, outcome, answer, now));
            self.claims.remove(&handle);
            self.jobs.remove(&handle);
            finished.push(handle);
        }
        streams.sort_unstable();
        streams.dedup();
        self.tell_others(number, |news| {
            news.finished.extend(&finished);
            news.streams.extend_from_slice(&streams);
        });
        streams
    }

    fn delete(&mut self, number: usize, handle: &Handle) -> Option<State> {
        let deleted = self.records.delete(handle)?;
        self.claims.remove(handle);
        self.jobs.remove(handle);
        self.tell_others(number, |news| news.deleted.push(*handle));
        Some(deleted)
    }

    fn tell_others(&mut self, number: usize, tell: impl Fn(&mut News)) {
        let processes = self.processes.iter_mut().enumerate();
        for (_, process) in processes.filter(|it| it.0 != number) {
            tell(&mut process.news);
            process.told.notify_one();
        }
    }
}

impl Store for Lasting {
    fn accept(&self, records: Vec<NewRecord>) -> Pending<'_, Vec<Result<Accepted, Refused>>> {
        let each = records.len();
        let accepted = self.step(|it| {
            let accepted = records.into_iter().map(|new| it.accept(new)).collect();
            it.tell_others(self.number, |_| ());
            self.told.notify_one();
            accepted
        });
        Box::pin(async move {
            let refused = |error| vec![Err(Refused::Store(error)); each];
            accepted.await.unwrap_or_else(refused)
        })
    }

    fn sent(&self, handles: Vec<Handle>) -> Pending<'_, Result<Vec<Handle>, StoreError>> {
        self.step(|it| {
            let (mine, mut gone): (Vec<_>, Vec<_>) =
                (handles.into_iter()).partition(|handle| it.is_of(handle, self.number));
            gone.extend(it.records.sent(mine));
            gone
        })
    }

    fn queued_again(&self, handles: Vec<Handle>) -> Pending<'_, Result<(), StoreError>> {
        self.step(|it| {
            let mine = handles
                .iter()
                .filter(|handle| it.claims.get(handle) == Some(&self.number));
            mine.for_each(|handle| it.records.queued_again(handle));
        })
    }

    fn finish(
        &self,
        answers: Vec<(Handle, Answer)>,
    ) -> Pending<'_, Result<Vec<StreamName>, StoreError>> {
        self.step(|it| it.finish(self.number, answers))
    }

    fn fetch(&self, handle: Handle, look: Look) -> Pending<'_, Result<Option<Record>, StoreError>> {
        self.step(|it| it.records.fetch(handle, look).map(whole))
    }

    fn delete(&self, handle: Handle) -> Pending<'_, Result<Option<State>, StoreError>> {
        self.step(|it| it.delete(self.number, &handle))
    }

    fn expire(&self, now: Millis) -> Pending<'_, Result<Expired, StoreError>> {
        self.step(|it| it.records.expire(now))
    }

    fn read_stream(
        &self,
        stream: &StreamName,
        after: Option<Position>,
        limit: usize,
    ) -> Pending<'_, Result<Page, StoreError>> {
        self.step(|it| it.records.read_stream(stream, after, limit))
    }

    fn set(&self, settings: &Settings, _longest_call: Duration) {
        lock(&self.shared).records.set(settings);
    }

    fn counts(&self) -> CountsByRoute {
        lock(&self.shared).records.counts(clock::now())
    }

    fn backlog(&self) -> Option<&dyn Backlog> {
        Some(self)
    }
}

impl Backlog for Lasting {
    fn claim(&self, claim: Claim) -> Pending<'_, Result<Vec<Claimed>, StoreError>> {
        self.step(|it| it.claim(self.number, &claim))
    }

    fn release(&self, handles: Vec<Handle>) -> Pending<'_, Result<(), StoreError>> {
        self.step(|it| {
            for handle in handles {
                if it.is_of(&handle, self.number) {
                    it.claims.remove(&handle);
                    it.records.release(&handle);
                }
            }
            it.tell_others(self.number, |_| ());
            self.told.notify_one();
        })
    }

    fn waiting(&self, route: &RouteName) -> Waiting {
        lock(&self.shared).records.waiting(route)
    }

    fn routes(&self) -> Vec<RouteName> {
        lock(&self.shared).records.waited_for()
    }

    fn news(&self) -> Pending<'_, News> {
        Box::pin(async move {
            self.told.notified().await;
            std::mem::take(&mut lock(&self.shared).processes[self.number].news)
        })
    }
}

/// A record with its answer.
fn whole((record, answer): Read<Answer>) -> Record {
    Record { answer, ..record }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::later::suite_tests::{Under, every_lasting_store};

    struct InMemory;

    impl Under for InMemory {
        type Store = Lasting;

        async fn make(settings: &Settings) -> Lasting {
            Lasting::new(settings)
        }

        async fn pass(time: Duration) {
            tokio::time::advance(time).await;
        }

        async fn reopen(store: Lasting, _: &Settings) -> Lasting {
            store.crash();
            store.another()
        }
    }

    every_lasting_store!(InMemory);
}
