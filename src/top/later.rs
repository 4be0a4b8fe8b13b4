//! The panel of the jobs for later, which is there once one was handed in.

use super::look::{Look, Tone};
use super::panels::pair;
use super::text::Lines;
use super::view::{LaterView, View};
use super::words::{NONE, count, ms, percent, span};

/// From this share of its bounds on a store is told to be nearly full.
const NEARLY_FULL: f64 = 0.8;

/// Three rows, one more where jobs were recovered or results dropped, or none.
pub(super) fn later(view: &View, look: Look, width: u16) -> Lines {
    let Some(later) = &view.later else {
        return Vec::new();
    };
    let there = &later.present;
    let records = there.queued + there.sent + there.done + there.failed;
    let fill = |part: u64, most: u64| part as f64 / most.max(1) as f64;
    let by_records = fill(records, there.max_jobs);
    let full = by_records.max(fill(there.bytes, there.max_bytes));
    let rate = |n: f64| format!("{}/s", count(n));
    let number = |n: u64| count(n as f64);
    let mut backlog = format!("{} wait", number(there.queued));
    if there.sent > 0 {
        backlog += &format!(", {} sent", number(there.sent));
    }
    let oldest = there.oldest_queued_ms.map_or(NONE.to_owned(), |it| {
        if it < 60e3 {
            ms(Some(it))
        } else {
            span(it / 1e3)
        }
    });
    let mut finished = rate(later.finished);
    if later.failed > 0.0 {
        finished += &format!(", {} failed", rate(later.failed));
    }
    let failing = if later.failed > 0.0 {
        Tone::Problem
    } else {
        Tone::Plain
    };
    let mut kept = number(there.done + there.failed);
    if there.failed > 0 {
        kept += &format!(", {} failed", number(there.failed));
    }
    let mut store = percent(full, 1.0);
    if view.route.is_some() {
        store += " by this route";
    }
    if later.expired_unread > 0 {
        store += &format!(", {} expired unread", number(later.expired_unread));
    }
    let how = match full {
        full if full >= 1.0 => Tone::Problem,
        full if full >= NEARLY_FULL || later.expired_unread > 0 => Tone::Hint,
        _ => Tone::Plain,
    };
    let pair = |one, other| pair(look, width, one, other);
    let mut rows = vec![
        pair(
            ("for later", backlog, Tone::Title),
            ("oldest waits", oldest, Tone::Title),
        ),
        pair(
            ("finished", finished, failing),
            ("free places", rate(later.free_seats), Tone::Plain),
        ),
        pair(("kept", kept, Tone::Plain), ("store", store, how)),
    ];
    rows.extend(recovered(later).map(|(recovered, how)| {
        let fenced = match later.fenced {
            0 => (NONE.to_owned(), Tone::Plain),
            results => (format!("{} results", number(results)), Tone::Problem),
        };
        pair(
            ("recovered", recovered, how),
            ("fenced", fenced.0, fenced.1),
        )
    }));
    rows
}

/// What became of those that a process had sent which is gone, where anything is to be told.
fn recovered(later: &LaterView) -> Option<(String, Tone)> {
    let each = later.recovered.iter().map(|(how, n)| {
        let how = how.replace('_', " ");
        format!("{} {how}", count(*n as f64))
    });
    let each: Vec<_> = each.collect();
    let again = |it: &(String, u64)| it.0 == "queued_again";
    match (each.as_slice(), later.fenced) {
        ([], 0) => None,
        ([], _) => Some((NONE.to_owned(), Tone::Plain)),
        _ if later.recovered.iter().all(again) => Some((each.join(", "), Tone::Hint)),
        _ => Some((each.join(", "), Tone::Problem)),
    }
}
