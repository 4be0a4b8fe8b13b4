//! Answers that are fetched later: a job is handed in, has an address, and its answer is
//! fetched when its caller likes.
//!
//! A *record* is such a job, from the moment that the store has committed it until it is
//! deleted or expires. `http` hands jobs in and reads records; the engine tells which jobs
//! it is about to send. What a record's answer is, is made by `http`, by the same function
//! that answers waiting callers.
//!
//! ```text
//! hand_in ──▶ intake ──accept──▶ store ◀──finish── finisher ◀── answered
//!               │                  ▲ ▲                 │
//!               ▼                  │ └── expiry        ▼
//!              lane ──▶ engine ──sent            long polls, listeners
//! ```
//!
//! From a store that lasts jobs are claimed for the lanes, as those have use for them:
//!
//! ```text
//! hand_in ──▶ intake ──accept──▶ store ──claim──▶ claimer ──▶ lane ──▶ engine
//!                                  ▲                            │
//!                                  └───────── releaser ◀────────┘ what was not sent
//! ```
//!
//! | file | what it is |
//! |---|---|
//! | `settings`, `error`, `lane` | what is set; why there is no record; where accepted jobs wait |
//! | [`record`], [`answer`] | a record and what it is made of; an answer as it is kept |
//! | [`store`], `step` | what every store promises; how a step of it fails |
//! | [`backlog`], [`kept`], `answer_bytes` | how jobs are claimed from a store that lasts; a job and an answer as bytes |
//! | `records` | the records as values: what every store has that decides by itself |
//! | [`memory`], [`sqlite`] | the store in memory; the store in a file |
//! | [`redis`] | the store in Redis, which replicas share |
//! | [`lasting`] | a store in memory that jobs are claimed from, to try that on |
//! | [`clock`] | the time of records |
//! | `digest` | what a request is compared by when its key comes again |
//! | `reported` | a store whose commits and failures are told |
//! | `intake`, `finisher`, `expiry` | the tasks: jobs into the store, answers into it, records out of it |
//! | `claimer`, `releaser`, `news` | those of a store that lasts: jobs out of it, and back; what is new in it |
//! | `outbox` | what one task commits of what many hand in |
//! | `withdrawals` | how a job is withdrawn whose record is deleted |
//! | `supervised` | that a task which panics goes on |
//! | `watchers`, `listener` | who waits for a record or a stream |

pub mod answer;
pub(crate) mod answer_bytes;
pub mod backlog;
mod claimer;
pub mod clock;
mod digest;
mod error;
mod expiry;
#[cfg(test)]
pub(crate) mod faulty_tests;
mod finisher;
#[cfg(test)]
mod following_tests;
mod intake;
pub mod kept;
mod lane;
pub mod lasting;
#[cfg(test)]
mod lasting_tests;
mod listener;
pub mod memory;
mod news;
mod outbox;
pub mod record;
mod records;
pub mod redis;
mod releaser;
mod reported;
mod settings;
pub mod sqlite;
mod step;
pub mod store;
#[cfg(test)]
mod suite_tests;
mod supervised;
#[cfg(test)]
mod tests;
mod watchers;
mod withdrawals;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use self::answer::Answer;
use self::backlog::Waiting;
use self::claimer::{Claimer, Signal, Signals};
use self::digest::digest;
use self::intake::Intake;
use self::outbox::Outbox;
use self::record::{FrameKey, Idempotency, IdempotencyKey, NewRecord, Record, StreamName};
use self::reported::Reported;
use self::store::{Position, Store, StoreError};
use self::supervised::supervised;
use self::watchers::{Told, Watchers};
use self::withdrawals::Withdrawals;
use crate::aside::{LARGE, aside};
use crate::job::{Handle, Job, RouteName, State};
use crate::observe::{CountsByRoute, Observer};

