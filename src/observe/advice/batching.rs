//! Rules about what batches are like, and why.

use super::figures::{Figures, Limits};
use super::sentence::{Advice, Kind, say};
use crate::batcher::FlushReason;
use crate::code::Code;
use crate::observe::words::{count, ms, percent, share, things, things_were};

pub(super) fn equal_ids(figures: &Figures, _: &Limits) -> Option<Advice> {
    (figures.apart() >= 0.01).then(|| {
        let text = format!(
            "{} had to wait for another of the same `id`, {} of those that came: two jobs of one `id` \
             never share a batch. Give each job an `id` of its own.",
            things(figures.kept_apart, "job"),
            percent(figures.apart())
        );
        let kind = match figures.is_ruled_by_ids() {
            true => Kind::Problem,
            false => Kind::Hint,
        };
        say(kind, None, text)
    })
}

pub(super) fn retries(figures: &Figures, _: &Limits) -> Option<Advice> {
    let again = share(figures.retries as f64, figures.batches as f64);
    (again >= 0.01).then(|| {
        let text = format!(
            "{} sent again in the last minute, {} of those that left: callers wait longer for it, and \
             the upstream works more.",
            things_were(figures.retries, "batch"),
            percent(again)
        );
        say(Kind::Hint, "retry.max_attempts", text)
    })
}

/// Whether batches are larger than the upstream takes.
pub(super) fn is_too_large(figures: &Figures) -> bool {
    share(figures.splits_too_large as f64, figures.batches as f64) >= 0.05
}

pub(super) fn too_large(figures: &Figures, _: &Limits) -> Option<Advice> {
    is_too_large(figures).then(|| {
        let text = format!(
            "{} sent again in halves, since the upstream answers 413 to large ones: a lower \
             `batch.max_size` or `batch.max_bytes` spares that.",
            things_were(figures.splits_too_large, "batch")
        );
        say(Kind::Hint, "batch.max_size", text)
    })
}

pub(super) fn bisections(figures: &Figures, _: &Limits) -> Option<Advice> {
    let bisected = figures.splits.saturating_sub(figures.splits_too_large);
    (share(bisected as f64, figures.batches as f64) >= 0.05).then(|| {
        let text = format!(
            "{} sent again in halves to find the jobs that the upstream refuses \
             (`upstream.split_on`): {} refused, and the others were done. Fewer odd jobs would spare \
             calls.",
            things_were(bisected, "batch"),
            things_were(figures.ended()[Code::UpstreamRejectedJob], "job")
        );
        say(Kind::Hint, "upstream.split_on", text)
    })
}

/// Batches are small, either because everybody who calls is in them already, or
/// because the wait ends before others come: never both.
pub(super) fn half_empty(figures: &Figures, limits: &Limits) -> Option<Advice> {
    let (callers, size) = (figures.connections as f64, figures.mean_size());
    let everybody_is_in = size >= callers * 0.8;
    // Where batches are larger than that, a connection has many jobs in at a time.
    let one_each = callers > 0.0 && size <= callers;
    if one_each && everybody_is_in && figures.connections < limits.max_size && figures.fill < 0.9 {
        return Some(few_callers(figures, limits));
    }
    if figures.fill >= 0.5 || limits.adaptive_wait {
        return None;
    }
    let waited = figures.reason(FlushReason::Wait);
    if waited < 0.5 {
        return None;
    }
    let text = match limits.max_wait_ms >= 1.0 {
        true => format!(
            "{} of batches leave on `wait`, {} full: callers pay {} for little company. \
             `batch.wait = \"adaptive\"` would spare it, a longer `batch.max_wait` find more.",
            percent(waited),
            percent(figures.fill),
            ms(limits.max_wait_ms)
        ),
        false => format!(
            "Batches leave without waiting for company, {} full with {} each: a longer \
             `batch.max_wait` ({} now) would find more.",
            percent(figures.fill),
            jobs(size),
            ms(limits.max_wait_ms)
        ),
    };
    let setting = match limits.max_wait_ms >= 1.0 {
        true => "batch.wait",
        false => "batch.max_wait",
    };
    Some(say(Kind::Hint, setting, text))
}

fn few_callers(figures: &Figures, limits: &Limits) -> Advice {
    let pays = figures.reason(FlushReason::Wait) >= 0.5
        && limits.max_wait_ms >= 1.0
        && !limits.adaptive_wait;
    let spare = match pays {
        true => format!(
            " Nobody else comes while they wait {}: `batch.wait = \"adaptive\"` would spare them that.",
            ms(limits.max_wait_ms)
        ),
        false => String::new(),
    };
    let callers = things(figures.connections as u64, "caller");
    let text = format!(
        "{callers} with a job each can't fill batches of {}: the mean is {}. More callers at a time \
         would, or several jobs at a time from one, by HTTP/2.{spare}",
        limits.max_size,
        count(figures.mean_size())
    );
    let setting = if pays { "batch.wait" } else { "batch.max_size" };
    say(Kind::Hint, setting, text)
}

pub(super) fn full_of_bytes(figures: &Figures, _: &Limits) -> Option<Advice> {
    let bytes = figures.reason(FlushReason::Bytes);
    (bytes >= 0.3).then(|| {
        let text = format!(
            "{} of batches leave because the next job would exceed `batch.max_bytes`: raise it if the \
             upstream takes more.",
            percent(bytes)
        );
        say(Kind::Hint, "batch.max_bytes", text)
    })
}

pub(super) fn full_batches(figures: &Figures, limits: &Limits) -> Option<Advice> {
    let size = figures.reason(FlushReason::Size);
    (size >= 0.5).then(|| {
        let text = format!(
            "{} of batches leave full, with {}: a larger `batch.max_size` pays if the upstream takes \
             more at once.",
            percent(size),
            things(limits.max_size as u64, "job")
        );
        say(Kind::Good, "batch.max_size", text)
    })
}

pub(super) fn idle_batches(figures: &Figures, _: &Limits) -> Option<Advice> {
    let idle = figures.reason(FlushReason::Idle);
    (idle >= 0.5).then(|| {
        let text = format!(
            "{} of batches leave at once because nobody is worth waiting for: callers wait {} for \
             their batch.",
            percent(idle),
            ms(figures.wait_ms[0])
        );
        say(Kind::Good, "batch.wait", text)
    })
}

pub(super) fn fine(figures: &Figures) -> Advice {
    let (size, fill) = (jobs(figures.mean_size()), percent(figures.fill));
    let upstream = ms(figures.upstream_ms[0]);
    let time = match figures.jobs + figures.answered() {
        0 => format!("the upstream takes {upstream} for one"),
        _ => format!(
            "callers wait {} for their batch and {upstream} for the upstream",
            ms(figures.wait_ms[0])
        ),
    };
    let text = format!("Nothing stands out: {size} to a batch, {fill} full; {time}.");
    say(Kind::Good, None, text)
}

/// A mean number of jobs.
fn jobs(mean: f64) -> String {
    let number = count(mean);
    match number.as_str() {
        "1" => "1 job".to_owned(),
        _ => format!("{number} jobs"),
    }
}
