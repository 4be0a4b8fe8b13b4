//! The keyed front: results that say whose they are, in any order.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

use crate::batch::Batch;
use crate::batcher::Batcher;
use crate::error::{AnyError, Error};
use crate::settings::Settings;

impl<J: Send + 'static, R: Send + 'static> Batcher<J, R> {
    /// A batcher whose batches go to `function`, each in a task of its own. It
    /// returns a result for each item under the item's key, in any order, or one
    /// error for all of them.
    ///
    /// Each member is told on its own: its result or error, [`Error::Missing`] if
    /// there is none of its key, or [`Error::Duplicate`] if there are several. A
    /// key that no item has is nobody's; those that miss theirs are told how many
    /// such came. A panic is [`Error::Dropped`] for all. It runs to its end even if
    /// all callers have left.
    ///
    /// Items with equal keys never share a batch, since their results could not be
    /// told apart: what [`Options::key`](crate::Options::key) says counts for nothing.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled.
    pub fn keyed<K, F, Fut, I, E>(
        settings: Settings,
        key: impl Fn(&J) -> K + Send + Sync + 'static,
        function: F,
    ) -> Self
    where
        K: Eq + Hash + Send + 'static,
        F: Fn(Vec<J>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<I, E>> + Send + 'static,
        I: IntoIterator<Item = (K, Result<R, E>)>,
        E: Into<AnyError>,
    {
        let key = Arc::new(key);
        let hash = {
            let (key, hasher) = (Arc::clone(&key), RandomState::new());
            move |item: &J| hasher.hash_one(key(item))
        };
        open(settings, hash, move |item: &J| key(item), function)
    }
}

/// A keyed batcher, where `hash` tells items of different keys apart, and `leaving` what
/// stands for an item's key while the function has the item.
pub(super) fn open<J, R, K, L, F, Fut, I, E>(
    settings: Settings,
    hash: impl Fn(&J) -> u64 + Send + Sync + 'static,
    leaving: impl Fn(&J) -> L + Send + Sync + 'static,
    function: F,
) -> Batcher<J, R>
where
    J: Send + 'static,
    R: Send + 'static,
    K: Eq + Hash,
    L: Borrow<K> + Send + 'static,
    F: Fn(Vec<J>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<I, E>> + Send + 'static,
    I: IntoIterator<Item = (K, Result<R, E>)>,
    E: Into<AnyError>,
{
    Batcher::open(settings, Some(Box::new(hash)), move |batch| {
        let (items, batch) = batch.take_items(&leaving);
        let results = function(items);
        async move {
            match results.await {
                Ok(results) => answer(batch, results),
                Err(error) => fail(batch, Error::failed(error)),
            }
        }
    })
}

fn answer<J, R, K, L, E>(
    mut batch: Batch<J, R, L>,
    results: impl IntoIterator<Item = (K, Result<R, E>)>,
) where
    J: Send + 'static,
    R: Send + 'static,
    K: Eq + Hash,
    L: Borrow<K>,
    E: Into<AnyError>,
{
    let mut by_key = HashMap::with_capacity(batch.len());
    for (key, result) in results {
        match by_key.entry(key) {
            Entry::Vacant(vacant) => {
                vacant.insert(result.map_err(Error::failed));
            }
            Entry::Occupied(mut first) => {
                *first.get_mut() = Err(Error::Duplicate);
            }
        }
    }
    let members = batch.members().iter();
    let found = members
        .filter(|it| by_key.contains_key(it.item().borrow()))
        .count();
    let strays = by_key.len() - found;
    batch.try_answer_all(|member| {
        let result = by_key.remove(member.item().borrow());
        result.unwrap_or(Err(Error::Missing { strays }))
    });
}

fn fail<J: Send + 'static, R: Send + 'static, L>(mut batch: Batch<J, R, L>, error: Error) {
    batch.try_answer_all(|_| Err(error.clone()));
}