pub use self::error::{FetchError, HandInError};
pub use self::lane::{BatchSize, ClaimingLane, FoundLane, Lane, Leaves, NotSent, Wanted, Withdraw};
pub use self::listener::{Heard, Listener};
pub use self::settings::{RedisUrl, Settings, StoreKind};
pub use self::store::Look;

/// Answers fetched later. A handle: clones are the same.
#[derive(Clone, Debug)]
pub struct Later(Arc<Inner>);

struct Inner {
    settings: watch::Sender<Settings>,
    /// Where jobs wait, once there is a place.
    lane: Mutex<Option<Arc<dyn Lane>>>,
    store: Arc<Reported>,
    intake: Intake,
    answers: Arc<Outbox<(Handle, Answer)>>,
    /// Claimed jobs that are to wait again.
    released: Arc<Outbox<Handle>>,
    claimers: Arc<Signals>,
    withdrawals: Arc<Withdrawals>,
    records: Watchers<Handle, Told>,
    streams: Watchers<StreamName>,
    /// Whether nobody waits any longer.
    ended: watch::Sender<bool>,
    /// They end with this: each goes on after a panic of its own.
    tasks: Mutex<JoinSet<()>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Later")
            .field("settings", &*self.settings.borrow())
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// What is handed in.
pub struct HandIn {
    /// The route that it came to.
    pub route: RouteName,
    /// The lane of that as the caller has found it, where jobs are submitted; without one it
    /// is the lane that there is once the record is committed.
    pub lane: Option<Box<dyn FoundLane>>,
    /// The job.
    pub job: Job,
    /// The stream that its answer is told on.
    pub stream: Option<StreamName>,
    /// What makes handing it in again harmless.
    pub key: Option<IdempotencyKey>,
    /// What it has in common with those that it may share a batch with.
    pub frame: FrameKey,
}

impl Later {
    /// Records in this store. Jobs that are handed in wait in what
    /// [`start`](Self::start) is given.
    pub fn new(
        store: Arc<dyn Store>,
        settings: Settings,
        observers: impl Into<Vec<Arc<Observer>>>,
    ) -> Self {
        Self(Arc::new(Inner {
            settings: watch::Sender::new(settings),
            lane: Mutex::default(),
            store: Arc::new(Reported::new(store, observers.into())),
            intake: Intake::new(),
            answers: Arc::new(Outbox::new()),
            released: Arc::new(Outbox::new()),
            claimers: Arc::new(Signals::new()),
            withdrawals: Arc::default(),
            records: Watchers::new(),
            streams: Watchers::new(),
            ended: watch::Sender::new(false),
            tasks: Mutex::default(),
        }))
    }

    /// Takes jobs from here on: those that were handed in wait in `lane`, or where the
    /// store lasts are claimed for it. What is handed in before waits for this. Called
    /// again it does nothing.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(&self, lane: Arc<dyn Lane>) {
        let inner = &*self.0;
        let (store, withdrawals) = (Arc::clone(&inner.store), Arc::clone(&inner.withdrawals));
        let claimers = Arc::clone(&inner.claimers);
        let intake = (inner.intake).task(store, Arc::clone(&lane), withdrawals, claimers);
        let Some(intake) = intake else {
            return;
        };
        let mut tasks = inner.tasks();
        tasks.spawn(supervised("intake", intake, async |it| it.run().await));
        let finished = Arc::new(Notify::new());
        let (store, answers) = (Arc::clone(&inner.store), Arc::clone(&inner.answers));
        let waiting = finisher::Waiting {
            records: inner.records.clone(),
            streams: inner.streams.clone(),
            expiry: Arc::clone(&finished),
        };
        tasks.spawn(supervised(
            "finisher",
            finisher::Taken::new(),
            async move |taken| {
                finisher::run(taken, &answers, &store, &waiting).await;
            },
        ));
        let (store, expiry) = (Arc::clone(&inner.store), Arc::clone(&finished));
        let settings = inner.settings.subscribe();
        tasks.spawn(supervised("expiry", settings, async move |settings| {
            expiry::run(&store, &finished, settings).await;
        }));
        *inner.lane() = Some(lane);
        if inner.store.lasts() {
            inner.start_claiming(&mut tasks, expiry);
        }
    }

