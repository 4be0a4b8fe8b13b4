//! The wake queue of a runtime: callers that wait there and were answered elsewhere.
//!
//! To wake a task of another thread takes a system call when that thread sleeps, and
//! with runtimes of one thread each whenever it is another's. So the answers of a batch
//! whose callers wait elsewhere are announced together: all their wakers are queued at
//! once, and a task of that runtime wakes them there.

use std::sync::PoisonError;
use std::task::Waker;

use tokio::sync::Notify;

use crate::contain::contain;
use crate::sync::{Mutex, MutexGuard};

#[derive(Debug)]
pub(crate) struct WakeQueue {
    /// Who is to be woken; `None` once nobody will come for them any more.
    wakers: Mutex<Option<Vec<Waker>>>,
    filled: Notify,
}

impl WakeQueue {
    pub fn new() -> Self {
        Self {
            wakers: Mutex::new(Some(Vec::new())),
            filled: Notify::new(),
        }
    }

    /// Has these woken over there; where nobody comes for them any more, from here.
    pub fn post(&self, wakers: Vec<Waker>) {
        let mut queue = self.lock();
        let Some(queued) = queue.as_mut() else {
            drop(queue);
            return wake(wakers);
        };
        // What is queued already was told of.
        let notify = queued.is_empty();
        queued.extend(wakers);
        drop(queue);
        if notify {
            self.filled.notify_one();
        }
    }

    /// Waits until there is something in it, or until it is told to look.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Has the task that waits for it look.
    pub fn notify(&self) {
        self.filled.notify_one();
    }

    /// Wakes all that are queued.
    pub fn wake_all(&self) {
        let queued = self.lock().as_mut().map(std::mem::take);
        wake(queued.into_iter().flatten());
    }

    /// Wakes all that are queued. From here on they are woken at once.
    pub fn close(&self) {
        let queued = self.lock().take();
        wake(queued.into_iter().flatten());
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Waker>>> {
        // Nothing panics while it is held.
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All batchers' callers are woken here: a panic of one keeps none of the others asleep.
fn wake(wakers: impl IntoIterator<Item = Waker>) {
    for waker in wakers {
        contain(|| waker.wake());
    }
}
