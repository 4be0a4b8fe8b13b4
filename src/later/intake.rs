//! Jobs on their way into the store: one task commits what has come meanwhile, many at
//! once, and then has it queued.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;

use super::clock;
use super::error::HandInError;
use super::lane::Lane;
use super::record::{NewRecord, Record};
use super::reported::Reported;
use super::store::{Accepted, Refused, StoreError};
use super::withdrawals::Withdrawals;

/// Most jobs that are committed at once, and that wait for that.
const MOST: usize = 1024;

/// The pause before the store is asked again what it has made.
const PAUSE: Duration = Duration::from_secs(1);

/// A job, and who waits for its record.
type HandedIn = (NewRecord, oneshot::Sender<Result<Record, HandInError>>);

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
    pub async fn hand_in(&self, record: NewRecord) -> Result<Record, HandInError> {
        let (sender, answer) = oneshot::channel();
        let sent = self.sender.send((record, sender)).await;
        sent.map_err(|_| HandInError::Closed)?;
        answer.await.unwrap_or(Err(HandInError::Closed))
    }

    /// The task. `None` where it was taken before, or closed.
    pub fn task(
        &self,
        store: Arc<Reported>,
        lane: Arc<dyn Lane>,
        withdrawals: Arc<Withdrawals>,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let task = Task {
            receiver: self.receiver()?,
            closed: self.closed.subscribe(),
            store,
            lane,
            withdrawals,
            doubtful: Vec::new(),
        };
        Some(task.run())
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

struct Task {
    receiver: mpsc::Receiver<HandedIn>,
    closed: watch::Receiver<bool>,
    store: Arc<Reported>,
    lane: Arc<dyn Lane>,
    withdrawals: Arc<Withdrawals>,
    /// Records of which nobody knows whether they were made, since the store did not say.
    doubtful: Vec<NewRecord>,
}

impl Task {
    async fn run(mut self) {
        let mut handed_in = Vec::new();
        loop {
            let open = !self.receiver.is_closed();
            let in_doubt = !self.doubtful.is_empty();
            let came = tokio::select! {
                biased;
                _ = self.closed.wait_for(|&closed| closed), if open => Came::Close,
                jobs = self.receiver.recv_many(&mut handed_in, MOST) => Came::Jobs(jobs),
                () = sleep(PAUSE), if in_doubt => Came::Time,
            };
            match came {
                Came::Close => self.receiver.close(),
                Came::Jobs(0) => return,
                Came::Jobs(_) => {
                    self.settle_doubts().await;
                    self.accept(&mut handed_in).await;
                }
                Came::Time => self.settle_doubts().await,
            }
        }
    }

    /// Commits jobs, and has those queued that are new.
    async fn accept(&mut self, handed_in: &mut Vec<HandedIn>) {
        let accepted = match self.doubtful.is_empty() {
            true => {
                let records = handed_in.iter().map(|it| it.0.clone()).collect();
                self.store.accept(records).await
            }
            // One of those may come again by its key.
            false => {
                let away = |_: &HandedIn| Err(Refused::Store(StoreError::NotCommitted));
                handed_in.iter().map(away).collect()
            }
        };
        for ((record, caller), accepted) in handed_in.drain(..).zip(accepted) {
            let answer = match accepted {
                Ok(Accepted::New(made)) => {
                    self.queue(record);
                    Ok(made)
                }
                Ok(Accepted::Existing(record)) => Ok(record),
                Err(refused) => {
                    if refused == Refused::Store(StoreError::Unanswered) {
                        self.doubtful.push(record);
                    }
                    Err(refused.into())
                }
            };
            // A caller that has departed can still come again with its key.
            let _departed = caller.send(answer);
        }
    }

    /// Has those queued that were made after all, as soon as the store tells.
    async fn settle_doubts(&mut self) {
        while let Some(record) = self.doubtful.pop() {
            match self.store.fetch(record.handle).await {
                Ok(Some(made)) if !made.state.is_finished() => self.queue(record),
                Ok(_) => {}
                Err(_) => {
                    self.doubtful.push(record);
                    return;
                }
            }
        }
    }

    fn queue(&self, record: NewRecord) {
        let (handle, deadline) = (record.handle, clock::instant_at(record.deadline));
        let submit = || self.lane.submit(record.job, deadline);
        self.withdrawals.queue(handle, submit);
    }
}