    /// These bounds and times hold from here on, for what is kept already too. But what is
    /// finished expires when it was told it would, and what was handed in is answered when it
    /// was told it would be. `longest_call` is how long a job may take once it is sent.
    pub fn set(&self, settings: Settings, longest_call: Duration) {
        self.0.store.set(&settings, longest_call);
        self.0.settings.send_replace(settings);
        // Jobs may be sent more often, or be due.
        self.0.claimers.wake_all();
    }

    /// The routes are others from here on: these are told what is counted of theirs, the
    /// first what is the store's itself. From a store that lasts jobs are claimed for the
    /// [lanes](Lane::claiming) that there are by now: what was claimed before and was not sent
    /// waits in the store again; jobs of a route that has come are claimed, and those of one
    /// that has gone wait until it comes again or their time is over.
    ///
    /// # Panics
    /// Outside of a tokio runtime, where there is a new route.
    pub fn follow(&self, observers: impl Into<Vec<Arc<Observer>>>) {
        self.0.store.follow(observers.into());
        if self.0.store.lasts() {
            self.0.claim_for_all(&mut self.0.tasks());
        }
    }

    /// Commits a job and has it queued, whether or not this is awaited to its end, once
    /// there was room for it among those that are being committed. The record, new or that
    /// which was made by the same request before.
    ///
    /// # Errors
    /// Where there is no record.
    pub async fn hand_in(&self, new: HandIn) -> Result<Record, HandInError> {
        let HandIn {
            route,
            lane,
            job,
            stream,
            key,
            frame,
        } = new;
        let now = clock::now();
        let handle = Handle::new(now)?;
        let job_timeout = self.0.settings.borrow().job_timeout;
        let deadline = now.saturating_add(clock::millis(job_timeout));
        let size = job.raw().len();
        let make = move || {
            let digest = |key| Idempotency {
                key,
                digest: digest(&job, stream.as_ref()),
            };
            NewRecord {
                handle,
                route,
                idempotency: key.map(digest),
                stream,
                job: job.for_later(handle),
                frame,
                deadline,
            }
        };
        let record = match size {
            ..LARGE => make(),
            _ => aside(make).await,
        };
        self.0.intake.hand_in(record, lane).await
    }

    /// Reads a record.
    ///
    /// # Errors
    /// Where there is none to be had.
    pub async fn fetch(&self, handle: Handle, look: Look) -> Result<Record, FetchError> {
        let record = self.0.store.fetch(handle, look).await?;
        record.ok_or(FetchError::Unknown)
    }

    /// Reads a record as soon as it is finished, or at this time as it is then, or when
    /// the process ends. It ends too when the record is deleted. One that was there at
    /// first and finished meanwhile is told, however soon it has expired.
    ///
    /// # Errors
    /// Where there is none to be had.
    pub async fn fetch_finished(
        &self,
        handle: Handle,
        look: Look,
        until: Instant,
    ) -> Result<Record, FetchError> {
        let mut ended = self.0.ended.subscribe();
        let watch = self.0.records.watch(handle);
        let mut seen = None;
        loop {
            // Whatever becomes of it after this look wakes.
            let mut woken = std::pin::pin!(watch.woken());
            woken.as_mut().enable();
            let record = match self.fetch(handle, look).await {
                Err(FetchError::Unknown) => finished(seen, watch.told())?,
                other => other?,
            };
            if record.state.is_finished() || until <= Instant::now() || *ended.borrow() {
                return Ok(record);
            }
            seen = Some(record);
            tokio::select! {
                () = woken => {}
                () = sleep_until(until) => {}
                _ = ended.wait_for(|&ended| ended) => {}
            }
        }
    }

