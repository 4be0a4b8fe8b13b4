//! Which jobs may be under way, and in which order their results are written.
//!
//! Pure. A job enters when it is read and leaves when its result has been written and
//! acknowledged; so many may be inside at once. In the order of the input a result is held
//! until those before it are there, and it stays inside meanwhile: a first job that takes
//! long holds up the reading of further ones, and no more than `room` results are ever held.

use std::collections::BTreeMap;

/// The jobs under way, and the results held back for their turn.
#[derive(Debug)]
pub struct Window<T> {
    room: usize,
    inside: usize,
    /// The number of the next job to enter.
    next: u64,
    /// `None` where results are written as they come.
    order: Option<Order<T>>,
}

#[derive(Debug)]
struct Order<T> {
    /// The number whose result is to be written next.
    turn: u64,
    held: BTreeMap<u64, T>,
}

impl<T> Window<T> {
    /// Nobody inside, and room for so many.
    pub fn new(room: usize, ordered: bool) -> Self {
        let order = ordered.then(|| Order {
            turn: 0,
            held: BTreeMap::new(),
        });
        Self {
            room,
            inside: 0,
            next: 0,
            order,
        }
    }

    /// Whether one more may enter.
    pub fn has_room(&self) -> bool {
        self.inside < self.room
    }

    /// Whether nobody is inside.
    pub fn is_empty(&self) -> bool {
        self.inside == 0
    }

    /// How many are inside.
    pub fn inside(&self) -> usize {
        self.inside
    }

    /// One enters; its number.
    pub fn enter(&mut self) -> u64 {
        self.inside += 1;
        self.next += 1;
        self.next - 1
    }

    /// The result of one is there. Those whose turn it is to be written.
    pub fn finish(&mut self, number: u64, result: T) -> Vec<T> {
        let Some(order) = &mut self.order else {
            return vec![result];
        };
        order.held.insert(number, result);
        let mut due = Vec::new();
        while let Some(result) = order.held.remove(&order.turn) {
            order.turn += 1;
            due.push(result);
        }
        due
    }

    /// One whose result was written is done with.
    pub fn leave(&mut self) {
        self.inside = self.inside.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the order of finishing: each is written once, in the order asked for,
        /// and no more than there is room for are inside.
        #[test]
        fn each_is_written_once_and_in_order(
            room in 1_usize..8,
            ordered in any::<bool>(),
            choices in proptest::collection::vec(any::<prop::sample::Index>(), 40),
        ) {
            let mut window = Window::new(room, ordered);
            let (mut unfinished, mut finished, mut written) = (Vec::new(), Vec::new(), Vec::new());
            for choice in choices {
                while window.has_room() {
                    unfinished.push(window.enter());
                }
                prop_assert!(window.inside() <= room);
                let one = unfinished.remove(choice.index(unfinished.len()));
                finished.push(one);
                for due in window.finish(one, one) {
                    written.push(due);
                    window.leave();
                }
                if unfinished.is_empty() {
                    prop_assert!(window.is_empty());
                }
            }
            if ordered {
                prop_assert!(written.iter().copied().eq(0..written.len() as u64));
            } else {
                prop_assert_eq!(written, finished);
            }
        }
    }

    #[test]
    fn a_first_job_that_takes_long_holds_up_those_behind_it() {
        let mut window = Window::new(3, true);
        let first = window.enter();
        for _ in 0..2 {
            let next = window.enter();
            assert!(window.finish(next, next).is_empty());
        }
        assert!(!window.has_room());
        assert_eq!(window.finish(first, first), [0, 1, 2]);
    }
}
