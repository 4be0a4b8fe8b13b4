//! A set of line numbers.
//!
//! Lines are done nearly in their order: what is kept is ranges, of which there are no more
//! than lines that were under way at once, however long the input is.

use std::collections::BTreeMap;

/// Numbers of lines, in as many ranges as they make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// The first of each range, and its last. No two of them touch.
    ranges: BTreeMap<u64, u64>,
}

impl Lines {
    /// Puts a line into it; whether it was not there.
    pub fn insert(&mut self, line: u64) -> bool {
        let before = self.ranges.range(..=line).next_back();
        let (mut first, mut last) = (line, line);
        if let Some((&start, &end)) = before {
            if line <= end {
                return false;
            }
            if end + 1 == line {
                first = start;
            }
        }
        if let Some(end) = line
            .checked_add(1)
            .and_then(|next| self.ranges.remove(&next))
        {
            last = end;
        }
        self.ranges.insert(first, last);
        true
    }

    /// Whether it is there.
    pub fn contains(&self, line: u64) -> bool {
        let before = self.ranges.range(..=line).next_back();
        before.is_some_and(|(_, &end)| line <= end)
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        let sizes = self.ranges.iter().map(|(first, last)| last - first + 1);
        sizes.sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(lines in proptest::collection::vec(1_u64..60, 0..80)) {
            let (mut set, mut model) = (Lines::default(), BTreeSet::new());
            for line in lines {
                prop_assert_eq!(set.insert(line), model.insert(line));
                let touching = model.iter().filter(|it| model.contains(&(*it + 1))).count();
                prop_assert_eq!(set.ranges.len(), model.len() - touching);
                prop_assert_eq!(set.count(), model.len() as u64);
                for line in 0..61 {
                    prop_assert_eq!(set.contains(line), model.contains(&line), "{}", line);
                }
            }
        }
    }

    #[test]
    fn lines_in_their_order_are_one_range() {
        let mut set = Lines::default();
        (1..=1_000_000).for_each(|line| assert!(set.insert(line)));
        assert_eq!((set.ranges.len(), set.count()), (1, 1_000_000));
        assert!(set.insert(u64::MAX));
    }
}
