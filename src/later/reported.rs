//! A store whose commits and failures are told: to the observer, and now and then to the
//! log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::answer::Answer;
use super::backlog::{Claim, Claimed, News, Waiting};
use super::record::{Millis, NewRecord, Record, StreamName};
use super::settings::Settings;
use super::store::{Accepted, Expired, Look, Page, Position, Refused, Store, StoreError};
use crate::job::{Handle, RouteName, State};
use crate::observe::{CountsByRoute, Event, Observer, RecordCounts, Recovered, StoreStep};
use crate::throttle::LogThrottle;

/// A store, and who is told what it does.
#[derive(Debug)]
pub(super) struct Reported {
    store: Arc<dyn Store>,
    /// One for each route; what is the store's itself is told to the first.
    observers: Mutex<Arc<[Arc<Observer>]>>,
    failures: LogThrottle,
}

impl Reported {
    pub fn new(store: Arc<dyn Store>, observers: Vec<Arc<Observer>>) -> Self {
        let reported = Self {
            store,
            observers: Mutex::new(observers.into()),
            failures: LogThrottle::default(),
        };
        reported.tell_counts(&reported.observers(), Event::Found);
        reported
    }

    /// From here on these are told; those that were not told before, what there is.
    pub fn follow(&self, observers: Vec<Arc<Observer>>) {
        let now: Arc<[_]> = observers.into();
        let before = std::mem::replace(&mut *self.held(), Arc::clone(&now));
        let is_new = |it: &&Arc<Observer>| !before.iter().any(|other| Arc::ptr_eq(it, other));
        let new: Vec<_> = now.iter().filter(is_new).cloned().collect();
        self.tell_counts(&new, Event::Found);
    }

    /// These bounds hold from here on.
    pub fn set(&self, settings: &Settings, longest_call: Duration) {
        self.store.set(settings, longest_call);
    }

    fn observers(&self) -> Arc<[Arc<Observer>]> {
        Arc::clone(&self.held())
    }

    fn held(&self) -> MutexGuard<'_, Arc<[Arc<Observer>]>> {
        // Nothing panics while it is held.
        self.observers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub async fn accept(&self, records: Vec<NewRecord>) -> Vec<Result<Accepted, Refused>> {
        let begun = Instant::now();
        let accepted = self.store.accept(records).await;
        let made = accepted
            .iter()
            .filter(|it| matches!(it, Ok(Accepted::New(_))))
            .count();
        self.committed(made, begun);
        let failed = accepted.iter().find_map(|it| match it {
            Err(Refused::Store(error)) => Some(*error),
            _ => None,
        });
        // However many there were, the store failed once.
        if let Some(error) = failed {
            self.failed(StoreStep::Accept, error);
        }
        accepted
    }

    /// Whether jobs wait in it and are claimed from it.
    pub fn lasts(&self) -> bool {
        self.store.backlog().is_some()
    }

    /// As [`Backlog::claim`](super::backlog::Backlog::claim); nothing where it has none.
    pub async fn claim(&self, claim: Claim) -> Result<Vec<Claimed>, StoreError> {
        let Some(backlog) = self.store.backlog() else {
            return Ok(Vec::new());
        };
        let begun = Instant::now();
        let claimed = self.told(StoreStep::Sent, backlog.claim(claim).await)?;
        self.committed(claimed.len(), begun);
        Ok(claimed)
    }

    pub async fn release(&self, handles: Vec<Handle>) -> Result<(), StoreError> {
        let Some(backlog) = self.store.backlog() else {
            return Ok(());
        };
        let (begun, records) = (Instant::now(), handles.len());
        self.told(StoreStep::Sent, backlog.release(handles).await)?;
        self.committed(records, begun);
        Ok(())
    }

    pub fn waiting(&self, route: &RouteName) -> Waiting {
        let backlog = self.store.backlog();
        backlog.map_or_else(Waiting::default, |it| it.waiting(route))
    }

    pub fn routes(&self) -> Vec<RouteName> {
        let backlog = self.store.backlog();
        backlog.map_or_else(Vec::new, |it| it.routes())
    }

