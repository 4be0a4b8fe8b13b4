//! The store in memory, whose commits the ledger is told; one that takes its time, and one
//! that fails now and then.

use std::sync::Mutex;
use std::time::Duration;

use microbatch::job::{Handle, State};
use microbatch::later::Settings;
use microbatch::later::answer::Answer;
use microbatch::later::memory::Memory;
use microbatch::later::record::{Millis, NewRecord, Record, StreamName};
use microbatch::later::store::{
    Accepted, Expired, Look, Page, Pending, Position, Refused, Store, StoreError,
};
use microbatch::observe::CountsByRoute;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;

use crate::ledger::Ledger;

/// How a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Every step is done at once.
    Steady,
    /// Steps take some milliseconds.
    Slow,
    /// And some of them fail.
    Faulty,
}

#[derive(Debug)]
pub struct SimulatedStore {
    memory: Memory,
    ledger: Ledger,
    mood: Mood,
    rng: Mutex<StdRng>,
}

/// How one step goes.
struct Step {
    before: Duration,
    after: Duration,
    error: Option<StoreError>,
}

impl Step {
    async fn begins(&self) -> Result<(), StoreError> {
        pause(self.before).await;
        self.fails_with(StoreError::NotCommitted)
    }

    /// Once it is committed.
    async fn ends(&self) -> Result<(), StoreError> {
        pause(self.after).await;
        self.fails_with(StoreError::Unanswered)
    }

    fn fails_with(&self, error: StoreError) -> Result<(), StoreError> {
        match self.error == Some(error) {
            true => Err(error),
            false => Ok(()),
        }
    }
}

/// None at all where it is none.
async fn pause(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}

impl SimulatedStore {
    pub fn new(settings: &Settings, ledger: Ledger, mood: Mood, seed: u64) -> Self {
        Self {
            memory: Memory::new(settings),
            ledger,
            mood,
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
        }
    }

    fn step(&self) -> Step {
        let mut rng = self.rng.lock().unwrap();
        let mut pause = || match self.mood {
            Mood::Steady => Duration::ZERO,
            Mood::Slow | Mood::Faulty => Duration::from_millis(rng.random_range(0..4)),
        };
        let (before, after) = (pause(), pause());
        let error = match self.mood == Mood::Faulty && rng.random_bool(0.1) {
            true if rng.random() => Some(StoreError::NotCommitted),
            true => Some(StoreError::Unanswered),
            false => None,
        };
        Step {
            before,
            after,
            error,
        }
    }
}

impl Store for SimulatedStore {
    fn accept(&self, records: Vec<NewRecord>) -> Pending<'_, Vec<Result<Accepted, Refused>>> {
        let step = self.step();
        Box::pin(async move {
            let all = |error| records.iter().map(|_| Err(Refused::Store(error))).collect();
            if let Err(error) = step.begins().await {
                return all(error);
            }
            let accepted = self.memory.accept(records.clone()).await;
            for (new, accepted) in records.iter().zip(&accepted) {
                match accepted {
                    Ok(Accepted::New(_)) => self.ledger.made(new),
                    Ok(Accepted::Existing(record)) => {
                        self.ledger.read(record, Look::ForAnswer);
                    }
                    Err(_) => {}
                }
            }
            let Err(error) = step.ends().await else {
                return accepted;
            };
            for record in accepted.into_iter().flatten() {
                if let Accepted::New(made) = record {
                    self.ledger.is_in_doubt(made.handle);
                }
            }
            all(error)
        })
    }

    fn sent(&self, handles: Vec<Handle>) -> Pending<'_, Result<Vec<Handle>, StoreError>> {
        let step = self.step();
        Box::pin(async move {
            step.begins().await?;
            let gone = self.memory.sent(handles.clone()).await?;
            self.ledger.sent(&handles, &gone);
            // Whoever is not told may send nothing.
            step.ends().await?;
            self.ledger.may_leave(&handles, &gone);
            Ok(gone)
        })
    }

    fn queued_again(&self, handles: Vec<Handle>) -> Pending<'_, Result<(), StoreError>> {
        let step = self.step();
        Box::pin(async move {
            step.begins().await?;
            self.memory.queued_again(handles.clone()).await?;
            self.ledger.queued_again(&handles);
            step.ends().await
        })
    }

    fn finish(
        &self,
        answers: Vec<(Handle, Answer)>,
    ) -> Pending<'_, Result<Vec<StreamName>, StoreError>> {
        let step = self.step();
        Box::pin(async move {
            step.begins().await?;
            let streams = self.memory.finish(answers.clone()).await?;
            for (handle, answer) in &answers {
                let said = step.error.is_none();
                self.ledger.answered(*handle, answer, said);
            }
            step.ends().await?;
            Ok(streams)
        })
    }

    fn fetch(&self, handle: Handle, look: Look) -> Pending<'_, Result<Option<Record>, StoreError>> {
        let step = self.step();
        Box::pin(async move {
            step.begins().await?;
            let record = self.memory.fetch(handle, look).await?;
            match &record {
                Some(record) => self.ledger.read(record, look),
                None => self.ledger.missed(handle),
            }
            step.ends().await?;
            Ok(record)
        })
    }

    fn delete(&self, handle: Handle) -> Pending<'_, Result<Option<State>, StoreError>> {
        let step = self.step();
        Box::pin(async move {
            step.begins().await?;
            let deleted = self.memory.delete(handle).await?;
            if let Some(state) = deleted {
                self.ledger.deleted(handle, state);
            }
            step.ends().await?;
            Ok(deleted)
        })
    }

    fn expire(&self, now: Millis) -> Pending<'_, Result<Expired, StoreError>> {
        let step = self.step();
        Box::pin(async move {
            step.begins().await?;
            let expired = self.memory.expire(now).await?;
            self.ledger.expired(&self.memory.counts().total());
            step.ends().await?;
            Ok(expired)
        })
    }

    fn read_stream(
        &self,
        stream: &StreamName,
        after: Option<Position>,
        limit: usize,
    ) -> Pending<'_, Result<Page, StoreError>> {
        let (step, stream) = (self.step(), stream.clone());
        Box::pin(async move {
            step.begins().await?;
            let page = self.memory.read_stream(&stream, after, limit).await?;
            for (_, handle) in &page.answers {
                self.ledger.found(*handle);
            }
            step.ends().await?;
            Ok(page)
        })
    }

    fn counts(&self) -> CountsByRoute {
        let counts = self.memory.counts();
        Ledger::balance(&counts.total());
        counts
    }
}
