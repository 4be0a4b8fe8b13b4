//! Counts of the jobs whose answers are fetched later, as their store has them.

use std::time::Duration;

use crate::code::Code;

/// Counts of records, all of one moment: made = deleted + expired + present, and made =
/// finished + deleted before they finished + queued + sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordCounts {
    /// Records present, by state, in the order of [`STATES`](Self::STATES).
    pub present: [u64; 4],
    /// The bytes of their jobs and answers.
    pub bytes: u64,
    /// How long ago the oldest of those that are queued was handed in.
    pub oldest_queued: Option<Duration>,
    /// Records ever made.
    pub accepted: u64,
    /// Records ever finished, by what they came to.
    pub finished: Vec<(Code, u64)>,
    /// Records ever deleted, by the state they had, in the order of
    /// [`STATES`](Self::STATES).
    pub deleted: [u64; 4],
    /// Records that expired and had been read.
    pub expired_read: u64,
    /// Records that expired and that nobody had read.
    pub expired_unread: u64,
}

impl RecordCounts {
    /// The names of the states that a record can be in.
    pub const STATES: [&str; 4] = ["queued", "sent", "done", "failed"];

    /// How many records there are.
    pub fn records(&self) -> u64 {
        self.present.iter().sum()
    }

    /// How full their store is: by records or by bytes, whichever is more; over 1 by what
    /// was on its way.
    pub fn fill(&self, most: RecordBounds) -> f64 {
        let by_records = self.records() as f64 / most.records as f64;
        let by_bytes = self.bytes as f64 / most.bytes as f64;
        by_records.max(by_bytes)
    }
}

/// What a store may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordBounds {
    /// `later.max_jobs`.
    pub records: usize,
    /// `later.max_bytes`.
    pub bytes: usize,
}

/// What a store is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreStep {
    /// To make records.
    Accept,
    /// To note that jobs are about to be sent, or wait again.
    Sent,
    /// To keep answers.
    Finish,
    /// To read a record or a stream.
    Fetch,
    /// To remove a record.
    Delete,
    /// To remove what has expired.
    Expire,
}

impl StoreStep {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Accept,
        Self::Sent,
        Self::Finish,
        Self::Fetch,
        Self::Delete,
        Self::Expire,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Sent => "sent",
            Self::Finish => "finish",
            Self::Fetch => "fetch",
            Self::Delete => "delete",
            Self::Expire => "expire",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: RecordBounds = RecordBounds {
        records: 10,
        bytes: 1_000,
    };

    #[test]
    fn a_store_is_as_full_as_the_fuller_of_its_bounds() {
        for (present, bytes, fill) in [
            ([0; 4], 0, 0.0),
            ([1, 1, 2, 1], 100, 0.5),
            ([1, 0, 0, 0], 900, 0.9),
            ([12, 0, 0, 0], 900, 1.2),
        ] {
            let counts = RecordCounts {
                present,
                bytes,
                ..RecordCounts::default()
            };
            assert_eq!(counts.fill(BOUNDS), fill, "{counts:?}");
        }
    }
}
