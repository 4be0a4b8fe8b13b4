//! A store in memory, of either kind, that does, at one step, as a test says: fails, hangs, or takes its
//! time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::sleep;

use super::Settings;
use super::answer::Answer;
use super::backlog::Backlog;
use super::lasting::Lasting;
use super::memory::Memory;
use super::record::{Millis, NewRecord, Record, StreamName};
use super::store::{Accepted, Expired, Look, Page, Pending, Position, Refused, Store, StoreError};
use crate::job::{Handle, State};
use crate::observe::{CountsByRoute, StoreStep};

/// What a step does instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It says that it did nothing, and that is so.
    NotCommitted,
    /// It was done, and yet nobody says so.
    Unanswered,
    /// It never says anything.
    Hangs,
    /// It panics, once.
    Panics,
    /// It is done after this.
    Takes(Duration),
}

/// A store with faults.
#[derive(Debug)]
pub(crate) struct Faulty {
    store: Arc<dyn Store>,
    faults: Mutex<HashMap<&'static str, Fault>>,
    /// What can't be finished, whatever comes with it.
    unwritable: Mutex<Option<Handle>>,
    /// How often each step was asked for.
    asked: Mutex<HashMap<&'static str, usize>>,
}

impl Faulty {
    pub fn new(settings: &Settings) -> Self {
        Self {
            store: Arc::new(Memory::new(settings)),
            faults: Mutex::default(),
            unwritable: Mutex::default(),
            asked: Mutex::default(),
        }
    }

    /// One that jobs are claimed from.
    pub fn lasting(settings: &Settings) -> Self {
        Self {
            store: Arc::new(Lasting::new(settings)),
            ..Self::new(settings)
        }
    }

    pub fn set(&self, step: StoreStep, fault: Option<Fault>) {
        let mut faults = self.faults.lock().unwrap();
        match fault {
            Some(fault) => faults.insert(step.as_str(), fault),
            None => faults.remove(step.as_str()),
        };
    }

    /// No commit comes to anything that finishes this one.
    pub fn never_finishes(&self, handle: Option<Handle>) {
        *self.unwritable.lock().unwrap() = handle;
    }

    pub fn asked(&self, step: StoreStep) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.get(step.as_str()).copied().unwrap_or_default()
    }

    /// What a job's state is at this moment, if there is a record of it.
    pub fn state(&self, handle: Handle) -> Option<State> {
        let mut context = Context::from_waker(Waker::noop());
        match self
            .store
            .fetch(handle, Look::ForState)
            .as_mut()
            .poll(&mut context)
        {
            Poll::Ready(record) => record.unwrap().map(|it| it.state),
            Poll::Pending => panic!("memory takes no time"),
        }
    }

    fn step<'a, T: Send + 'a>(
        &'a self,
        step: StoreStep,
        done: impl FnOnce() -> Pending<'a, T> + Send + 'a,
        failed: impl FnOnce(StoreError) -> T + Send + 'a,
    ) -> Pending<'a, T> {
        *self.asked.lock().unwrap().entry(step.as_str()).or_default() += 1;
        let fault = self.faults.lock().unwrap().get(step.as_str()).copied();
        match fault {
            Some(Fault::Panics) => {
                self.set(step, None);
                panic!("on purpose");
            }
            None => done(),
            Some(Fault::NotCommitted) => Box::pin(async { failed(StoreError::NotCommitted) }),
            Some(Fault::Unanswered) => Box::pin(async {
                done().await;
                failed(StoreError::Unanswered)
            }),
            Some(Fault::Hangs) => Box::pin(std::future::pending()),
            Some(Fault::Takes(time)) => Box::pin(async move {
                sleep(time).await;
                done().await
            }),
        }
    }
}

impl Store for Faulty {
    fn accept(&self, records: Vec<NewRecord>) -> Pending<'_, Vec<Result<Accepted, Refused>>> {
        let each = records.len();
        self.step(
            StoreStep::Accept,
            || self.store.accept(records),
            move |error| (0..each).map(|_| Err(Refused::Store(error))).collect(),
        )
    }

    fn sent(&self, handles: Vec<Handle>) -> Pending<'_, Result<Vec<Handle>, StoreError>> {
        self.step(StoreStep::Sent, || self.store.sent(handles), Err)
    }

    fn queued_again(&self, handles: Vec<Handle>) -> Pending<'_, Result<(), StoreError>> {
        self.step(StoreStep::Sent, || self.store.queued_again(handles), Err)
    }

    fn finish(
        &self,
        answers: Vec<(Handle, Answer)>,
    ) -> Pending<'_, Result<Vec<StreamName>, StoreError>> {
        let unwritable = *self.unwritable.lock().unwrap();
        if answers.iter().any(|it| Some(it.0) == unwritable) {
            return Box::pin(async { Err(StoreError::NotCommitted) });
        }
        self.step(StoreStep::Finish, || self.store.finish(answers), Err)
    }

    fn fetch(&self, handle: Handle, look: Look) -> Pending<'_, Result<Option<Record>, StoreError>> {
        let fetch = move || self.store.fetch(handle, look);
        self.step(StoreStep::Fetch, fetch, Err)
    }

    fn delete(&self, handle: Handle) -> Pending<'_, Result<Option<State>, StoreError>> {
        self.step(StoreStep::Delete, move || self.store.delete(handle), Err)
    }

    fn expire(&self, now: Millis) -> Pending<'_, Result<Expired, StoreError>> {
        self.step(StoreStep::Expire, move || self.store.expire(now), Err)
    }

    fn read_stream(
        &self,
        stream: &StreamName,
        after: Option<Position>,
        limit: usize,
    ) -> Pending<'_, Result<Page, StoreError>> {
        let stream = stream.clone();
        self.step(
            StoreStep::Fetch,
            move || self.store.read_stream(&stream, after, limit),
            Err,
        )
    }

    fn set(&self, settings: &Settings, longest_call: Duration) {
        self.store.set(settings, longest_call);
    }

    fn counts(&self) -> CountsByRoute {
        self.store.counts()
    }

    fn backlog(&self) -> Option<&dyn Backlog> {
        self.store.backlog()
    }
}
