//! Which jobs are handed in next, and how many at once. Pure.
//!
//! In the order of the input, several at once. While the store has no room they wait, and
//! whenever there may be some again the first alone is tried, then two, then four. A job that
//! an earlier run may have handed in is tried all the same, once: its record is a part of what
//! takes up the room, and its result has to be written for that to end.

use std::collections::BTreeSet;

/// Jobs that wait to be handed in, by their numbers.
#[derive(Debug)]
pub struct HandIns {
    waiting: BTreeSet<u64>,
    /// Those of them that may have a record, and were not tried.
    untried: BTreeSet<u64>,
    under_way: usize,
    /// Most at once.
    most: usize,
    /// Most at once, as far as there is room.
    allowed: usize,
    is_full: bool,
    /// Whether there may be room that was not there when the last one was started.
    is_freed: bool,
}

impl HandIns {
    /// None, and at most so many at once.
    pub fn new(most: usize) -> Self {
        Self {
            waiting: BTreeSet::new(),
            untried: BTreeSet::new(),
            under_way: 0,
            most,
            allowed: most,
            is_full: false,
            is_freed: false,
        }
    }

    /// One is to be handed in, which may have a record already.
    pub fn add(&mut self, number: u64, may_have_record: bool) {
        self.waiting.insert(number);
        if may_have_record {
            self.untried.insert(number);
        }
    }

    /// The next one to be handed in from here on, if it is time for one.
    pub fn start(&mut self) -> Option<u64> {
        if self.under_way >= self.allowed {
            return None;
        }
        let next = match self.is_full {
            false => self.waiting.first().copied()?,
            true => self.untried.first().copied()?,
        };
        self.waiting.remove(&next);
        self.untried.remove(&next);
        self.under_way += 1;
        self.is_freed = false;
        Some(next)
    }

    /// There was room for one, or it needs none.
    pub fn done(&mut self) {
        self.under_way -= 1;
        self.allowed = (self.allowed * 2).min(self.most);
    }

    /// There was no room for one: it waits again.
    pub fn refused(&mut self, number: u64) {
        self.under_way -= 1;
        self.allowed = 1;
        self.is_full = !self.is_freed;
        self.waiting.insert(number);
    }

    /// There may be room again.
    pub fn try_again(&mut self) {
        self.is_full = false;
        self.is_freed = true;
    }

    /// Whether one waits for room.
    pub fn waits_for_room(&self, number: u64) -> bool {
        self.is_full && self.waiting.contains(&number)
    }

    /// Whether any is under way.
    pub fn are_under_way(&self) -> bool {
        self.under_way > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(it: &mut HandIns) -> Vec<u64> {
        std::iter::from_fn(|| it.start()).collect()
    }

    #[test]
    fn the_first_goes_first_where_there_was_no_room() {
        let mut it = HandIns::new(3);
        (0..9).rev().for_each(|number| it.add(number, false));
        assert_eq!(started(&mut it), [0, 1, 2]);
        it.refused(1);
        it.done();
        it.refused(0);
        assert!(started(&mut it).is_empty(), "it is full");
        assert!(it.waits_for_room(0) && !it.waits_for_room(2));
        it.try_again();
        assert_eq!(started(&mut it), [0]);
        it.done();
        assert_eq!(started(&mut it), [1, 3]);
        it.done();
        it.done();
        assert_eq!(started(&mut it), [4, 5, 6]);
        assert!(it.are_under_way());
    }

    #[test]
    fn what_may_have_a_record_is_tried_once_without_room() {
        let mut it = HandIns::new(2);
        (0..5).for_each(|number| it.add(number, number < 4));
        assert_eq!(started(&mut it), [0, 1]);
        it.refused(0);
        it.refused(1);
        for number in [2, 3] {
            assert_eq!(started(&mut it), [number]);
            it.refused(number);
        }
        assert!(started(&mut it).is_empty());
        it.try_again();
        assert_eq!(started(&mut it), [0]);
        // A refusal may be older than the room.
        it.try_again();
        it.refused(0);
        assert_eq!(started(&mut it), [0]);
        it.refused(0);
        assert!(started(&mut it).is_empty());
    }
}
