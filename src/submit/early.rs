//! Results heard of jobs that are not known yet. Pure.
//!
//! A result may be heard before the answer that tells the job's handle, and a run that goes on
//! hears of jobs that it has not handed in again yet, and of some that an earlier run has
//! written and not come to acknowledge. As many results are kept as may be under way; where
//! one more comes, of the oldest the handle alone is kept, and its job has to be asked for.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::client::Handle;

/// The most handles of results that were dropped; records of further ones expire.
const DROPPED: usize = 100_000;

/// Results of jobs that are not known yet.
#[derive(Debug)]
pub struct Early<T> {
    room: usize,
    results: HashMap<Handle, (u64, T)>,
    /// Their handles by when they came.
    by_age: BTreeMap<u64, Handle>,
    came: u64,
    dropped: HashSet<Handle>,
}

impl<T> Early<T> {
    /// None, and room for so many.
    pub fn new(room: usize) -> Self {
        Self {
            room,
            results: HashMap::new(),
            by_age: BTreeMap::new(),
            came: 0,
            dropped: HashSet::new(),
        }
    }

    /// Keeps one; whether another was dropped for it.
    pub fn keep(&mut self, handle: Handle, result: T) -> bool {
        self.take(&handle);
        self.came += 1;
        self.by_age.insert(self.came, handle.clone());
        self.results.insert(handle, (self.came, result));
        if self.results.len() <= self.room {
            return false;
        }
        if let Some((_, oldest)) = self.by_age.pop_first() {
            self.results.remove(&oldest);
            if self.dropped.len() < DROPPED {
                self.dropped.insert(oldest);
            }
        }
        true
    }

    /// That of a job that is known from here on, where it was not dropped.
    pub fn take(&mut self, handle: &str) -> Option<T> {
        self.dropped.remove(handle);
        let (age, result) = self.results.remove(handle)?;
        self.by_age.remove(&age);
        Some(result)
    }

    /// The handles of what nobody has asked for.
    pub fn into_handles(self) -> impl Iterator<Item = Handle> {
        self.results.into_keys().chain(self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_dropped_where_there_is_no_room() {
        let mut early = Early::new(2);
        assert!(!early.keep("a".into(), 1));
        assert!(!early.keep("a".into(), 2));
        assert!(!early.keep("b".into(), 3));
        assert!(early.keep("c".into(), 4));
        assert!(early.keep("d".into(), 5));
        let taken = ["a", "c"].map(|it| early.take(it));
        assert_eq!(taken, [None, Some(4)]);
        // The place of one that was taken is free, and nothing is kept of it.
        assert!(!early.keep("e".into(), 6));
        let mut left: Vec<_> = early.into_handles().collect();
        left.sort();
        assert_eq!(left, ["b", "d", "e"].map(Handle::from));
    }
}
