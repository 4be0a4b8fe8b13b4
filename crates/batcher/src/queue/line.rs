//! A line that one joins at the end, leaves at the front, and may leave from
//! within: what the queue keeps its rooms and deadlines in.
//!
//! Places ascend by what they are ordered by, such as a ticket. Whoever leaves
//! from within leaves a gap, so that nobody has to move up; gaps are dropped at
//! the front, and all of them once they are the larger part. So joining and
//! leaving at the front take constant time, leaving from within takes a binary
//! search, and memory is bounded by twice the places taken.

use std::collections::VecDeque;

/// Few enough gaps to leave them alone.
const FEW: usize = 32;

#[derive(Debug)]
pub(crate) struct Line<K> {
    /// In ascending order, each with what stands there; `None` is a gap. The
    /// first is never a gap.
    places: VecDeque<(K, Option<usize>)>,
    gaps: usize,
}

impl<K> Default for Line<K> {
    fn default() -> Self {
        Self {
            places: VecDeque::new(),
            gaps: 0,
        }
    }
}

impl<K: Copy + Ord> Line<K> {
    pub fn len(&self) -> usize {
        self.places.len() - self.gaps
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The first place and what stands there.
    pub fn first(&self) -> Option<(K, usize)> {
        let &(key, at) = self.places.front()?;
        Some((key, at?))
    }

    /// The last place, be it a gap.
    pub fn last(&self) -> Option<K> {
        self.places.back().map(|&(key, _)| key)
    }

    /// Takes a place that nobody has: mostly the last, or one near the front.
    pub fn join(&mut self, key: K, at: usize) {
        if self.last().is_none_or(|last| last < key) {
            self.places.push_back((key, Some(at)));
            return;
        }
        let index = self.places.partition_point(|&(other, _)| other < key);
        match &mut self.places[index] {
            // Left before by whoever takes it again.
            (other, gap @ None) if *other == key => {
                *gap = Some(at);
                self.gaps -= 1;
            }
            _ => self.places.insert(index, (key, Some(at))),
        }
    }

    /// Those go back to the front that were [popped](Self::pop), in their order.
    pub fn put_back(&mut self, taken: Vec<(K, usize)>) {
        for (key, at) in taken.into_iter().rev() {
            self.places.push_front((key, Some(at)));
        }
    }

    /// Takes the first out.
    pub fn pop(&mut self) -> Option<(K, usize)> {
        let first = self.first();
        self.places.pop_front();
        self.close_up();
        first
    }

    /// Takes one out, wherever it stands; false if it is not there.
    pub fn leave(&mut self, key: K) -> bool {
        if self.first().is_some_and(|(first, _)| first == key) {
            self.pop();
            return true;
        }
        let Ok(index) = self.places.binary_search_by_key(&key, |&(key, _)| key) else {
            return false;
        };
        let stood = self.places[index].1.take().is_some();
        self.gaps += usize::from(stood);
        self.close_up();
        stood
    }

    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.places.capacity()
    }

    /// Drops the gaps at the front, and all where they are the larger part.
    fn close_up(&mut self) {
        while let Some((_, None)) = self.places.front() {
            self.places.pop_front();
            self.gaps -= 1;
        }
        if self.gaps > FEW && self.gaps > self.places.len() / 2 {
            self.places.retain(|(_, at)| at.is_some());
            self.gaps = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Append,
        /// One that has not joined in its turn.
        Late(usize),
        Pop,
        Leave(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => Just(Step::Append),
            1 => (0..200_usize).prop_map(Step::Late),
            1 => Just(Step::Pop),
            3 => (0..200_usize).prop_map(Step::Leave),
        ];
        prop::collection::vec(step, 0..400)
    }

    proptest! {
        #[test]
        fn a_line_does_as_a_sorted_map(steps in steps()) {
            let (mut line, mut model) = (Line::default(), BTreeMap::new());
            let (mut next, mut late) = (0, BTreeSet::new());
            for step in steps {
                match step {
                    Step::Append => {
                        // Every third is late, as a held item is that becomes ready.
                        if next % 3 == 0 {
                            late.insert(next);
                        } else {
                            line.join(next, next * 7);
                            model.insert(next, next * 7);
                        }
                        next += 1;
                    }
                    Step::Late(key) => {
                        if late.remove(&key) {
                            line.join(key, key * 7);
                            model.insert(key, key * 7);
                        }
                    }
                    Step::Pop => prop_assert_eq!(line.pop(), model.pop_first()),
                    Step::Leave(key) => {
                        prop_assert_eq!(line.leave(key), model.remove(&key).is_some());
                    }
                }
                prop_assert_eq!(line.first(), model.first_key_value().map(|(&k, &v)| (k, v)));
                prop_assert_eq!(line.len(), model.len());
                prop_assert_eq!(line.is_empty(), model.is_empty());
                prop_assert!(line.places.len() <= 2 * model.len() + FEW + 1);
            }
        }
    }
}
