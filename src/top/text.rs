//! Lines of text as panels are made of.

use ratatui::text::{Line, Span};

use super::look::{Look, Tone};

pub(super) type Lines = Vec<Line<'static>>;

pub(super) fn titled(look: Look, title: &str, rows: Lines) -> Lines {
    let mut lines = vec![Line::from(styled(look, Tone::Title, title.to_owned()))];
    lines.extend(rows);
    lines
}

pub(super) fn styled(look: Look, tone: Tone, text: String) -> Span<'static> {
    Span::styled(text, look.style(tone))
}

/// A bar whose full length is the whole; what is there has one cell at least.
pub(super) fn bar(part: f64, whole: f64, widest: usize) -> String {
    if part <= 0.0 || whole <= 0.0 {
        return String::new();
    }
    let length = (part / whole).min(1.0) * widest as f64;
    "█".repeat((length.round() as usize).clamp(1.min(widest), widest))
}

/// The start of a text, with a sign where more is missing.
pub(super) fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let start: String = text.chars().take(width.saturating_sub(1)).collect();
    start + &"…"[..if width > 0 { 3 } else { 0 }]
}

/// Lines of whole words, as long as those are no longer than a line.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last().map_or(0, |line| line.chars().count());
        if last > 0 && last + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_wrapped_and_none_is_lost() {
        assert_eq!(wrap("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrap("unbreakable is it", 4), ["unbreakable", "is", "it"]);
        assert_eq!(wrap("a b", 0), ["a", "b"]);
    }

    #[test]
    fn what_is_there_is_seen() {
        assert_eq!(bar(1.0, 1e6, 10), "█");
        assert_eq!(bar(0.0, 1e6, 10), "");
        assert_eq!(bar(2e6, 1e6, 3), "███");
        assert_eq!(bar(1.0, 1.0, 0), "");
        assert_eq!(
            (fit("four", 4), fit("fours", 4)),
            ("four".into(), "fou…".into())
        );
        assert_eq!(fit("x", 0), "");
    }
}
