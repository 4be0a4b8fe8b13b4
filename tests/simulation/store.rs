//! A store whose commits the ledger is told; one that takes its time, one that fails now and
//! then, and one whose process may die before and after each commit.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use microbatch::job::{Handle, RouteName, State};
use microbatch::later::Settings;
use microbatch::later::answer::Answer;
use microbatch::later::backlog::{Backlog, Claim, Claimed, News, Waiting};
use microbatch::later::record::{Millis, NewRecord, Record, StreamName};
use microbatch::later::store::{
    Accepted, Expired, Look, Page, Pending, Position, Refused, Store, StoreError,
};
use microbatch::observe::CountsByRoute;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;

use crate::ledger::Ledger;
use crate::life::Life;

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
    /// What it has committed.
    committed: Arc<dyn Store>,
    ledger: Ledger,
    mood: Mood,
    life: Life,
    rng: Mutex<StdRng>,
    /// Claimed and not told to be sent so far: there is nothing to be committed of that.
    fresh: Mutex<BTreeSet<Handle>>,
}

/// How one step goes.
struct Step {
    life: Life,
    before: Duration,
    after: Duration,
    error: Option<StoreError>,
}

impl Step {
    async fn begins(&self) -> Result<(), StoreError> {
        pause(self.before).await;
        self.life.point().await;
        self.fails_with(StoreError::NotCommitted)
    }

    /// Once it is committed.
    async fn ends(&self) -> Result<(), StoreError> {
        self.life.point().await;
        pause(self.after).await;
        self.life.point().await;
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
    pub fn new(
        committed: Arc<dyn Store>,
        ledger: Ledger,
        (mood, life): (Mood, Life),
        seed: u64,
    ) -> Self {
        Self {
            committed,
            ledger,
            mood,
            life,
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
            fresh: Mutex::default(),
        }
    }

    fn process(&self) -> u32 {
        self.life.number()
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
        let life = self.life.clone();
        Step {
            life,
            before,
            after,
            error,
        }
    }

    /// One of which it is always known whether it was committed.
    fn sure_step(&self) -> Step {
        let mut step = self.step();
        step.error = step.error.map(|_| StoreError::NotCommitted);
        step
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
            let accepted = self.committed.accept(records.clone()).await;
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
            let is_claimed = {
                let mut fresh = self.fresh.lock().unwrap();
                let old = handles.iter().filter(|it| !fresh.remove(it)).count();
                old == 0 && self.committed.backlog().is_some()
            };
            if !is_claimed {
                step.begins().await?;
            }
            let gone = self.committed.sent(handles.clone()).await?;
            let process = self.process();
            self.ledger.sent(process, &handles, &gone);
            // Whoever is not told may send nothing.
            if !is_claimed {
                step.ends().await?;
            }
            self.ledger.may_leave(process, &handles, &gone);
            Ok(gone)
        })
    }

    fn queued_again(&self, handles: Vec<Handle>) -> Pending<'_, Result<(), StoreError>> {
        let step = self.step();
        Box::pin(async move {
            step.begins().await?;
            self.committed.queued_again(handles.clone()).await?;
            self.ledger.queued_again(self.process(), &handles);
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
            let streams = self.committed.finish(answers.clone()).await?;
            for (handle, answer) in &answers {
                let said = step.error.is_none();
                self.ledger.answered(self.process(), *handle, answer, said);
            }
            step.ends().await?;
            Ok(streams)
        })
    }

    fn fetch(&self, handle: Handle, look: Look) -> Pending<'_, Result<Option<Record>, StoreError>> {
        let step = self.step();
        Box::pin(async move {
            step.begins().await?;
            let record = self.committed.fetch(handle, look).await?;
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
            let deleted = self.committed.delete(handle).await?;
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
            let expired = self.committed.expire(now).await?;
            self.ledger.expired(&self.committed.counts().total());
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
            let page = self.committed.read_stream(&stream, after, limit).await?;
            for (_, handle) in &page.answers {
                self.ledger.found(*handle);
            }
            step.ends().await?;
            Ok(page)
        })
    }

    fn set(&self, settings: &Settings, longest_call: Duration) {
        self.committed.set(settings, longest_call);
    }

    fn counts(&self) -> CountsByRoute {
        let counts = self.committed.counts();
        Ledger::balance(&counts.total());
        counts
    }

    fn backlog(&self) -> Option<&dyn Backlog> {
        self.committed.backlog().map(|_| self as &dyn Backlog)
    }
}

impl SimulatedStore {
    fn inner(&self) -> &dyn Backlog {
        self.committed
            .backlog()
            .expect("it is asked where there is one")
    }
}

impl Backlog for SimulatedStore {
    fn claim(&self, claim: Claim) -> Pending<'_, Result<Vec<Claimed>, StoreError>> {
        // What nobody knows to be claimed would be so until the process ends.
        let step = self.sure_step();
        Box::pin(async move {
            step.begins().await?;
            let which = claim.which;
            let claimed = self.inner().claim(claim).await?;
            self.ledger.claimed(self.process(), &claimed, which);
            step.ends().await?;
            let handles = claimed.iter().map(|it| it.handle);
            self.fresh.lock().unwrap().extend(handles);
            Ok(claimed)
        })
    }

    fn release(&self, handles: Vec<Handle>) -> Pending<'_, Result<(), StoreError>> {
        let step = self.step();
        Box::pin(async move {
            step.begins().await?;
            self.inner().release(handles.clone()).await?;
            self.ledger.released(self.process(), &handles);
            step.ends().await
        })
    }

    fn waiting(&self, route: &RouteName) -> Waiting {
        self.inner().waiting(route)
    }

    fn routes(&self) -> Vec<RouteName> {
        self.inner().routes()
    }

    fn news(&self) -> Pending<'_, News> {
        self.inner().news()
    }
}
