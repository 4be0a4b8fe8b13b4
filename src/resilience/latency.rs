//! How long the upstream took of late: the median of its last answers.
//!
//! A pure value. The engine tells it of each call that the upstream did, and asks
//! it about calls that were abandoned before they ended.

use std::time::Duration;

/// How many answers are remembered. They are not forgotten with time: while an
/// upstream hangs there are no new ones, and what is known then must last.
const ANSWERS: usize = 64;

/// How many times longer than usual is hanging rather than slow.
const HANGING: u32 = 10;

/// A call shorter than this says nothing, however quick the upstream usually is.
const LEAST: Duration = Duration::from_millis(100);

/// The latencies of the last answers.
#[derive(Clone, Debug)]
pub struct Latency {
    answers: [Duration; ANSWERS],
    /// How many there have ever been.
    count: usize,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            answers: [Duration::ZERO; ANSWERS],
            count: 0,
        }
    }
}

impl Latency {
    /// The upstream did what it was asked, in that time.
    pub fn answered(&mut self, took: Duration) {
        self.answers[self.count % ANSWERS] = took;
        self.count += 1;
    }

    /// The median of the last answers; `None` while there are none.
    pub fn median(&self) -> Option<Duration> {
        let mut known = self.answers;
        let known = &mut known[..self.count.min(ANSWERS)];
        let middle = known.len() / 2;
        (!known.is_empty()).then(|| *known.select_nth_unstable(middle).1)
    }

    /// Whether a call that had no answer after so long had evidently hung: after ten
    /// times the median, and 100 ms. While nothing is known, none has.
    pub fn hangs(&self, after: Duration) -> bool {
        self.median()
            .is_some_and(|median| after > LEAST && after > median.saturating_mul(HANGING))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn latency(answers: impl IntoIterator<Item = u32>) -> Latency {
        let mut latency = Latency::default();
        answers.into_iter().for_each(|ms| latency.answered(ms * MS));
        latency
    }

    #[test]
    fn the_median_of_the_last_answers() {
        assert_eq!(Latency::default().median(), None);
        for (answers, median) in [
            (vec![7], 7),
            (vec![9, 1, 5], 5),
            (vec![1, 1, 1, 1000], 1),
            // The first are forgotten.
            ([vec![1000; 64], vec![3; 64]].concat(), 3),
            ([vec![3; 64], vec![1000; 31]].concat(), 3),
            ([vec![3; 64], vec![1000; 33]].concat(), 1000),
        ] {
            assert_eq!(latency(answers).median(), Some(median * MS));
        }
    }

    #[test]
    fn what_hangs_is_measured_against_what_is_usual() {
        for (answers, after, hangs) in [
            (vec![], 3_600_000, false),
            (vec![20], 200, false),
            (vec![20], 201, true),
            (vec![1], 100, false),
            (vec![1], 101, true),
            (vec![2000], 19_000, false),
            (vec![2000], 20_001, true),
        ] {
            let found = latency(answers.clone()).hangs(after * MS);
            assert_eq!(found, hangs, "{after} ms where {answers:?} are usual");
        }
    }
}
