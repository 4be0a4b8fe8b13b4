//! What is set about answers fetched later.

use std::time::Duration;

/// Where records are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// In memory, until the process ends.
    Memory,
    /// Nowhere: every caller waits for its answer.
    Off,
}

/// The bounds and times of records.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Most records there may be.
    pub max_jobs: usize,
    /// Most bytes of their jobs and answers: a record counts for its job until it is
    /// finished, and for its answer from then on.
    pub max_bytes: usize,
    /// How long a finished record is kept.
    pub keep: Duration,
    /// The longest that a job may take to finish, from when it was handed in.
    pub job_timeout: Duration,
    /// The longest that a job waits for company.
    pub max_wait: Duration,
    /// How often a job is sent that may be sent twice, where processes end that have sent
    /// it.
    pub max_attempts: u32,
}
