//! Rules about how much comes in, and how much of it the upstream takes.

use super::backlog::Backlog;
use super::figures::{Figures, Limits};
use super::sentence::{Advice, Kind, say};
use crate::batcher::FlushReason;
use crate::observe::words::{ms, percent, share, things, things_were};

/// From this share of `queue.max_jobs` on a queue counts as full.
const FULL: f64 = 0.8;

/// Whether there is nothing to do, and was not.
pub(super) fn is_quiet(figures: &Figures) -> bool {
    let nothing = figures.jobs == 0 && figures.batches == 0 && figures.answered() == 0;
    let quiet = figures.later.as_ref().is_none_or(Backlog::is_quiet);
    nothing && quiet && figures.queue_full == 0
}

/// Nobody hands anything in. `jobs` is whether there is a route of that name.
pub(super) fn no_jobs(figures: &Figures, jobs: bool) -> Option<Advice> {
    (is_quiet(figures) && figures.refused == 0).then(|| {
        let send = match jobs {
            true => ": `POST /jobs` on `server.listen`, with a body such as `{\"id\":\"1\"}`",
            false => " to the `path` of a route, on `server.listen`",
        };
        let text = format!("No job came in the last minute. Send one{send}.");
        say(Kind::Hint, "server.listen", text)
    })
}

/// What is handed in is no job, or for nobody.
pub(super) fn all_refused(figures: &Figures) -> Option<Advice> {
    (is_quiet(figures) && figures.refused > 0).then(|| {
        let text = format!(
            "No job was taken in the last minute, and {} refused: each answer says why, and \
             `jobs_refused_total` counts them by code.",
            things_were(figures.refused, "request")
        );
        say(Kind::Hint, "server.listen", text)
    })
}

/// Whether more comes in than the upstream takes, so that batches are no matter of
/// how many callers there are.
pub(super) fn is_overloaded(figures: &Figures, limits: &Limits) -> bool {
    full_queue(figures, limits).is_some() || busy_slots(figures, limits).is_some()
}

pub(super) fn full_queue(figures: &Figures, limits: &Limits) -> Option<Advice> {
    let taken = share(figures.queue_jobs as f64, limits.queue_jobs as f64);
    let most = things(figures.queue_jobs as u64, "job");
    let because = "more comes in than the upstream takes";
    let setting = match taken >= FULL {
        true => "queue.max_jobs",
        false => "queue.max_bytes",
    };
    let text = if figures.queue_full > 0 {
        let came = (figures.jobs + figures.queue_full) as f64;
        let share = percent(share(figures.queue_full as f64, came));
        let refused = things_were(figures.queue_full, "job");
        let why = match (taken >= FULL, limits.waits_for_room) {
            (true, false) => format!("{most} waited at once, and {because}"),
            (true, true) => format!("no room came until their deadline, since {because}"),
            // The queue has other bounds.
            (false, _) if figures.apart() >= 0.01 => {
                "jobs that wait for their own `id` may take a tenth of the queue".to_owned()
            }
            (false, _) => format!("{most} filled `queue.max_bytes`, and {because}"),
        };
        format!("{refused} refused with `queue-full`, {share} of those that came: {why}.")
    } else if figures.waiting_for_room > 0 {
        let waited = things(figures.waiting_for_room as u64, "job");
        format!(
            "{waited} waited for room in the queue at once, beside {most} in it: callers wait longer, \
             and none was refused. The queue is full, since {because}."
        )
    } else if taken >= FULL {
        let then = match limits.waits_for_room {
            true => "wait for room",
            false => "are refused",
        };
        format!(
            "{most} waited at once, {} of `queue.max_jobs`: beyond that they {then}, and {because}.",
            percent(taken)
        )
    } else {
        return None;
    };
    Some(say(Kind::Problem, setting, text))
}

pub(super) fn busy_slots(figures: &Figures, limits: &Limits) -> Option<Advice> {
    let wait = figures.wait_ms[0];
    (figures.slots_busy >= 0.5 && wait > limits.max_wait_ms * 1.5 + 1.0).then(|| {
        let slots = match figures.slots {
            1 => "The only slot is".to_owned(),
            slots => format!("All {slots} slots are"),
        };
        let more = match limits.adaptive_in_flight {
            true => "more slots would make it slower",
            false => "raise `upstream.max_in_flight` if it bears more",
        };
        let larger = match figures.reason(FlushReason::Size) >= 0.5 {
            true => ", or `batch.max_size` if it takes more at once",
            false => "",
        };
        let text = format!(
            "{slots} taken {} of the time, and jobs wait {} for one: the upstream limits you, with {} \
             for a batch. Have it answer sooner; {more}{larger}.",
            percent(figures.slots_busy),
            ms(wait),
            ms(figures.upstream_ms[0])
        );
        say(Kind::Problem, "upstream.max_in_flight", text)
    })
}

pub(super) fn lines_dropped(figures: &Figures) -> Option<Advice> {
    (figures.log_lines_dropped > 0).then(|| {
        let text = format!(
            "{} dropped in the last minute: who reads standard error is too slow for what is logged. \
             Have it read faster, or set `log.level` to tell less.",
            things_were(figures.log_lines_dropped, "log line")
        );
        say(Kind::Hint, "log.level", text)
    })
}
