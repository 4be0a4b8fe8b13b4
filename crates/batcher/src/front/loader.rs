//! Loads values by key, in batches, each key once at a time.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{Shared, WeakShared, join_all};

use super::keyed;
use crate::batcher::Batcher;
use crate::error::{AnyError, Error};
use crate::settings::Settings;
use crate::snapshot::Snapshot;
use crate::sync::{Mutex, MutexGuard};

/// Loads values by key: what is asked for within a moment is loaded together, and
/// a key that is asked for while it waits or is under way is loaded once and
/// answered to all.
///
/// It is no cache: once the function has returned, a key that is asked for is
/// loaded again. A caller that leaves changes nothing for the others; when all have
/// left, a key that is still queued is not loaded. One that is under way then is loaded
/// to no one's use: whoever asks for the key after that has it loaded again, beside it.
///
/// A function that loads one of its own keys waits for itself.
///
/// A handle: clones are the same loader.
pub struct Loader<K: LoadKey, V: LoadValue> {
    batcher: Batcher<Wanted<K, V>, V>,
    loads: Arc<Loads<K, V>>,
}

impl<K: LoadKey, V: LoadValue> Loader<K, V> {
    /// A loader that calls `function` with different keys, each call in a task of
    /// its own. It returns a result for each key, in any order, or one error for all
    /// of them; see [`Batcher::keyed`] for what becomes of keys without one.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled.
    pub fn new<F, Fut, I, E>(settings: Settings, function: F) -> Self
    where
        F: Fn(Vec<K>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<I, E>> + Send + 'static,
        I: IntoIterator<Item = (K, Result<V, E>)>,
        E: Into<AnyError>,
    {
        let hasher = RandomState::new();
        let hash = move |wanted: &Wanted<K, V>| hasher.hash_one(&wanted.key);
        let leaving = |wanted: &Wanted<K, V>| Arc::clone(&wanted.key);
        let batcher = keyed::open(settings, hash, leaving, move |wanted: Vec<Wanted<K, V>>| {
            let keys = wanted.iter().map(|it| K::clone(&it.key));
            let results = function(keys.collect());
            async move {
                let results = results.await;
                // Before anybody is answered: a caller that asks then is to see what is new.
                drop(wanted);
                results
            }
        });
        let loads = Arc::default();
        Self { batcher, loads }
    }

    /// Loads the value of a key. Dropping the future is leaving.
    ///
    /// # Errors
    /// Those of [`Batcher::submit`] and of its reply.
    pub async fn load(&self, key: K) -> Result<V, Error> {
        self.join(key).await
    }

    /// Loads the values of several keys, in their order. Those that are equal are
    /// loaded once.
    pub async fn load_many(&self, keys: impl IntoIterator<Item = K>) -> Vec<Result<V, Error>> {
        join_all(keys.into_iter().map(|key| self.join(key))).await
    }

    /// The load of the key that waits or is under way, or a new one.
    fn join(&self, key: K) -> Load<V> {
        // Keys go when the lock is released, even if hashing one panics.
        let (load, _over);
        let mut loads = self.loads.lock();
        if let Some((_, load)) = loads.by_key.get(&key)
            && let Some(load) = load.upgrade()
        {
            return load;
        }
        let (number, key) = (loads.begun, Arc::new(key));
        loads.begun += 1;
        load = self.begin(number, Arc::clone(&key));
        _over = loads.by_key.remove_entry(&key);
        if let Some(weak) = load.downgrade() {
            loads.by_key.insert(key, (number, weak));
        }
        drop(loads);
        load
    }

    /// A load, to be submitted when it is polled.
    fn begin(&self, number: u64, key: Arc<K>) -> Load<V> {
        let (batcher, loads) = (self.batcher.clone(), Arc::clone(&self.loads));
        let wanted = Wanted { key, number, loads };
        let load: Loading<V> = Box::pin(async move { batcher.execute(wanted).await });
        load.shared()
    }

    /// As [`Batcher::flush`].
    pub fn flush(&self) -> usize {
        self.batcher.flush()
    }

    /// As [`Batcher::close`].
    pub fn close(&self) {
        self.batcher.close();
    }

    /// As [`Batcher::vacated`].
    pub async fn vacated(&self) {
        self.batcher.vacated().await;
    }

    /// As [`Batcher::snapshot`]: an item is a key that is loaded, whoever waits for it.
    pub fn snapshot(&self) -> Snapshot {
        self.batcher.snapshot()
    }
}

impl<K: LoadKey, V: LoadValue> Clone for Loader<K, V> {
    fn clone(&self) -> Self {
        Self {
            batcher: self.batcher.clone(),
            loads: Arc::clone(&self.loads),
        }
    }
}

impl<K: LoadKey, V: LoadValue> fmt::Debug for Loader<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Loader").field(&self.batcher).finish()
    }
}

/// What a [`Loader`] loads by.
pub trait LoadKey: Clone + Eq + Hash + Send + Sync + 'static {}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> LoadKey for K {}

/// What a [`Loader`] loads.
pub trait LoadValue: Clone + Send + Sync + 'static {}

impl<V: Clone + Send + Sync + 'static> LoadValue for V {}

type Loading<V> = Pin<Box<dyn Future<Output = Result<V, Error>> + Send>>;

/// Held by those who wait for it alone: when all have left it is dropped, and with
/// it the reply.
type Load<V> = Shared<Loading<V>>;

/// The loads that may be joined, each with its number.
struct Loads<K, V: Clone>(Mutex<Joinable<K, V>>);

struct Joinable<K, V: Clone> {
    by_key: HashMap<Arc<K>, (u64, WeakShared<Loading<V>>)>,
    begun: u64,
}

impl<K, V: Clone> Loads<K, V> {
    fn lock(&self) -> MutexGuard<'_, Joinable<K, V>> {
        // A key whose hash or comparison panics has changed nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V: Clone> Default for Loads<K, V> {
    fn default() -> Self {
        Self(Mutex::new(Joinable {
            by_key: HashMap::new(),
            begun: 0,
        }))
    }
}

/// A key that is to be loaded: as long as it is, its load may be joined.
struct Wanted<K: LoadKey, V: LoadValue> {
    key: Arc<K>,
    number: u64,
    loads: Arc<Loads<K, V>>,
}

impl<K: LoadKey, V: LoadValue> Drop for Wanted<K, V> {
    fn drop(&mut self) {
        // A key may ask for another when it goes: not under the lock.
        let _over;
        let mut loads = self.loads.lock();
        // After everybody had left it, another may have begun.
        let load = loads.by_key.get(&self.key);
        if load.is_some_and(|(number, _)| *number == self.number) {
            _over = loads.by_key.remove_entry(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nothing_is_left_of_loads_that_are_over() {
        let loader = Loader::new(Settings::default(), async |keys: Vec<u64>| {
            assert!(!keys.contains(&3), "a panic of the function");
            Ok::<_, Infallible>(keys.into_iter().map(|key| (key, Ok(key))))
        });
        {
            let mut left = pin!(loader.load(1));
            let polled = left.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending());
            assert_eq!(loader.loads.lock().by_key.len(), 1);
        }
        assert_eq!(loader.loads.lock().by_key.len(), 0, "all have left");
        assert_eq!(loader.load(2).await, Ok(2));
        assert_eq!(loader.load(3).await, Err(Error::Dropped));
        loader.close();
        assert_eq!(loader.load(4).await, Err(Error::Closed));
        assert_eq!(loader.loads.lock().by_key.len(), 0);
    }
}
