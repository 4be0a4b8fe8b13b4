//! How far a job has come whose answer is fetched later.

/// How far a record has come. `queued` → `sent` → `done` or `failed`, and back to `queued`
/// while a retry waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits to be sent.
    Queued,
    /// The upstream may have it.
    Sent,
    /// It has an answer with a status below 400.
    Done,
    /// It has an answer with a status from 400 on.
    Failed,
}

impl State {
    /// All of them, in their order.
    pub const ALL: [Self; 4] = [Self::Queued, Self::Sent, Self::Done, Self::Failed];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// Whether it has an answer.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Done | Self::Failed)
    }
}