    /// `None` where there is never any.
    pub async fn news(&self) -> Option<News> {
        Some(self.store.backlog()?.news().await)
    }

    /// A job was claimed that a process had sent which is gone.
    pub fn recovered(&self, route: &RouteName, how: Recovered) {
        self.tell_of(route, Event::Recovered { how, records: 1 });
    }

    pub async fn sent(&self, handles: Vec<Handle>) -> Result<Vec<Handle>, StoreError> {
        let (begun, records) = (Instant::now(), handles.len());
        let gone = self.told(StoreStep::Sent, self.store.sent(handles).await)?;
        // Of what was claimed that was committed by the claim.
        if !self.lasts() {
            self.committed(records.saturating_sub(gone.len()), begun);
        }
        Ok(gone)
    }

    pub async fn queued_again(&self, handles: Vec<Handle>) -> Result<(), StoreError> {
        let (begun, records) = (Instant::now(), handles.len());
        self.told(StoreStep::Sent, self.store.queued_again(handles).await)?;
        self.committed(records, begun);
        Ok(())
    }

    pub async fn finish(
        &self,
        answers: Vec<(Handle, Answer)>,
    ) -> Result<Vec<StreamName>, StoreError> {
        let (begun, records) = (Instant::now(), answers.len());
        let streams = self.told(StoreStep::Finish, self.store.finish(answers).await)?;
        self.committed(records, begun);
        for (route, records) in self.store.fenced() {
            self.tell_of(&route, Event::Fenced { records });
        }
        Ok(streams)
    }

    pub async fn fetch(&self, handle: Handle, look: Look) -> Result<Option<Record>, StoreError> {
        self.told(StoreStep::Fetch, self.store.fetch(handle, look).await)
    }

    pub async fn delete(&self, handle: Handle) -> Result<Option<State>, StoreError> {
        let begun = Instant::now();
        let deleted = self.told(StoreStep::Delete, self.store.delete(handle).await)?;
        self.committed(usize::from(deleted.is_some()), begun);
        Ok(deleted)
    }

    pub async fn expire(&self, now: Millis) -> Result<Expired, StoreError> {
        let begun = Instant::now();
        let expired = self.told(StoreStep::Expire, self.store.expire(now).await)?;
        self.committed(expired.records, begun);
        Ok(expired)
    }

    pub async fn read_stream(
        &self,
        stream: &StreamName,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let page = self.store.read_stream(stream, after, limit).await;
        self.told(StoreStep::Fetch, page)
    }

    pub async fn close(&self) {
        self.store.close().await;
    }

    pub fn counts(&self) -> CountsByRoute {
        self.store.counts()
    }

    fn committed(&self, records: usize, begun: Instant) {
        if records > 0 {
            let took = begun.elapsed();
            self.tell(Event::StoreCommitted { records, took });
            self.tell_counts(&self.observers(), Event::Recorded);
        }
    }

    /// What is one route's.
    fn tell_of(&self, route: &RouteName, event: Event) {
        let observers = self.observers();
        if let Some(observer) = observers.iter().find(|it| it.route() == route.as_str()) {
            observer.tell(event);
        }
    }

    fn tell_counts(&self, observers: &[Arc<Observer>], event: fn(RecordCounts) -> Event) {
        let counts = self.store.counts();
        for observer in observers {
            if let Some(counts) = counts.get(observer.route()) {
                observer.tell(event(counts.clone()));
            }
        }
    }

    fn tell(&self, event: Event) {
        if let Some(observer) = self.observers().first() {
            observer.tell(event);
        }
    }

    fn told<T>(&self, step: StoreStep, result: Result<T, StoreError>) -> Result<T, StoreError> {
        result.inspect_err(|error| self.failed(step, *error))
    }

    fn failed(&self, step: StoreStep, error: StoreError) {
        self.tell(Event::StoreFailed { step });
        if let Some(untold) = self.failures.admit() {
            let step = step.as_str();
            warn!(step, %error, failures_not_warned_of = untold, "the store of jobs for later failed");
        }
    }
}
