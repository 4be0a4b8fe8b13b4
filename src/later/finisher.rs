//! Answers on their way into the store: one task commits what has come meanwhile, many
//! at once, and then wakes those who wait for it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::answer::Answer;
use super::record::StreamName;
use super::reported::Reported;
use super::store::StoreError;
use super::watchers::Watchers;
use crate::job::Handle;

/// The pause after a commit that failed, and the longest after several.
const PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Where answers are handed in. They are as many as there are records, at most.
#[derive(Debug)]
pub(super) struct Finisher {
    answers: Mutex<Vec<(Handle, Answer)>>,
    came: Notify,
    /// How many were handed in, and how many of those are committed.
    handed_in: watch::Sender<u64>,
    committed: watch::Sender<u64>,
}

impl Finisher {
    pub fn new() -> Self {
        Self {
            answers: Mutex::default(),
            came: Notify::new(),
            handed_in: watch::Sender::new(0),
            committed: watch::Sender::new(0),
        }
    }

    /// Hands an answer in.
    pub fn finish(&self, handle: Handle, answer: Answer) {
        let mut answers = self.lock();
        answers.push((handle, answer));
        self.handed_in.send_modify(|it| *it += 1);
        drop(answers);
        self.came.notify_one();
    }

    /// Waits until what has been handed in is committed.
    pub async fn all_committed(&self) {
        let handed_in = *self.handed_in.borrow();
        let mut committed = self.committed.subscribe();
        // The sender lives as long as this.
        let _seen = committed.wait_for(|&it| it >= handed_in).await;
    }

    /// Commits answers, and wakes who waits for them.
    pub async fn run(
        &self,
        store: &Reported,
        records: &Watchers<Handle>,
        streams: &Watchers<StreamName>,
        expiry: &Notify,
    ) {
        loop {
            self.came.notified().await;
            let answers = std::mem::take(&mut *self.lock());
            let told = commit(store, &answers).await;
            records.wake(answers.iter().map(|it| &it.0));
            streams.wake(&told);
            expiry.notify_one();
            self.committed.send_modify(|it| *it += answers.len() as u64);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Handle, Answer)>> {
        // Nothing panics while it is held.
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Until it works: an answer is dropped by the end of the process alone. One that was
/// committed though nobody said so is not committed again.
async fn commit(store: &Reported, answers: &[(Handle, Answer)]) -> Vec<StreamName> {
    let mut pause = PAUSE;
    loop {
        match store.finish(answers.to_vec()).await {
            Ok(streams) => return streams,
            Err(StoreError::NotCommitted | StoreError::Unanswered) => {
                sleep(pause).await;
                pause = (2 * pause).min(LONGEST_PAUSE);
            }
        }
    }
}
