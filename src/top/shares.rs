//! Jobs by how they ended, over some seconds.

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
        let own = || Code::ALL.iter().filter(|code| code.is_own());
        let mut shares = Self::default();
        for second in seconds {
            shares.refused += second.refused;
            for (name, count) in &second.outcomes {
                if name == Code::Ok.as_str() {
                    shares.ok += count;
                } else if own().any(|code| code.as_str() == name) {
                    shares.errors += count;
                } else {
                    shares.failed += count;
                }
            }
        }
        shares
    }

    /// The share of those that have their result; none without any.
    pub(super) fn success(self) -> Option<f64> {
        let all = self.ok + self.errors + self.failed + self.refused;
        (all > 0).then(|| self.ok as f64 / all as f64)
    }
}
