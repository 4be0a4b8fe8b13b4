//! Rules about jobs for later: how they fare, and how full their store is.

use super::backlog::{Backlog, BacklogLimits, OVERDUE};
use super::figures::{Figures, Limits};
use super::sentence::{Advice, Kind, say};
use crate::batcher::FlushReason;
use crate::observe::records::Recovered;
use crate::observe::words::{age, count, ms, percent, share, things};

/// From so many times `later.max_wait` on the oldest is old: it takes turns with callers'
/// batches then.
const OLD: f64 = 10.0;

/// From this share of `later.job_timeout` on it is about to be given up.
const LATE: f64 = 0.5;

/// From this share of its bounds on a store counts as full.
const FULL: f64 = 0.8;

/// All there is to say of their store.
pub(super) fn of_store(figures: &Figures, limits: &Limits) -> Vec<Advice> {
    let (Some(backlog), Some(bounds)) = (&figures.later, &limits.later) else {
        return Vec::new();
    };
    let rules = [failing_store(backlog), full_store(backlog, bounds)];
    rules.into_iter().flatten().collect()
}

/// All there is to say of them.
pub(super) fn of_jobs(figures: &Figures, limits: &Limits) -> Vec<Advice> {
    let (Some(backlog), Some(bounds)) = (&figures.later, &limits.later) else {
        return Vec::new();
    };
    let rules = [
        overdue(backlog, bounds),
        interrupted(backlog),
        exhausted(backlog),
        fenced(backlog),
        queued_again(backlog),
        old(backlog, bounds, figures, limits),
        unread(backlog, bounds),
    ];
    rules.into_iter().flatten().collect()
}

fn failing_store(backlog: &Backlog) -> Option<Advice> {
    (backlog.store_errors > 0).then(|| {
        let text = format!(
            "The store of jobs for later failed {} in the last minute: what is handed in then is \
             refused with `store-unavailable`, and answers are kept in memory until they can be committed. \
             Callers who wait for their answers notice nothing of it. The log says why: see that the disk \
             has room and may be written, or that Redis is up and answers within `later.timeout`.",
            things(backlog.store_errors, "time")
        );
        say(Kind::Problem, "later.store", text)
    })
}

fn full_store(backlog: &Backlog, bounds: &BacklogLimits) -> Option<Advice> {
    let kept = backlog.queued + backlog.sent + backlog.finished;
    let by_jobs = share(kept as f64, bounds.store.records as f64);
    let by_bytes = share(backlog.bytes as f64, bounds.store.bytes as f64);
    let fill = by_jobs.max(by_bytes);
    if fill < FULL && backlog.store_full == 0 {
        return None;
    }
    let setting = match by_jobs >= by_bytes {
        true => "later.max_jobs",
        false => "later.max_bytes",
    };
    let start = match backlog.store_full {
        0 => "The store of jobs for later fills up".to_owned(),
        refused => format!(
            "{} refused with `store-full` in the last minute",
            jobs_were(refused)
        ),
    };
    let start = format!(
        "{start}: {} are kept, {} of `{setting}`",
        things(kept, "job"),
        percent(fill)
    );
    let text = match backlog.finished >= backlog.queued + backlog.sent {
        true => format!(
            "{start}, and {} of them are finished. Have their answers deleted once they are fetched \
             (`DELETE`), lower `later.keep` ({}), or raise that.",
            backlog.finished,
            age(bounds.keep_ms)
        ),
        false => format!(
            "{start}, and {} of them wait for the upstream: more is handed in than it takes. Raise that \
             if it is so at times, or have less handed in.",
            backlog.queued + backlog.sent
        ),
    };
    let kind = match backlog.store_full {
        0 => Kind::Hint,
        _ => Kind::Problem,
    };
    Some(say(kind, setting, text))
}

fn overdue(backlog: &Backlog, bounds: &BacklogLimits) -> Option<Advice> {
    let finished = &backlog.lately.finished;
    let overdue: u64 = OVERDUE.iter().map(|&code| finished[code]).sum();
    (overdue > 0).then(|| {
        let text = format!(
            "{} not finished within `later.job_timeout` ({}), {} of those that ended in the \
             last minute: their backlog takes longer than that. Raise it, or have less handed in than the \
             upstream takes.",
            jobs_were(overdue),
            age(bounds.job_timeout_ms),
            percent(share(overdue as f64, finished.sum() as f64))
        );
        say(Kind::Problem, "later.job_timeout", text)
    })
}

/// Nobody knows whether the upstream has done them.
fn interrupted(backlog: &Backlog) -> Option<Advice> {
    let interrupted = backlog.recovered[Recovered::Interrupted as usize];
    (interrupted > 0).then(|| {
        let text = format!(
            "{} answered with `interrupted` in the last minute: the process that had sent them was gone \
             before it had kept what came of them. Ask the upstream what it has done before they are handed \
             in again; where it does no harm to send a job twice, `upstream.idempotent` has it sent again.",
            jobs_were(interrupted)
        );
        say(Kind::Problem, "upstream.idempotent", text)
    })
}

