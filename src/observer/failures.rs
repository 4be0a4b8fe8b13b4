//! The log lines of failed batches: one by one up to ten in ten seconds, then as a
//! count by outcome, which is told when the ten seconds are over or with the next
//! line, so that an outage does not flood the log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};
use tracing::warn;
use uuid::Uuid;

use crate::code::Code;
use crate::live::FailedAnswer;
use crate::throttle::{Admission, Counts, Throttle};

/// How many are told one by one …
const LINES: u32 = 10;

/// … within this time.
const SPAN: Duration = Duration::from_secs(10);

/// A batch that failed, as its line tells it.
#[derive(Clone, Debug)]
pub struct FailedBatch {
    /// Its id.
    pub id: Uuid,
    /// How many jobs were in it.
    pub jobs: usize,
    /// What it came to.
    pub outcome: Code,
    /// How often it was sent.
    pub attempts: u32,
    /// From leaving to failing.
    pub took: Duration,
    /// What went wrong.
    pub cause: String,
    /// The answer, where there was one.
    pub answer: Option<FailedAnswer>,
}

/// Tells of failed batches.
#[derive(Clone, Debug)]
pub struct FailureLog(Arc<Mutex<Throttle<Code>>>);

impl Default for FailureLog {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Throttle::new(LINES, SPAN))))
    }
}

impl FailureLog {
    /// One more has failed.
    pub fn tell(&self, failed: &FailedBatch) {
        let admission = self.lock().admit(failed.outcome, Instant::now());
        match admission {
            Admission::Told(untold) => {
                summary(&untold);
                line(failed);
            }
            Admission::Counted(Some(ends)) => self.tell_rest_at(ends),
            Admission::Counted(None) => {}
        }
    }

    /// Tells of those that were only counted so far: the process ends.
    pub fn tell_rest(&self) {
        let untold = self.lock().take_all();
        summary(&untold);
    }

    fn tell_rest_at(&self, ends: Instant) {
        let log = self.clone();
        // Without a runtime, or when it ends first, the next line tells.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            sleep_until(ends).await;
            let untold = log.lock().take(Instant::now());
            summary(&untold);
        });
    }

    fn lock(&self) -> MutexGuard<'_, Throttle<Code>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn summary(untold: &Counts<Code>) {
    if !untold.is_empty() {
        warn!(
            batches = untold.total(),
            outcomes = %untold,
            "more batches failed"
        );
    }
}

fn line(failed: &FailedBatch) {
    let answer = failed.answer.as_ref();
    let text = |field: fn(&FailedAnswer) -> &Option<String>| field(answer?).as_deref();
    warn!(
        batch_id = %failed.id,
        size = failed.jobs,
        outcome = failed.outcome.as_str(),
        attempts = failed.attempts,
        duration_ms = failed.took.as_micros() as f64 / 1e3,
        cause = failed.cause,
        upstream_status = answer.map(|it| it.upstream_status),
        location = text(|it| &it.location),
        content_type = text(|it| &it.content_type),
        content_encoding = text(|it| &it.content_encoding),
        excerpt = text(|it| &it.excerpt),
        "batch failed"
    );
}
