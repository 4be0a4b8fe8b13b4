//! What became of jobs, counted by outcome.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::code::Code;

/// Counts of jobs by what they came to.
#[derive(Debug)]
pub struct Tally {
    answered: Box<[AtomicU64]>,
    refused: Box<[AtomicU64]>,
}

impl Default for Tally {
    fn default() -> Self {
        let zeros = || Code::ALL.iter().map(|_| AtomicU64::new(0)).collect();
        Self {
            answered: zeros(),
            refused: zeros(),
        }
    }
}

impl Tally {
    /// A job that had entered the queue was answered.
    pub fn answered(&self, outcome: Code) {
        self.answered[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A request was answered that never entered the queue.
    pub fn refused(&self, code: Code) {
        self.refused[code as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many jobs were answered that had entered the queue.
    pub fn total_answered(&self) -> u64 {
        sum(&self.answered)
    }

    /// How many requests were answered that never entered the queue.
    pub fn total_refused(&self) -> u64 {
        sum(&self.refused)
    }

    /// The answered by outcome, as `ok=12 job-error=3`.
    pub fn outcomes(&self) -> impl fmt::Display + '_ {
        ByCode(&self.answered)
    }

    /// The refused by code, in the same way.
    pub fn refusals(&self) -> impl fmt::Display + '_ {
        ByCode(&self.refused)
    }
}

fn sum(counts: &[AtomicU64]) -> u64 {
    counts.iter().map(|it| it.load(Ordering::Relaxed)).sum()
}

struct ByCode<'a>(&'a [AtomicU64]);

impl fmt::Display for ByCode<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = Code::ALL
            .iter()
            .zip(self.0)
            .map(|(code, count)| (code, count.load(Ordering::Relaxed)))
            .filter(|&(_, count)| count > 0);
        for (i, (code, count)) in counts.enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{code}={count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_told_by_code() {
        let tally = Tally::default();
        assert_eq!(tally.outcomes().to_string(), "");
        tally.answered(Code::JobError);
        tally.answered(Code::Ok);
        tally.answered(Code::Ok);
        tally.refused(Code::QueueFull);
        assert_eq!(tally.outcomes().to_string(), "ok=2 job-error=1");
        assert_eq!(tally.refusals().to_string(), "queue-full=1");
        assert_eq!((tally.total_answered(), tally.total_refused()), (3, 1));
    }
}
