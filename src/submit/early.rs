//! Results heard of jobs that are not known yet. Pure.
//!
//! A result may be heard before the answer that tells the job's handle, and a run that goes on
//! hears of jobs that it has not handed in again yet. As many results are kept as may be under
//! way; where one more comes, the oldest is dropped, and its job has to be asked for.

use std::collections::{BTreeMap, HashMap};

use super::handle::Handle;

/// Results of jobs that are not known yet.
#[derive(Debug)]
pub struct Early<T> {
    room: usize,
    results: HashMap<Handle, (u64, T)>,
    /// Their handles by when they came.
    by_age: BTreeMap<u64, Handle>,
    came: u64,
}

impl<T> Early<T> {
    /// None, and room for so many.
    pub fn new(room: usize) -> Self {
        Self {
            room,
            results: HashMap::new(),
            by_age: BTreeMap::new(),
            came: 0,
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
        }
        true
    }

    /// That of a job that is known from here on, where it was not dropped.
    pub fn take(&mut self, handle: &Handle) -> Option<T> {
        let (age, result) = self.results.remove(handle)?;
        self.by_age.remove(&age);
        Some(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_dropped_where_there_is_no_room() {
        let [a, b, c, d] = ["aa", "bb", "cc", "dd"].map(|it| it.parse::<Handle>().unwrap());
        let mut early = Early::new(2);
        assert!(!early.keep(a.clone(), 1));
        assert!(!early.keep(a.clone(), 2));
        assert!(!early.keep(b.clone(), 3));
        assert!(early.keep(c.clone(), 4));
        assert_eq!([&a, &c].map(|it| early.take(it)), [None, Some(4)]);
        // The place of one that was taken is free, and nothing is kept of it.
        assert!(!early.keep(d.clone(), 5));
        assert_eq!(
            [b, c, d].map(|it| early.take(&it)),
            [Some(3), None, Some(5)]
        );
        assert!(early.by_age.is_empty());
    }
}
