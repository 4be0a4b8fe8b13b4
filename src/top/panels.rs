//! The panels: each makes lines of text from the figures, for a width.
//!
//! Pure. Panels of [`BY_IMPORTANCE`] have the same number of lines whatever the
//! figures are, so that nothing moves when they change.

use ratatui::text::{Line, Span};

use super::look::{Look, Tone};
use super::text::{Lines, bar, fit, styled, titled, wrap};
use super::view::{Track, View};
use super::wire::Health;
use super::words::{NONE, count, maybe, ms, percent, span};
use crate::ask::advice::Kind;

/// A panel for so many columns.
type Panel = fn(&View, Look, u16) -> Lines;

/// Those that are left out where there is no room, the last first.
pub(super) const BY_IMPORTANCE: [Panel; 5] = [reasons, outcomes, jobs_track, size_track, sizes];

/// Outcomes with a row of their own; the others share one.
const OUTCOMES: usize = 4;

/// The width of a figure's name.
const NAME: usize = 13;

/// The widest half of the figures.
const HALF: usize = 48;

/// Two rows: who it is, and how it is.
pub(super) fn header(view: &View, look: Look, width: u16) -> Lines {
    let mut who = format!("microbatch {}", view.version);
    let mut up = format!("  up {}", span(view.uptime));
    let mut keys = "q quits";
    let room = |used: &[&str]| {
        let used = used.iter().map(|it| it.chars().count()).sum::<usize>();
        usize::from(width).saturating_sub(used)
    };
    if view.routes > 1 {
        who += &match &view.route {
            Some(route) => format!("  route {route}"),
            None => format!("  all {} routes", view.routes),
        };
        keys = "r next route  q quits";
        let is_narrow = room(&[&who, &up, keys]) == 0;
        if is_narrow && look.keys && room(&[&who, keys]) > 0 {
            up.clear();
        }
    }
    let used = who.chars().count() + up.chars().count();
    let mut first = vec![styled(look, Tone::Title, who), up.into()];
    if look.keys && used + keys.len() < usize::from(width) {
        let blank = usize::from(width) - used - keys.len();
        first.push(" ".repeat(blank).into());
        first.push(styled(look, Tone::Muted, keys.to_owned()));
    }
    vec![Line::from(first), states(view, look)]
}

fn states(view: &View, look: Look) -> Line<'static> {
    if let Some(why) = &view.lost {
        // No state is known any more.
        let text = format!("no answer, trying again: {why}");
        return Line::from(styled(look, Tone::Problem, text));
    }
    let Health { state, kind, text } = &view.health;
    let mut line = vec![styled(look, tone(*kind), text.clone())];
    if !view.ready && state != "draining" {
        line.push(", ".into());
        line.push(styled(look, Tone::Hint, "draining".to_owned()));
    }
    if let Some(circuit) = &view.circuit
        && !state.starts_with("circuit")
    {
        line.push(format!(", circuit {circuit}").into());
    }
    line.push(", connected".into());
    Line::from(line)
}

fn tone(kind: Kind) -> Tone {
    match kind {
        Kind::Problem => Tone::Problem,
        Kind::Hint => Tone::Hint,
        Kind::Good => Tone::Good,
        Kind::Note => Tone::Plain,
    }
}

