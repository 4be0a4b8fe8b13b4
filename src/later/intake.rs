//! Jobs on their way into the store: one task commits what has come meanwhile, many at
//! once, and then has it queued.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot, watch};

use super::clock;
use super::error::HandInError;
use super::lane::Lane;
use super::record::{NewRecord, Record};
use super::reported::Reported;
use super::store::Accepted;
use super::withdrawals::Withdrawals;

/// Most jobs that are committed at once, and that wait for that.
const MOST: usize = 1024;

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
        let (receiver, closed) = (self.receiver()?, self.closed.subscribe());
        Some(take_in(receiver, store, lane, withdrawals, closed))
    }

    fn receiver(&self) -> Option<mpsc::Receiver<HandedIn>> {
        let mut receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        receiver.take()
    }
}

async fn take_in(
    mut receiver: mpsc::Receiver<HandedIn>,
    store: Arc<Reported>,
    lane: Arc<dyn Lane>,
    withdrawals: Arc<Withdrawals>,
    mut closed: watch::Receiver<bool>,
) {
    let mut handed_in = Vec::new();
    loop {
        let open = !receiver.is_closed();
        let taken = tokio::select! {
            biased;
            _ = closed.wait_for(|&closed| closed), if open => {
                receiver.close();
                continue;
            }
            taken = receiver.recv_many(&mut handed_in, MOST) => taken,
        };
        if taken == 0 {
            return;
        }
        let records = handed_in.iter().map(|it| it.0.clone()).collect();
        let accepted = store.accept(records).await;
        for ((record, caller), accepted) in handed_in.drain(..).zip(accepted) {
            let answer = match accepted {
                Ok(Accepted::New(made)) => {
                    let (handle, deadline) = (record.handle, clock::instant_at(record.deadline));
                    withdrawals.queue(handle, || lane.submit(record.job, deadline));
                    Ok(made)
                }
                Ok(Accepted::Existing(record)) => Ok(record),
                Err(refused) => Err(refused.into()),
            };
            // A caller that has departed can still come again with its key.
            let _departed = caller.send(answer);
        }
    }
}
