//! Jobs on their way into the store: one task commits what has come meanwhile, many at
//! once, and then has it queued: in its lane, or where the store lasts in the store, which
//! it is claimed from.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;

use super::claimer::Signals;
use super::clock;
use super::error::HandInError;
use super::lane::{FoundLane, Lane};
use super::record::{NewRecord, Record};
use super::reported::Reported;
use super::store::{Accepted, Look, Refused, StoreError};
use super::withdrawals::Withdrawals;

/// Most jobs that are committed at once, and that wait for that.
const MOST: usize = 1024;

/// The pause before the store is asked again what it has made.
const PAUSE: Duration = Duration::from_secs(1);

/// A job, and who waits for its record.
type HandedIn = (New, Caller);

/// A job, and the lane that its caller has found.
type New = (NewRecord, Option<Box<dyn FoundLane>>);

type Caller = oneshot::Sender<Result<Record, HandInError>>;

/// Where jobs are handed in.
#[derive(Debug)]
pub(super) struct Intake {
    sender: mpsc::Sender<HandedIn>,
    /// Until the task has it.
    receiver: Mutex<Option<mpsc::Receiver<HandedIn>>>,
    /// Whether nothing more is taken; the task has a receiver as long as it runs.
    closed: watch::Sender<bool>,
}

impl Intake {
    pub fn new() -> Self {
        let (sender, receiver) = mpsc::channel(MOST);
        Self {
            sender,
            receiver: Mutex::new(Some(receiver)),
            closed: watch::Sender::new(false),
        }
    }

    /// Takes nothing more. What was handed in before is still queued.
    pub fn close(&self) {
        self.closed.send_replace(true);
        // Where there is no task nothing is ever taken.
        drop(self.receiver());
    }

    /// Waits until all that was handed in before it was closed is queued.
    pub async fn emptied(&self) {
        self.closed.closed().await;
    }

    /// Hands a job in. Once there was room for it, it is committed and queued, whether or
    /// not this is awaited any further.
    pub async fn hand_in(
        &self,
        record: NewRecord,
        lane: Option<Box<dyn FoundLane>>,
    ) -> Result<Record, HandInError> {
        // The task may be held up by the store, and learns of it later.
        if *self.closed.borrow() {
            return Err(HandInError::Closed);
        }
        let (sender, answer) = oneshot::channel();
        let sent = self.sender.send(((record, lane), sender)).await;
        sent.map_err(|_| HandInError::Closed)?;
        answer.await.unwrap_or(Err(HandInError::Closed))
    }

    /// The task. `None` where it was taken before, or closed.
    pub fn task(
        &self,
        store: Arc<Reported>,
        lane: Arc<dyn Lane>,
        withdrawals: Arc<Withdrawals>,
        claimers: Arc<Signals>,
    ) -> Option<Task> {
        Some(Task {
            receiver: self.receiver()?,
            closed: self.closed.subscribe(),
            store,
            lane,
            withdrawals,
            claimers,
            handed_in: Vec::new(),
            accepted: Vec::new().into_iter(),
            doubtful: Vec::new(),
        })
    }

    fn receiver(&self) -> Option<mpsc::Receiver<HandedIn>> {
        let mut receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        receiver.take()
    }
}

/// What the task goes on for.
enum Came {
    /// Nothing more is to be taken.
    Close,
    /// So many jobs; none, once there are none to come.
    Jobs(usize),
    /// The time to ask again.
    Time,
}

/// What is in its hands stays there where [`run`](Self::run) panics.
pub(super) struct Task {
    receiver: mpsc::Receiver<HandedIn>,
    closed: watch::Receiver<bool>,
    store: Arc<Reported>,
    lane: Arc<dyn Lane>,
    withdrawals: Arc<Withdrawals>,
    claimers: Arc<Signals>,
    /// Jobs that the store is asked to take.
    handed_in: Vec<HandedIn>,
    /// Those of which it has told what became of them.
    accepted: std::vec::IntoIter<(HandedIn, Result<Accepted, Refused>)>,
    /// Records of which nobody knows whether they were made, since the store did not say;
    /// where it lasts they are there if they were.
    doubtful: Vec<New>,
}