/// Eight rows: how jobs fare, then how batches do.
pub(super) fn figures(view: &View, look: Look, width: u16) -> Lines {
    let of = |part: u64, whole: u64| format!("{part} of {whole}");
    let most = if view.is_of_several() { "up to " } else { "" };
    let size = format!(
        "{} of {most}{}",
        maybe(view.mean_size),
        view.limits.max_size
    );
    let mut fill = view.fill.map_or(NONE.to_owned(), |fill| percent(fill, 1.0));
    let mut slots = of(view.slots, view.limits.max_in_flight);
    if view.limits.adaptive_in_flight {
        slots += ", adaptive";
    }
    if view.slots_busy > 0.0 {
        slots += &format!(", all {}", percent(view.slots_busy, 1.0));
    }
    let full = |part: u64, whole: u64| match part {
        0 => Tone::Plain,
        part if part >= whole => Tone::Problem,
        _ => Tone::Plain,
    };
    let mut queue = of(view.queue, view.limits.queue_jobs);
    if view.waiting_for_room > 0 {
        queue += &format!(", {} wait for room", view.waiting_for_room);
    }
    if view.kept_apart > 0.0 {
        fill += &format!(", {}/s kept apart", count(view.kept_apart));
    }
    let bad = |rate: f64| match rate {
        0.0 => Tone::Plain,
        _ => Tone::Problem,
    };
    let (success, how) = match view.success {
        None => (NONE.to_owned(), Tone::Title),
        Some(0.0) => (percent(0.0, 1.0), Tone::Problem),
        Some(share) => (percent(share, 1.0), Tone::Title),
    };
    let rate = |n: f64| format!("{}/s", count(n));
    let pair = |one, other| pair(look, width, one, other);
    let plain = Tone::Plain;
    vec![
        pair(
            ("success", success, how),
            ("failed", rate(view.failed), bad(view.failed)),
        ),
        latency(view, look, width, "end to end", view.job, Tone::Plain),
        latency(view, look, width, "waiting", view.wait, Tone::Hint),
        latency(view, look, width, "upstream", view.upstream, Tone::Accent),
        pair(
            ("jobs in", rate(view.jobs), Tone::Title),
            ("batches out", rate(view.batches), Tone::Title),
        ),
        pair(
            ("mean size", size, Tone::Title),
            ("fill", fill, Tone::Title),
        ),
        pair(
            ("queue", queue, full(view.queue, view.limits.queue_jobs)),
            ("slots", slots, full(view.slots, view.limits.max_in_flight)),
        ),
        pair(
            ("connections", view.connections.to_string(), plain),
            ("refused", rate(view.refused), bad(view.refused)),
        ),
    ]
}

/// Two figures side by side.
pub(super) fn pair(
    look: Look,
    width: u16,
    one: (&str, String, Tone),
    other: (&str, String, Tone),
) -> Line<'static> {
    let half = (usize::from(width) / 2).min(HALF);
    let mut line = figure(look, half, one);
    line.extend(figure(look, half, other));
    Line::from(line)
}

fn figure(
    look: Look,
    width: usize,
    (name, value, tone): (&str, String, Tone),
) -> Vec<Span<'static>> {
    let value = fit(&value, width.saturating_sub(NAME + 1));
    let used = NAME + value.chars().count();
    vec![
        styled(look, Tone::Muted, format!("{name:<NAME$}")),
        styled(look, tone, value),
        " ".repeat(width.saturating_sub(used)).into(),
    ]
}

/// A row of the latency: its figures, and a bar as long as its part of the whole.
fn latency(
    view: &View,
    look: Look,
    width: u16,
    name: &str,
    [median, worst]: [Option<f64>; 2],
    tone: Tone,
) -> Line<'static> {
    let figures = format!("p50 {:<9} p99 {:<9} ", ms(median), ms(worst));
    let parts = view.wait[0].unwrap_or(0.0) + view.upstream[0].unwrap_or(0.0);
    let whole = view.job[0].unwrap_or(0.0).max(parts);
    let room = usize::from(width)
        .min(2 * HALF)
        .saturating_sub(NAME + figures.chars().count());
    Line::from(vec![
        styled(look, Tone::Muted, format!("{name:<NAME$}")),
        figures.into(),
        styled(look, tone, bar(median.unwrap_or(0.0), whole, room)),
    ])
}

/// A title and so many rows, or as many as it takes. Where rows are short, the later
/// sentences keep one each, and the first ones are told to the end.
pub(super) fn advice(view: &View, look: Look, width: u16, rows: Option<usize>) -> Lines {
    const INDENT: usize = 9;
    const TITLE: &str = "What limits you, last minute";
    let wide = usize::from(width).saturating_sub(INDENT);
    let mut left = rows.unwrap_or(usize::MAX);
    let mut cut = view.advice.len() > left;
    let mut lines = Vec::new();
    for (at, one) in view.advice.iter().enumerate().take(left) {
        let later = view.advice.len() - at - 1;
        let room = left.saturating_sub(later).max(1);
        let mut told = wrap(&one.text, wide);
        if told.len() > room {
            told.truncate(room);
            cut = true;
            if let Some(last) = told.last_mut() {
                *last = fit(&format!("{last} …"), wide);
            }
        }
        left = left.saturating_sub(told.len());
        for (at, row) in told.into_iter().enumerate() {
            let kind = if at == 0 { one.kind.as_str() } else { "" };
            let kind = styled(look, tone(one.kind), format!("{kind:<INDENT$}"));
            lines.push(Line::from(vec![kind, row.into()]));
        }
        if left == 0 {
            break;
        }
    }
    if let Some(rows) = rows {
        lines.resize(rows, Line::default());
    }
    match cut {
        true => {
            let route = view.route.iter().map(|it| format!(" --route {it}"));
            let route: String = route.collect();
            let title = format!("{TITLE} (all of it: microbatch advice{route})");
            titled(look, &title, lines)
        }
        false => titled(look, TITLE, lines),
    }
}

