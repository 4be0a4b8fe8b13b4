//! Jobs by how they ended, over some seconds.

use std::collections::BTreeMap;

use super::wire::Second;
use crate::code::Code;

/// Jobs by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shares {
    pub ok: u64,
    /// Answered with an error of the job's own.
    pub errors: u64,
    /// Answered with any other.
    pub failed: u64,
    /// Not taken in.
    pub refused: u64,
}

impl Shares {
    pub(super) fn of<'a>(seconds: impl Iterator<Item = &'a Second>) -> Self {
        let mut shares = Self::default();
        for second in seconds {
            shares.refused += second.refused;
            shares.count(&second.outcomes);
        }
        shares
    }

    /// Those of jobs for later.
    pub(super) fn of_later<'a>(seconds: impl Iterator<Item = &'a Second>) -> Self {
        let mut shares = Self::default();
        let later = seconds.filter_map(|second| second.later.as_ref());
        later.for_each(|later| shares.count(&later.outcomes));
        shares
    }

    fn count(&mut self, outcomes: &BTreeMap<String, u64>) {
        let own = || Code::ALL.iter().filter(|code| code.is_own());
        for (name, count) in outcomes {
            if name == Code::Ok.as_str() {
                self.ok += count;
            } else if own().any(|code| code.as_str() == name) {
                self.errors += count;
            } else {
                self.failed += count;
            }
        }
    }

    /// All of them, but for those that were not taken in.
    pub(super) fn ended(self) -> u64 {
        self.ok + self.errors + self.failed
    }

    /// The share of those that have their result; none without any.
    pub(super) fn success(self) -> Option<f64> {
        let all = self.ended() + self.refused;
        (all > 0).then(|| self.ok as f64 / all as f64)
    }
}