impl Task {
    /// Runs until nothing more is to come; run again after a panic, it goes on.
    pub async fn run(&mut self) {
        // Nobody knows what the store did before it panicked.
        self.told(|_| Err(Refused::Store(StoreError::Unanswered)));
        self.hand_out();
        loop {
            let open = !self.receiver.is_closed();
            let in_doubt = !self.doubtful.is_empty();
            let came = tokio::select! {
                biased;
                _ = self.closed.wait_for(|&closed| closed), if open => Came::Close,
                jobs = self.receiver.recv_many(&mut self.handed_in, MOST) => Came::Jobs(jobs),
                () = sleep(PAUSE), if in_doubt => Came::Time,
            };
            match came {
                Came::Close => self.receiver.close(),
                Came::Jobs(0) => return self.settle_doubts().await,
                Came::Jobs(_) => {
                    self.settle_doubts().await;
                    self.accept().await;
                }
                Came::Time => self.settle_doubts().await,
            }
        }
    }

    /// Commits jobs, and has those queued that are new.
    async fn accept(&mut self) {
        if self.doubtful.is_empty() {
            let records = self.handed_in.iter().map(|it| it.0.0.clone()).collect();
            let mut accepted = self.store.accept(records).await.into_iter();
            self.told(|_| {
                accepted
                    .next()
                    .unwrap_or(Err(Refused::Store(StoreError::Unanswered)))
            });
        } else {
            // One of those may come again by its key.
            self.told(|_| Err(Refused::Store(StoreError::NotCommitted)));
        }
        self.hand_out();
    }

    /// What became of the jobs that are handed in.
    fn told(&mut self, mut became: impl FnMut(&HandedIn) -> Result<Accepted, Refused>) {
        let before = std::mem::take(&mut self.accepted);
        let handed_in = self.handed_in.drain(..);
        let told = handed_in.map(|job| {
            let accepted = became(&job);
            (job, accepted)
        });
        self.accepted = before.chain(told).collect::<Vec<_>>().into_iter();
    }

    /// Queues what is new, and tells each caller.
    fn hand_out(&mut self) {
        while let Some(((new, caller), accepted)) = self.accepted.next() {
            match accepted {
                Ok(Accepted::New(made)) => {
                    // It is made, whatever becomes of its job from here on.
                    let _told = Telling(Some((caller, made)));
                    self.queue(new);
                }
                Ok(Accepted::Existing(record)) => tell(caller, Ok(record)),
                Err(refused) => {
                    if refused == Refused::Store(StoreError::Unanswered) {
                        match self.store.lasts() {
                            true => self.claimers.wake(&new.0.route),
                            false => self.doubtful.push(new),
                        }
                    }
                    tell(caller, Err(refused.into()));
                }
            }
        }
    }

    /// Has those queued that were made after all, as soon as the store tells.
    async fn settle_doubts(&mut self) {
        while let Some((record, _)) = self.doubtful.last() {
            let made = self.store.fetch(record.handle, Look::ForState).await;
            let Ok(made) = made else {
                return;
            };
            if let Some(new) = self.doubtful.pop()
                && made.is_some_and(|it| !it.state.is_finished())
            {
                self.queue(new);
            }
        }
    }

    fn queue(&self, (record, found): New) {
        if self.store.lasts() {
            return self.claimers.wake(&record.route);
        }
        let (handle, deadline) = (record.handle, clock::instant_at(record.deadline));
        let submit = || {
            let submitted = match found {
                Some(lane) => lane.submit(record.job, deadline).map_err(|job| *job),
                None => Err(record.job),
            };
            submitted.unwrap_or_else(|job| self.lane.submit(&record.route, job, deadline))
        };
        self.withdrawals.queue(handle, submit);
    }
}

/// Tells a caller of its record when this is dropped.
struct Telling(Option<(Caller, Record)>);

impl Drop for Telling {
    fn drop(&mut self) {
        if let Some((caller, record)) = self.0.take() {
            tell(caller, Ok(record));
        }
    }
}

/// A caller that has departed can still come again with its key.
fn tell(caller: Caller, answer: Result<Record, HandInError>) {
    let _departed = caller.send(answer);
}
