//! What a claimer does next, and what becomes of a job that it has claimed: pure, told the
//! time.

use std::time::Duration;

use crate::later::backlog::{Waiting, Which};
use crate::later::clock::millis;
use crate::later::lane::{BatchSize, Leaves, NotSent};
use crate::later::record::Millis;
use crate::observe::Recovered;

/// What of a route's lane matters here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    /// What fills a batch.
    pub batch: BatchSize,
    /// Whether a job may be sent twice.
    pub is_idempotent: bool,
    /// How often a job is sent by processes that end meanwhile.
    pub max_attempts: u32,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Claim these, whatever the lane holds: they are answered.
    Answer(Which),
    /// See what the lane wants. Anything new comes first, and this time.
    Ask {
        /// Whether a batch could leave.
        ready: bool,
        /// What is claimed for one.
        which: Which,
        until: Option<Millis>,
    },
    /// Nothing waits: see what is new, or what is so at this time.
    Rest { until: Option<Millis> },
}

/// What to do about what waits of a route; all that was handed in until `flushed` is to be
/// sent as soon as it can be.
pub(super) fn next(waiting: &Waiting, now: Millis, route: &Route, flushed: Option<Millis>) -> Next {
    let is_over = |time: &Option<Millis>| time.is_some_and(|it| it <= now);
    let lapsed = is_over(&waiting.lapses);
    if waiting.jobs == 0 && !lapsed {
        let until = waiting.lapses;
        return Next::Rest { until };
    }
    if is_over(&waiting.deadline) {
        return Next::Answer(Which::Overdue { now });
    }
    // By itself it is not to be sent.
    if lapsed && !route.is_idempotent {
        return Next::Answer(Which::Any);
    }
    let BatchSize {
        items,
        bytes,
        max_wait,
    } = route.batch;
    let max_wait = millis(max_wait);
    let due = waiting.oldest.map(|it| it.saturating_add(max_wait));
    // By a clock that was set back since, it would be due in days.
    let is_ahead = (waiting.oldest).is_some_and(|it| it > now.saturating_add(max_wait));
    let is_full = waiting.items >= items as u64 || waiting.bytes >= bytes as u64;
    let is_flushed = flushed.is_some_and(|then| waiting.oldest.is_some_and(|it| it <= then));
    let ready = is_full || is_flushed || is_ahead || lapsed || is_over(&due);
    let due_since = now.saturating_sub(max_wait);
    let which = match lapsed || is_flushed || is_ahead {
        true => Which::Any,
        false => Which::Batch { due: due_since },
    };
    let times = [due.filter(|_| !ready), waiting.deadline, waiting.lapses];
    Next::Ask {
        ready,
        which,
        until: times.into_iter().flatten().filter(|&it| it > now).min(),
    }
}

/// What becomes of a claimed job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is sent.
    Sent(Leaves),
    /// It is answered.
    Answered(NotSent),
}

/// What becomes of a job that was claimed `interrupted` times by processes which are gone,
/// and what that is counted as.
pub(super) fn fate(
    interrupted: u32,
    is_overdue: bool,
    leaves: Leaves,
    route: &Route,
) -> (Fate, Option<Recovered>) {
    let answered = Fate::Answered;
    match interrupted {
        0 if is_overdue => (answered(NotSent::Overdue), None),
        0 => (Fate::Sent(leaves), None),
        _ if !route.is_idempotent => {
            let interrupted = Some(Recovered::Interrupted);
            (answered(NotSent::Interrupted), interrupted)
        }
        times if times >= route.max_attempts => {
            let exhausted = Some(Recovered::AttemptsExhausted);
            (answered(NotSent::AttemptsExhausted), exhausted)
        }
        _ if is_overdue => (answered(NotSent::OverdueOnceSent), None),
        // It may be what ended that process.
        _ => (Fate::Sent(Leaves::Alone), Some(Recovered::QueuedAgain)),
    }
}

/// The pause after a claim that has failed, or that found nothing.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