/// Why batches leave.
fn reasons(view: &View, look: Look, width: u16) -> Lines {
    let all: u64 = view.reasons.iter().map(|(_, n)| n).sum();
    let widest = usize::from(width).saturating_sub(8 + 6 + 8).min(40);
    let rows = view.reasons.iter().map(|(name, n)| {
        let bar = bar(*n as f64, all as f64, widest);
        Line::from(vec![
            format!("{:<7} ", fit(name, 7)).into(),
            styled(look, Tone::Accent, format!("{bar:<widest$}")),
            format!(
                " {:>5} {:>7}",
                percent(*n as f64, all as f64),
                count(*n as f64)
            )
            .into(),
        ])
    });
    titled(look, "Why batches left, last 5 min", rows.collect())
}

/// How jobs ended.
fn outcomes(view: &View, look: Look, width: u16) -> Lines {
    let all: u64 = view.outcomes.iter().map(|(_, n)| n).sum();
    let name = usize::from(width).saturating_sub(6 + 8).min(28);
    let row = |code: &str, n: u64, tone| {
        let figures = format!(
            " {:>5} {:>7}",
            percent(n as f64, all as f64),
            count(n as f64)
        );
        let code = format!("{:<name$}", fit(code, name));
        Line::from(vec![styled(look, tone, code), figures.into()])
    };
    let mut rows: Vec<_> = view
        .outcomes
        .iter()
        .take(OUTCOMES)
        .map(|(code, n)| match code.as_str() {
            "ok" => row(code, *n, Tone::Good),
            "job-error" => row(code, *n, Tone::Hint),
            _ => row(code, *n, Tone::Problem),
        })
        .collect();
    let others: u64 = view.outcomes.iter().skip(OUTCOMES).map(|(_, n)| n).sum();
    if others > 0 {
        rows.push(row("others", others, Tone::Plain));
    }
    if rows.is_empty() {
        rows.push(Line::from("no job was answered"));
    }
    rows.resize(OUTCOMES + 1, Line::default());
    titled(look, "How jobs ended, last 5 min", rows)
}

fn jobs_track(view: &View, look: Look, width: u16) -> Lines {
    track(look, width, "jobs/s", &view.jobs_track)
}

fn size_track(view: &View, look: Look, width: u16) -> Lines {
    track(look, width, "mean size", &view.size_track)
}

/// A title and two rows of bars.
fn track(look: Look, width: u16, name: &str, track: &Track) -> Lines {
    const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let columns = track.columns(u64::from(width));
    let peak = columns.iter().flatten().copied().fold(0.0, f64::max);
    let row = |floor: usize| {
        let cell = |value: &Option<f64>| {
            let value = value.filter(|_| peak > 0.0).unwrap_or(0.0);
            let mut height = (value / peak.max(f64::MIN_POSITIVE) * 16.0).round() as usize;
            if value > 0.0 {
                height = height.max(1);
            }
            EIGHTHS[height.saturating_sub(floor).min(8)]
        };
        let text: String = columns.iter().map(cell).collect();
        Line::from(styled(look, Tone::Accent, text))
    };
    let title = format!("{name}, last 5 min, at most {}", maybe(track.peak()));
    titled(look, &title, vec![row(8), row(0)])
}

/// Batches by size.
fn sizes(view: &View, look: Look, width: u16) -> Lines {
    let most = view.sizes.iter().map(|it| it.batches).max().unwrap_or(0);
    let widest = usize::from(width).saturating_sub(14 + 9).min(40);
    let rows = view.sizes.iter().map(|size| {
        let range = match size.from == size.to {
            true => size.from.to_string(),
            false => format!("{}–{}", size.from, size.to),
        };
        let bar = bar(size.batches as f64, most as f64, widest);
        Line::from(vec![
            format!("{range:<14}").into(),
            styled(look, Tone::Accent, format!("{bar:<widest$}")),
            format!(" {:>8}", count(size.batches as f64)).into(),
        ])
    });
    titled(look, "Batches by size, last 5 min", rows.collect())
}