fn exhausted(backlog: &Backlog) -> Option<Advice> {
    let exhausted = backlog.recovered[Recovered::AttemptsExhausted as usize];
    (exhausted > 0).then(|| {
        let text = format!(
            "{} answered with `attempts-exhausted` in the last minute: each time that they were sent, as \
             often as `later.max_attempts` allows, the process was gone before it had kept what came of \
             them. They may be what ends it: look for why it ended (memory, its log) before they are handed \
             in again.",
            jobs_were(exhausted)
        );
        say(Kind::Problem, "later.max_attempts", text)
    })
}

fn queued_again(backlog: &Backlog) -> Option<Advice> {
    let again = backlog.recovered[Recovered::QueuedAgain as usize];
    (again > 0).then(|| {
        let text = format!(
            "{} queued again in the last minute, since the process that had sent them was gone before it had \
             kept what came of them: the upstream may have some of them twice (`upstream.idempotent`), and \
             they go in batches of one at first. Look for why that process ended.",
            jobs_were(again)
        );
        say(Kind::Hint, None, text)
    })
}

/// Another process has them by now.
fn fenced(backlog: &Backlog) -> Option<Advice> {
    (backlog.fenced > 0).then(|| {
        let text = format!(
            "{} of jobs for later came in the last minute after their lease was over, and nobody gets them: \
             this process was held up, or Redis was away, for longer than `later.lease`. Raise that, or find \
             what held it up.",
            things(backlog.fenced, "result")
        );
        say(Kind::Problem, "later.lease", text)
    })
}

/// The backlog does not move, or not fast enough.
fn old(
    backlog: &Backlog,
    bounds: &BacklogLimits,
    figures: &Figures,
    limits: &Limits,
) -> Option<Advice> {
    let oldest = backlog.oldest_ms;
    if backlog.queued == 0 || oldest < bounds.max_wait_ms * OLD {
        return None;
    }
    let wait = match backlog.queued {
        1 => "1 job for later waits, for",
        jobs => &format!("{jobs} jobs for later wait, the oldest for"),
    };
    let late = oldest >= bounds.job_timeout_ms * LATE;
    let kind = if late { Kind::Problem } else { Kind::Hint };
    let end = match late {
        true => format!(
            " At `later.job_timeout` ({}) they are given up.",
            age(bounds.job_timeout_ms)
        ),
        false => String::new(),
    };
    let (setting, why) = why_old(backlog, figures, limits);
    let text = format!("{wait} {}: {why}{end}", age(oldest));
    Some(say(kind, setting, text))
}

/// What holds them up most, and what to change.
fn why_old(
    backlog: &Backlog,
    figures: &Figures,
    limits: &Limits,
) -> (Option<&'static str>, String) {
    if figures.circuit_open {
        let why = "the circuit is open, and they are not sent until the upstream answers again.";
        return (None, why.to_owned());
    }
    if figures.is_ruled_by_ids() {
        let why = "batches of waiting callers go first, and these are small, since many of their jobs have \
                   the same `id`.";
        return (None, why.to_owned());
    }
    let busy = percent(figures.slots_busy);
    let more = match limits.adaptive_in_flight {
        true => "more slots would make it slower",
        false => "raise `upstream.max_in_flight` if the upstream bears more",
    };
    if figures.slots_busy >= 0.5 && !figures.is_mostly_later() {
        let why = format!(
            "batches of waiting callers go first, and all slots are taken {busy} of the time; {more}."
        );
        return (Some("upstream.max_in_flight"), why);
    }
    let rate = backlog.lately.finished.sum() as f64 / 60.0;
    let pace = match rate {
        0.0 => "none was finished in the last minute".to_owned(),
        rate => format!(
            "{} were finished in the last minute, and so the others take {}",
            things(backlog.lately.finished.sum(), "job"),
            age(backlog.queued as f64 / rate * 1e3)
        ),
    };
    if figures.slots_busy >= 0.5 {
        let larger = match figures.reason(FlushReason::Size) >= 0.5 {
            true => ", or `batch.max_size` if it takes more at once",
            false => "",
        };
        let why = format!(
            "{pace}. The upstream takes {} for a batch, and all slots are taken {busy} of the time; \
             {more}{larger}.",
            ms(figures.upstream_ms[0])
        );
        return (Some("upstream.max_in_flight"), why);
    }
    let why = format!(
        "{pace}. Slots are free: batches of {} jobs leave, and the upstream takes {} for one.",
        count(figures.mean_size()),
        ms(figures.upstream_ms[0])
    );
    (None, why)
}

fn unread(backlog: &Backlog, bounds: &BacklogLimits) -> Option<Advice> {
    let unread = backlog.lately.expired_unread;
    (unread > 0).then(|| {
        let text = format!(
            "{} of jobs for later expired in the last minute, and nobody had fetched them: they are kept \
             for `later.keep` ({}). Have them fetched sooner or told on a stream (`?stream=NAME`), or raise \
             that.",
            things(unread, "result"),
            age(bounds.keep_ms)
        );
        say(Kind::Hint, "later.keep", text)
    })
}

/// `1 job for later was`, `12 jobs for later were`.
fn jobs_were(jobs: u64) -> String {
    let were = if jobs == 1 { "was" } else { "were" };
    format!("{} for later {were}", things(jobs, "job"))
}
