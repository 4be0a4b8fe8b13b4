//! The panel of what failed last. Pure.

use ratatui::text::Line;

use super::look::{Look, Tone};
use super::text::{Lines, fit, styled, titled};
use super::view::View;
use super::wire::Failure;
use super::words::{ago, ms};

/// What failed last, by cause: what and how often, then why, then the answer's first
/// characters. Nothing where nothing did.
pub(super) fn failures(view: &View, look: Look, width: u16) -> Lines {
    if view.failures.is_empty() {
        return Vec::new();
    }
    const INDENT: &str = "  ";
    let wide = usize::from(width).saturating_sub(INDENT.len());
    let mut rows = Vec::new();
    for it in &view.failures {
        let when = ago(view.now - it.t);
        rows.push(Line::from(vec![
            styled(look, Tone::Problem, of_route(it) + &it.outcome),
            format!("  {}  last {when}", how_many(it)).into(),
        ]));
        let (why, which) = (why(it), which(it));
        let excerpt = it.excerpt.clone().unwrap_or_default();
        let indented = |text: &str| format!("{INDENT}{}", fit(text, wide));
        // Beside each other where there is room.
        let both = [&*why, &*which]
            .map(|it| it.chars().count())
            .iter()
            .sum::<usize>()
            + 3;
        if !why.is_empty() && both <= wide {
            rows.push(Line::from(vec![
                format!("{INDENT}{why}   ").into(),
                styled(look, Tone::Muted, which.clone()),
            ]));
        } else if !why.is_empty() {
            rows.push(indented(&why).into());
        }
        if !excerpt.is_empty() {
            rows.push(styled(look, Tone::Muted, indented(&excerpt)).into());
        }
        if (why.is_empty() || both > wide) && !which.is_empty() {
            rows.push(styled(look, Tone::Muted, indented(&which)).into());
        }
    }
    titled(look, "Last failed batches, by cause", rows)
}

fn things(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// Before what is said of a route beside others.
fn of_route(it: &Failure) -> String {
    let route = it.route.as_ref();
    route.map(|it| format!("{it}: ")).unwrap_or_default()
}

fn how_many(it: &Failure) -> String {
    let batches = it.count.map(|n| things(n, "batch", "batches"));
    let jobs = it.jobs.or(it.size).map(|n| things(n, "job", "jobs"));
    let both: Vec<_> = [batches, jobs].into_iter().flatten().collect();
    both.join(", ")
}

/// In our words, and in what the upstream's answer shows.
fn why(it: &Failure) -> String {
    let parts = [
        it.cause.clone(),
        it.upstream_status.map(|status| format!("status {status}")),
        it.location.as_ref().map(|to| format!("pointed to {to}")),
        it.content_type.clone(),
        it.content_encoding
            .as_ref()
            .map(|how| format!("compressed ({how})")),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    parts.join(", ")
}

/// The last of them.
fn which(it: &Failure) -> String {
    let Some(id) = &it.batch_id else {
        return String::new();
    };
    match it.duration_ms {
        Some(took) => format!("batch {id}, {}", ms(Some(took))),
        None => format!("batch {id}"),
    }
}
