//! The plain front: one result an item, in the order of the items.

use crate::batch::Batch;
use crate::batcher::Batcher;
use crate::error::{AnyError, Error};
use crate::settings::Settings;

impl<J: Send + 'static, R: Send + 'static> Batcher<J, R> {
    /// A batcher whose batches go to `function`, each in a task of its own. It
    /// returns one result an item, in the order of the items, or one error for all
    /// of them, which each gets as [`Error::Failed`].
    ///
    /// More or fewer results are [`Error::WrongCount`] for all, and a panic is
    /// [`Error::Dropped`]. It runs to its end even if all callers have left.
    ///
    /// An async closure will do that borrows nothing of what it captures; one that
    /// needs a handle clones it: `move |items| { let pool = pool.clone(); async move
    /// { … } }`.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled.
    pub fn new<F, Fut, E>(settings: Settings, function: F) -> Self
    where
        F: Fn(Vec<J>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<R>, E>> + Send + 'static,
        E: Into<AnyError>,
    {
        Self::with_batches(settings, move |batch| {
            let (items, batch) = batch.take_items(|_| ());
            let results = function(items);
            async move { answer(batch, results.await.map_err(Error::failed)) }
        })
    }
}

fn answer<J, R>(mut batch: Batch<J, R, ()>, results: Result<Vec<R>, Error>)
where
    J: Send + 'static,
    R: Send + 'static,
{
    let error = match results {
        Ok(results) if results.len() == batch.len() => {
            let mut results = results.into_iter();
            return batch.try_answer_all(|_| results.next().ok_or(Error::Dropped));
        }
        Ok(results) => Error::WrongCount {
            items: batch.len(),
            results: results.len(),
        },
        Err(error) => error,
    };
    batch.try_answer_all(|_| Err(error.clone()));
}
