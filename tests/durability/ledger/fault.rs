//! What the contract rules out.

/// What the contract rules out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// An accepted job is unknown.
    Lost,
    /// An item reached the upstream too often.
    SentTooOften,
    /// An item reached the upstream that should not have at all.
    Sent,
    /// Two answers, or another item's, or one that can't be.
    Answer,
    /// A state that can't be.
    State,
    /// One key, two jobs.
    Key,
    /// A status that can't be.
    Status,
    /// A record that was deleted is back.
    Undeleted,
    /// A number of a stream that is another job's, a gap, or a job that was not told.
    Stream,
    /// Counts that do not balance.
    Counts,
    /// A process that panicked, or did not do as it was told.
    Process,
}
