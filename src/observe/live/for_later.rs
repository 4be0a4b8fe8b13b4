//! What became of the jobs for later in one second.

use crate::observe::by_code::ByCode;
use crate::observe::records::RecordCounts;

/// What became of jobs for later, in one second or up to one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForLater {
    /// Those that were taken.
    pub handed_in: u64,
    /// Those that were finished, by what they came to.
    pub finished: ByCode,
    /// Results that expired and that nobody had read.
    pub expired_unread: u64,
}

impl ForLater {
    /// All up to a moment.
    pub(super) fn of(counts: &RecordCounts) -> Self {
        let mut finished = ByCode::default();
        for &(code, count) in &counts.finished {
            finished[code] += count;
        }
        Self {
            handed_in: counts.accepted,
            finished,
            expired_unread: counts.expired_unread,
        }
    }

    /// Two of them as one.
    #[must_use]
    pub fn with(&self, other: &Self, f: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            handed_in: f(self.handed_in, other.handed_in),
            finished: self.finished.with(&other.finished, &f),
            expired_unread: f(self.expired_unread, other.expired_unread),
        }
    }
}

/// Those that wait or are at the upstream.
pub(super) fn backlog(counts: &RecordCounts) -> u64 {
    let [queued, sent, _, _] = counts.present;
    queued + sent
}
