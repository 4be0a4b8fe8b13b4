//! What is on its way into the store: handed in one by one, from wherever, and committed
//! by one task, as much at once as has come meanwhile, however often that takes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;

/// The pause after a commit that failed, and the longest after several.
const PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Where it is handed in.
#[derive(Debug)]
pub(super) struct Outbox<T> {
    waiting: Mutex<Vec<T>>,
    came: Notify,
    /// How many were handed in, and how many of those are committed.
    handed_in: watch::Sender<u64>,
    committed: watch::Sender<u64>,
}

impl<T> Outbox<T> {
    pub fn new() -> Self {
        Self {
            waiting: Mutex::default(),
            came: Notify::new(),
            handed_in: watch::Sender::new(0),
            committed: watch::Sender::new(0),
        }
    }

    /// Hands some in.
    pub fn push(&self, items: impl IntoIterator<Item = T>) {
        let mut waiting = self.lock();
        let before = waiting.len();
        waiting.extend(items);
        let came = (waiting.len() - before) as u64;
        self.handed_in.send_modify(|it| *it += came);
        drop(waiting);
        self.came.notify_one();
    }

    /// Takes all that wait, as soon as some do.
    pub async fn take(&self) -> Vec<T> {
        loop {
            let waiting = self.take_some();
            if !waiting.is_empty() {
                return waiting;
            }
            self.came.notified().await;
        }
    }

    /// Takes those that wait at this moment.
    pub fn take_some(&self) -> Vec<T> {
        std::mem::take(&mut *self.lock())
    }

    /// So many of those that were taken are committed.
    pub fn committed(&self, items: usize) {
        self.committed.send_modify(|it| *it += items as u64);
    }

    /// Waits until what has been handed in is committed.
    pub async fn all_committed(&self) {
        let handed_in = *self.handed_in.borrow();
        let mut committed = self.committed.subscribe();
        // The sender lives as long as this.
        let _seen = committed.wait_for(|&it| it >= handed_in).await;
    }

    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pauses of one commit.
#[derive(Debug)]
pub(super) struct Pauses(Duration);

impl Pauses {
    pub fn new() -> Self {
        Self(PAUSE)
    }

    /// The next, after the store has failed.
    pub async fn next(&mut self) {
        sleep(self.0).await;
        self.0 = (2 * self.0).min(LONGEST_PAUSE);
    }
}
