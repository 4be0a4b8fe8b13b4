//! A frame: which panels there are, and where they stand.
//!
//! Pure: figures in, cells out. It promises to draw into any area, however small,
//! and that panels change their places with the area's size alone, not with the
//! figures; but for the failed batches, which take what is left at the bottom, and for jobs
//! for later, which are there once one was handed in.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Widget;

use super::look::{Look, Tone};
use super::view::View;
use super::{failures, later, panels};

/// Rows from which there are blank ones between panels.
const ROOMY: u16 = 34;

/// Columns between panels that stand side by side.
const GUTTER: u16 = 3;

/// Rows that are kept for what failed, a title's and a gap's included: for one cause,
/// and where a frame is roomy for some.
const FAILURES: [u16; 2] = [3, 9];

/// Draws a frame.
pub(super) fn draw(view: &View, look: Look, area: Rect, cells: &mut Buffer) {
    let area = area.intersection(cells.area);
    let roomy = area.height >= ROOMY;
    let gap = u16::from(roomy);
    let mut rest = area;
    put(&panels::header(view, look, area.width), &mut rest, cells);
    skip(gap, &mut rest);
    put(&panels::figures(view, look, area.width), &mut rest, cells);
    skip(gap, &mut rest);
    let later = later::later(view, look, area.width);
    if !later.is_empty() {
        put(&later, &mut rest, cells);
        skip(gap, &mut rest);
    }
    // On paper nothing moves.
    let sentences = look.keys.then_some(if roomy { 6 } else { 5 });
    let advice = panels::advice(view, look, area.width, sentences);
    put(&advice, &mut rest, cells);
    skip(gap, &mut rest);

    let failures = failures::failures(view, look, area.width);
    let kept = (failures.len() as u16 + gap).min(FAILURES[usize::from(roomy)]);
    let kept = if failures.is_empty() {
        0
    } else {
        kept.min(rest.height)
    };
    let mut grid = rest;
    grid.height -= kept;
    skip(columns(view, look, grid, gap, cells), &mut rest);
    // A title alone would say nothing.
    if rest.height >= 2 {
        put(&failures, &mut rest, cells);
    }
    if view.lost.is_some() {
        // Old figures look old; the header says why.
        let below = Rect {
            y: area.y.saturating_add(2),
            ..area
        }
        .intersection(area);
        cells.set_style(below, look.style(Tone::Muted));
    }
}

/// The panels side by side, the most important first, each below the shortest
/// column so far; those that do not fit are left out. How many rows they take.
fn columns(view: &View, look: Look, area: Rect, gap: u16, cells: &mut Buffer) -> u16 {
    let count = match area.width {
        ..76 => 1,
        76..132 => 2,
        132.. => 3,
    };
    let width = (area.width + GUTTER) / count - GUTTER.min(area.width);
    let mut used = vec![0; usize::from(count)];
    for panel in panels::BY_IMPORTANCE {
        let lines = panel(view, look, width);
        let Some(shortest) = (0..used.len()).min_by_key(|&at| used[at]) else {
            break;
        };
        let mut height = lines.len() as u16;
        if used[shortest] == 0 {
            // The start of a panel is better than nothing.
            height = height.min(area.height);
        }
        if used[shortest] + height > area.height {
            continue;
        }
        let mut place = Rect {
            x: area.x + shortest as u16 * (width + GUTTER),
            y: area.y + used[shortest],
            width,
            height,
        };
        put(&lines, &mut place, cells);
        used[shortest] += height + gap;
    }
    used.into_iter().max().unwrap_or(0)
}

/// Draws lines at the top of an area, as many as fit, and takes their rows off it.
fn put(lines: &[Line<'_>], area: &mut Rect, cells: &mut Buffer) {
    for line in lines {
        let row = Rect { height: 1, ..*area }.intersection(*area);
        line.render(row.intersection(cells.area), cells);
        skip(1, area);
    }
}

fn skip(rows: u16, area: &mut Rect) {
    let rows = rows.min(area.height);
    area.y += rows;
    area.height -= rows;
}

/// A frame as text, without what is blank at the end of rows and of all.
pub(super) fn plain(cells: &Buffer) -> String {
    let width = usize::from(cells.area.width).max(1);
    let rows = cells.content.chunks(width);
    let text: Vec<String> = rows
        .map(|row| {
            let row: String = row.iter().map(|cell| cell.symbol()).collect();
            row.trim_end().to_owned()
        })
        .collect();
    format!("{}\n", text.join("\n").trim_end())
}

#[cfg(test)]
#[path = "draw_tests.rs"]
mod tests;
