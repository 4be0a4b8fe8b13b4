//! Those who wait for something to happen to a key, be it a record or a stream.
//!
//! Who waits holds a [`Watch`]; a key that nobody waits for takes no memory. Waking
//! touches those of that key alone. What ends the wait can be told to those who wait, so
//! that they have it also where it is gone by the time that they look.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::answer::Answer;

/// What those who wait for a record are told.
#[derive(Clone, Debug)]
pub(super) enum Told {
    /// Its answer, which is committed.
    Answered(Answer),
    /// It was deleted before.
    Deleted,
}

/// Who waits, by key.
#[derive(Debug)]
pub(super) struct Watchers<K: Eq + Hash, T = ()>(Arc<Mutex<Map<K, T>>>);

/// Those of a key, and how many they are.
type Map<K, T> = HashMap<K, (usize, Arc<Waiting<T>>)>;

/// What those of a key share.
#[derive(Debug)]
struct Waiting<T> {
    notify: Notify,
    told: OnceLock<T>,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self {
            notify: Notify::new(),
            told: OnceLock::new(),
        }
    }
}

/// A map that had more room than this gives it back.
const ROOM: usize = 1024;

/// A handle: clones are the same.
impl<K: Eq + Hash, T> Clone for Watchers<K, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// One that waits for a key.
#[derive(Debug)]
pub(super) struct Watch<K: Eq + Hash, T = ()> {
    key: K,
    waiting: Arc<Waiting<T>>,
    watchers: Watchers<K, T>,
}

impl<K: Eq + Hash + Clone, T> Watchers<K, T> {
    pub fn new() -> Self {
        Self(Arc::default())
    }

    /// Waits for this key from here on: what happens after this is not missed, if
    /// [`Watch::woken`] is enabled before looking.
    pub fn watch(&self, key: K) -> Watch<K, T> {
        let mut watched = self.lock();
        let (watches, waiting) = watched.entry(key.clone()).or_default();
        *watches += 1;
        Watch {
            key,
            waiting: Arc::clone(waiting),
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
        found.iter().for_each(|it| it.notify.notify_waiters());
    }

    /// Wakes all who wait.
    pub fn wake_all(&self) {
        let found: Vec<_> = self.lock().values().map(|it| Arc::clone(&it.1)).collect();
        found.iter().for_each(|it| it.notify.notify_waiters());
    }

    /// Wakes those who wait for these keys, and tells them this, unless they were told
    /// something before.
    pub fn tell<'a>(&self, keys: impl IntoIterator<Item = (&'a K, T)>)
    where
        K: 'a,
    {
        let watched = self.lock();
        if watched.is_empty() {
            return;
        }
        let keys = keys.into_iter();
        let found = keys.filter_map(|(key, told)| Some((Arc::clone(&watched.get(key)?.1), told)));
        let found: Vec<_> = found.collect();
        drop(watched);
        for (waiting, told) in found {
            let _before = waiting.told.set(told);
            waiting.notify.notify_waiters();
        }
    }

    #[cfg(test)]
    pub fn keys(&self) -> usize {
        self.lock().len()
    }
}

impl<K: Eq + Hash, T> Watchers<K, T> {
    fn lock(&self) -> MutexGuard<'_, Map<K, T>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash, T> Watch<K, T> {
    /// Resolves when the key is woken after this was first polled or enabled.
    pub fn woken(&self) -> Notified<'_> {
        self.waiting.notify.notified()
    }

    /// What those were told first who wait.
    pub fn told(&self) -> Option<&T> {
        self.waiting.told.get()
    }
}

impl<K: Eq + Hash, T> Drop for Watch<K, T> {
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
