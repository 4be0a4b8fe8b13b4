//! The log lines of failed batches: one by one up to ten in ten seconds, then as a
//! count by outcome and by route, which is told when the ten seconds are over or with the
//! next line, so that an outage does not flood the log, however many routes it is of.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use crate::code::Code;
use crate::observe::event::FailedJobs;
use crate::observe::failed_answer::FailedAnswer;
use crate::throttle::{Admission, Counts, Throttle};

/// How many are told one by one …
const LINES: u32 = 10;

/// … within this time.
const SPAN: Duration = Duration::from_secs(10);

/// Tells of failed batches, those of all routes.
#[derive(Clone, Debug)]
pub struct FailureLog(Arc<Mutex<Throttle<Kind>>>);

/// The route of a failed batch, and what it came to.
type Kind = (Arc<str>, Code);

impl Default for FailureLog {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Throttle::new(LINES, SPAN))))
    }
}

impl FailureLog {
    /// One more has failed.
    pub fn tell(&self, route: &Arc<str>, failed: &FailedJobs, attempts: u32) {
        let kind = (Arc::clone(route), failed.outcome);
        let admission = self.lock().admit(kind, Instant::now());
        match admission {
            Admission::Told(untold) => {
                summary(&untold);
                line(route, failed, attempts);
            }
            Admission::Counted(ends) => {
                detail(route, failed, attempts);
                if let Some(ends) = ends {
                    self.tell_rest_at(ends);
                }
            }
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

    fn lock(&self) -> MutexGuard<'_, Throttle<Kind>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn summary(untold: &Counts<Kind>) {
    if !untold.is_empty() {
        warn!(
            batches = untold.total(),
            routes = %untold.by(|(route, _)| Arc::clone(route)),
            outcomes = %untold.by(|&(_, outcome)| outcome),
            "more batches failed"
        );
    }
}

/// What is known of a failed batch, at a level.
macro_rules! tell {
    ($level:ident, $route:expr, $failed:expr, $attempts:expr, $message:literal) => {{
        let failed: &FailedJobs = $failed;
        let answer = failed.answer.as_ref();
        let text = |field: fn(&FailedAnswer) -> &Option<String>| field(answer?).as_deref();
        $level!(
            route = $route,
            batch_id = %failed.batch_id,
            size = failed.size,
            outcome = failed.outcome.as_str(),
            attempts = $attempts,
            duration_ms = failed.took.as_micros() as f64 / 1e3,
            cause = failed.cause,
            upstream_status = answer.map(|it| it.upstream_status),
            location = text(|it| &it.location),
            content_type = text(|it| &it.content_type),
            content_encoding = text(|it| &it.content_encoding),
            excerpt = text(|it| &it.excerpt),
            $message
        );
    }};
}

fn line(route: &str, failed: &FailedJobs, attempts: u32) {
    tell!(warn, route, failed, attempts, "batch failed");
}

/// One that is only counted so far: at level debug each is seen.
fn detail(route: &str, failed: &FailedJobs, attempts: u32) {
    tell!(debug, route, failed, attempts, "one more batch failed");
}