    /// Removes a record; its state until then. A queued job is not sent any more; of one
    /// that was sent the result is nobody's.
    ///
    /// # Errors
    /// Where there is none to be had.
    pub async fn delete(&self, handle: Handle) -> Result<State, FetchError> {
        let later = self.clone();
        // In a task, since what follows from it is not to depend on who asked.
        let deleting = tokio::spawn(async move {
            let deleted = later.0.store.delete(handle).await;
            if let Ok(Some(_)) = deleted {
                later.0.withdrawals.withdraw(handle);
                later.0.records.tell([(&handle, Told::Deleted)]);
            }
            deleted
        });
        let deleted = deleting.await.unwrap_or(Err(StoreError::Unanswered));
        deleted?.ok_or(FetchError::Unknown)
    }

    /// Listens to a stream, from after this position on, or from its beginning.
    pub fn listen(&self, stream: StreamName, after: Option<Position>) -> Listener {
        let inner = &*self.0;
        let watch = inner.streams.watch(stream.clone());
        let (store, ended) = (Arc::clone(&inner.store), inner.ended.subscribe());
        let keep = inner.settings.borrow().keep;
        Listener::new(store, watch, (stream, after), keep, ended)
    }

    /// These are about to be sent. Those of them that are not to be, since their records
    /// are gone. To be awaited before the first byte leaves.
    ///
    /// # Errors
    /// Where the store is away: nothing may be sent then.
    pub async fn sent(&self, handles: Vec<Handle>) -> Result<Vec<Handle>, StoreError> {
        let gone = self.0.store.sent(handles).await?;
        for handle in &gone {
            self.0.withdrawals.withdraw(*handle);
        }
        Ok(gone)
    }

    /// These wait for another attempt. To be awaited before they are
    /// [`sent`](Self::sent) again.
    ///
    /// # Errors
    /// Where the store is away: they stay as they are then.
    pub async fn queued_again(&self, handles: Vec<Handle>) -> Result<(), StoreError> {
        self.0.store.queued_again(handles).await
    }

    /// What became of a job. It is committed soon, and visible from then on.
    pub fn answered(&self, handle: Handle, answer: Answer) {
        self.0.withdrawals.answered(handle);
        self.0.answers.push([(handle, answer)]);
    }

    /// These were claimed and are not sent, since the process ends: they wait in the store
    /// again.
    pub fn release(&self, handles: Vec<Handle>) {
        let withdrawals = &self.0.withdrawals;
        handles.iter().for_each(|&it| withdrawals.answered(it));
        self.0.released.push(handles);
    }

    /// Has what waits in the store of a route sent, as soon as there are slots: how many
    /// jobs that is. None of a store that does not last, where they wait in the lane.
    pub fn flush(&self, route: &RouteName) -> u64 {
        let waiting = self.0.store.waiting(route).jobs;
        if waiting > 0 {
            self.0.claimers.flush(route, clock::now());
        }
        waiting
    }

    /// Whether jobs outlive the process, and wait in the store.
    pub fn lasts(&self) -> bool {
        self.0.store.lasts()
    }

    /// Takes no more jobs: [`HandInError::Closed`]. Those that were handed in before are
    /// still queued, but none are claimed any more.
    pub fn close(&self) {
        self.0.intake.close();
        self.0.claimers.stop();
    }

    /// Waits until every job that was accepted before this was [closed](Self::close) is
    /// where it stays: in its lane; or where the store lasts in the store, but for those
    /// that were sent.
    pub async fn all_queued(&self) {
        let inner = &*self.0;
        inner.intake.emptied().await;
        inner.claimers.stopped().await;
        if inner.store.lasts() {
            inner.released.push(inner.withdrawals.take_back());
            inner.released.all_committed().await;
        }
    }

