//! Counts of the jobs whose answers are fetched later, as their store has them.

use crate::code::Code;

/// Counts of records, all of one moment: made = deleted + expired + present, and made =
/// finished + deleted before they finished + queued + sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordCounts {
    /// Records present, by state, in the order of [`State::ALL`].
    pub present: [u64; 4],
    /// The bytes of their jobs and answers.
    pub bytes: u64,
    /// When the oldest of those that are queued was handed in, in milliseconds since the epoch.
    pub oldest_queued: Option<u64>,
    /// Records ever made.
    pub accepted: u64,
    /// Records ever finished, by what they came to.
    pub finished: Vec<(Code, u64)>,
    /// Records ever deleted, by the state they had, in the order of [`State::ALL`].
    pub deleted: [u64; 4],
    /// Records that expired and had been read.
    pub expired_read: u64,
    /// Records that expired and that nobody had read.
    pub expired_unread: u64,
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
