//! Those who wait for something to happen to a key, be it a record or a stream.
//!
//! Who waits holds a [`Watch`]; a key that nobody waits for takes no memory. Waking
//! touches those of that key alone.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Who waits, by key.
#[derive(Debug)]
pub(super) struct Watchers<K: Eq + Hash>(Arc<Mutex<Map<K>>>);

/// What wakes those of a key, and how many they are.
type Map<K> = HashMap<K, (usize, Arc<Notify>)>;

/// A map that had more room than this gives it back.
const ROOM: usize = 1024;

/// A handle: clones are the same.
impl<K: Eq + Hash> Clone for Watchers<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// One that waits for a key.
#[derive(Debug)]
pub(super) struct Watch<K: Eq + Hash> {
    key: K,
    notify: Arc<Notify>,
    watchers: Watchers<K>,
}

impl<K: Eq + Hash + Clone> Watchers<K> {
    pub fn new() -> Self {
        Self(Arc::default())
    }

    /// Waits for this key from here on: what happens after this is not missed, if
    /// [`Watch::woken`] is enabled before looking.
    pub fn watch(&self, key: K) -> Watch<K> {
        let mut watched = self.lock();
        let (watches, notify) = watched.entry(key.clone()).or_default();
        *watches += 1;
        Watch {
            key,
            notify: Arc::clone(notify),
            watchers: self.clone(),
        }
    }

    /// Wakes those who wait for these keys.
    pub fn wake<'a>(&self, keys: impl IntoIterator<Item = &'a K>)
    where
        K: 'a,
    {
        let watched = self.lock();
        if watched.is_empty() {
            return;
        }
        let found = keys.into_iter().filter_map(|key| watched.get(key));
        let found: Vec<_> = found.map(|it| Arc::clone(&it.1)).collect();
        drop(watched);
        found.iter().for_each(|it| it.notify_waiters());
    }

    #[cfg(test)]
    pub fn keys(&self) -> usize {
        self.lock().len()
    }
}

impl<K: Eq + Hash> Watchers<K> {
    fn lock(&self) -> MutexGuard<'_, Map<K>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Watch<K> {
    /// Resolves when the key is woken after this was first polled or enabled.
    pub fn woken(&self) -> Notified<'_> {
        self.notify.notified()
    }
}

impl<K: Eq + Hash> Drop for Watch<K> {
    fn drop(&mut self) {
        let mut watched = self.watchers.lock();
        if let Some((watches, _)) = watched.get_mut(&self.key) {
            *watches -= 1;
            if *watches == 0 {
                watched.remove(&self.key);
            }
        }
        if watched.capacity() > ROOM.max(8 * watched.len()) {
            watched.shrink_to_fit();
        }
    }
}
