//! What the rules about jobs for later look at.

use crate::code::Code;
use crate::observe::by_code::ByCode;
use crate::observe::live::{Counts, ForLater};
use crate::observe::records::{RecordBounds, Records, Recovered};

/// What a job for later comes to that was not finished within `later.job_timeout`.
pub(super) const OVERDUE: [Code; 2] = [Code::QueueTimeout, Code::DeadlineExceeded];

/// What a job for later comes to that processes had sent which are gone.
const GIVEN_UP: [Code; 2] = [Code::Interrupted, Code::AttemptsExhausted];

/// The jobs for later: what there is of them, and what became of others in the last
/// minute.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Backlog {
    /// Those that wait.
    pub queued: u64,
    /// Those at the upstream.
    pub sent: u64,
    /// Those that are finished and kept.
    pub finished: u64,
    /// The bytes of all of them.
    pub bytes: u64,
    /// How long the oldest that waits has done so, in milliseconds.
    pub oldest_ms: f64,
    /// What became of others.
    pub lately: ForLater,
    /// Those for which there was no room.
    pub store_full: u64,
    /// How often their store failed.
    pub store_errors: u64,
    /// Those that a process had sent which is gone, by what became of them, in the order of
    /// [`Recovered::ALL`].
    pub recovered: [u64; Recovered::ALL.len()],
    /// What came of those that were no longer this process's.
    pub fenced: u64,
}

/// The settings of jobs for later that the rules look at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BacklogLimits {
    /// `later.max_jobs` and `later.max_bytes`.
    pub store: RecordBounds,
    /// `later.max_wait`, in milliseconds.
    pub max_wait_ms: f64,
    /// `later.keep`, in milliseconds.
    pub keep_ms: f64,
    /// `later.job_timeout`, in milliseconds.
    pub job_timeout_ms: f64,
}

impl Backlog {
    pub(super) fn of(records: &Records, lately: ForLater, all: &Counts) -> Self {
        let [queued, sent, done, failed] = records.counts.present;
        let oldest = records.counts.oldest_queued.unwrap_or_default();
        Self {
            queued,
            sent,
            finished: done + failed,
            bytes: records.counts.bytes,
            oldest_ms: oldest.as_secs_f64() * 1e3,
            lately,
            store_full: all.store_full,
            store_errors: all.store_errors,
            recovered: all.recovered,
            fenced: all.fenced,
        }
    }

    /// Whether there are none that wait, and nothing became of others.
    pub(super) fn is_quiet(&self) -> bool {
        let recovered: u64 = self.recovered.iter().sum();
        let store = self.store_full + self.store_errors;
        self.queued + self.sent + store + recovered + self.fenced == 0
            && self.lately == ForLater::default()
    }

    /// Those that were finished by what they came to, but for those whose time was over and
    /// those that processes had which are gone: these have rules of their own.
    pub(super) fn ended(&self) -> ByCode {
        let mut ended = self.lately.finished;
        let apart = OVERDUE.iter().chain(&GIVEN_UP);
        apart.for_each(|&code| ended[code] = 0);
        ended
    }
}
