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
}

/// What a store may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordBounds {
    /// `later.max_jobs`.
    pub records: usize,
    /// `later.max_bytes`.
    pub bytes: usize,
}

/// The records at one moment, and what their store may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records {
    /// What is counted.
    pub counts: RecordCounts,
    /// The bounds.
    pub bounds: RecordBounds,
}

impl Records {
    /// How full the store is: by records or by bytes, whichever is more; over 1 by what
    /// was on its way.
    pub fn fill(&self) -> f64 {
        let by_records = self.counts.records() as f64 / self.bounds.records as f64;
        let by_bytes = self.counts.bytes as f64 / self.bounds.bytes as f64;
        by_records.max(by_bytes)
    }
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

    #[test]
    fn a_store_is_as_full_as_the_fuller_of_its_bounds() {
        for (present, bytes, fill) in [
            ([0; 4], 0, 0.0),
            ([1, 1, 2, 1], 100, 0.5),
            ([1, 0, 0, 0], 900, 0.9),
            ([12, 0, 0, 0], 900, 1.2),
        ] {
            let records = Records {
                counts: RecordCounts {
                    present,
                    bytes,
                    ..RecordCounts::default()
                },
                bounds: RecordBounds {
                    records: 10,
                    bytes: 1_000,
                },
            };
            assert_eq!(records.fill(), fill, "{records:?}");
        }
    }
}