    /// Takes no more jobs, waits until everything is committed that there is, and ends what
    /// listens or polls. Dropped before, it ends that with what there is by then.
    pub async fn end(&self) {
        let _ends = Ends(&self.0.ended);
        self.close();
        self.all_queued().await;
        self.0.answers.all_committed().await;
    }

    /// Lets go of the store after the [end](Self::end), once nobody reads from it any more.
    pub async fn let_go(&self) {
        self.0.tasks().abort_all();
        // What has this is had by those.
        drop(self.0.lane().take());
        self.0.claimers.forget();
        self.0.store.close().await;
    }

    /// What was counted, and what there is, at one moment, of each route.
    pub fn counts(&self) -> CountsByRoute {
        self.0.store.counts()
    }

    /// How many jobs wait or are under way, as far as it is known here.
    #[cfg(test)]
    pub(crate) fn withdrawals(&self) -> usize {
        self.0.withdrawals.len()
    }

    /// The bounds and times.
    pub fn settings(&self) -> Settings {
        *self.0.settings.borrow()
    }
}

impl Inner {
    fn lane(&self) -> MutexGuard<'_, Option<Arc<dyn Lane>>> {
        // Nothing panics while it is held.
        self.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        // Nothing panics while it is held.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has jobs claimed from the store, and hears what is new there.
    fn start_claiming(&self, tasks: &mut JoinSet<()>, expiry: Arc<Notify>) {
        self.claim_for_all(tasks);
        let (store, claimers) = (Arc::clone(&self.store), Arc::clone(&self.claimers));
        let released = Arc::clone(&self.released);
        tasks.spawn(supervised("releaser", Vec::new(), async move |taken| {
            releaser::run(taken, &released, &store, &claimers).await;
        }));
        let store = Arc::clone(&self.store);
        let concerned = news::Concerned {
            claimers: Arc::clone(&self.claimers),
            withdrawals: Arc::clone(&self.withdrawals),
            records: self.records.clone(),
            streams: self.streams.clone(),
            expiry,
        };
        tasks.spawn(supervised("news", (), async move |()| {
            news::run(&store, &concerned).await;
        }));
    }
}

impl Inner {
    /// Has jobs claimed of every route that is served, and of those that are not and that
    /// some wait of or had a claimer before.
    fn claim_for_all(&self, tasks: &mut JoinSet<()>) {
        let Some(lane) = self.lane().clone() else {
            return;
        };
        let mut lanes = lane.claiming();
        let served: BTreeSet<_> = lanes.iter().map(|it| it.route().clone()).collect();
        let waits = |route: &RouteName| {
            let Waiting { jobs, lapses, .. } = self.store.waiting(route);
            // Also where another process has some of them: it may be gone.
            jobs > 0 || lapses.is_some()
        };
        let waited_for = self.store.routes().into_iter().filter(waits);
        let others: BTreeSet<_> = waited_for.chain(self.claimers.routes()).collect();
        let unserved = others.difference(&served).cloned();
        lanes.extend(unserved.filter_map(|route| lane.unserved(route)));
        for signal in self.claimers.lead(lanes) {
            let claimer = self.claimer(signal);
            tasks.spawn(supervised("claimer", claimer, async |it| it.run().await));
        }
    }

    fn claimer(&self, signal: Arc<Signal>) -> Claimer {
        Claimer::new(
            signal,
            &self.claimers,
            self.settings.subscribe(),
            &self.store,
            &self.withdrawals,
            &self.released,
        )
    }
}

/// A record that is gone, as it was when its answer was there.
fn finished(seen: Option<Record>, told: Option<&Told>) -> Result<Record, FetchError> {
    match (seen, told) {
        (Some(seen), Some(Told::Answered(answer))) => Ok(Record {
            state: answer.state(),
            answer: Some(answer.clone()),
            ..seen
        }),
        _ => Err(FetchError::Unknown),
    }
}

/// When this is dropped nobody waits any longer.
struct Ends<'a>(&'a watch::Sender<bool>);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}
