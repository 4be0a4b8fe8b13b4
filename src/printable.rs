//! Text of others, made safe to look at: no character of it steers a terminal,
//! begins a line or turns the direction in which a line is read.
//!
//! The log, the commands that print what a proxy says, and the mistakes of a
//! configuration show text that callers, upstreams and environments made up. They
//! all go by [`is_unprintable`].

use std::borrow::Cow;
use std::path::Path;

/// Whether a character is to be escaped wherever it is shown: a control character
/// (C0, DEL, C1), a separator of lines or paragraphs, or one that sets the direction
/// of what follows (Unicode Standard Annex 9, 2.1 to 2.6).
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'
                | '\u{2029}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

/// The text with everything unprintable as `\n`, `\t` or `\u{1b}`.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_unprintable(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// The most bytes of an [`excerpt`], escapes included.
pub const LONGEST_EXCERPT: usize = 512;

/// The first `most` characters of a text, printable, on at most
/// [`LONGEST_EXCERPT`] bytes.
pub fn excerpt(text: &str, most: usize) -> String {
    let mut shown = String::new();
    for c in text.chars().take(most) {
        let before = shown.len();
        match is_unprintable(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
        if shown.len() > LONGEST_EXCERPT {
            shown.truncate(before);
            break;
        }
    }
    shown
}

/// The most characters of an odd value that an error shows: enough to find it again,
/// too few to use it where it is a secret that was put in the wrong place.
pub const SHOWN: usize = 16;

/// The text of a value in an error: quoted, escaped, and cut where it is long.
pub fn shown(text: &str) -> String {
    match cut(text, SHOWN) {
        Some(part) => format!("{part:?}…"),
        None => format!("{text:?}"),
    }
}

/// The path of a file that was asked for. What has neither directories nor an ending, and is long,
/// may be a secret that stands in its place, and is cut.
pub fn path(path: &Path) -> String {
    let text = path.display().to_string();
    match cut(&text, SHOWN).filter(|_| !text.contains(['/', '.'])) {
        Some(part) => format!("{part}…"),
        None => text,
    }
}

/// The first characters of a text that has more.
pub fn cut(text: &str, longest: usize) -> Option<&str> {
    let (end, _) = text.char_indices().nth(longest)?;
    Some(&text[..end])
}

/// A document of JSON with everything unprintable in its strings as `\u001b`, which
/// means the same (RFC 8259, 7).
pub fn printable_json(document: &[u8]) -> String {
    let mut shown = String::with_capacity(document.len());
    for c in String::from_utf8_lossy(document).chars() {
        match c {
            '\n' => shown.push(c),
            c if is_unprintable(c) => shown.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_means_the_same() {
        let document = "[\"a\u{202e}b\", \"\\n\"]\n";
        let shown = printable_json(document.as_bytes());
        assert_eq!(shown, "[\"a\\u202eb\", \"\\n\"]\n");
        let values = [document, &shown].map(|it| serde_json::from_str::<Vec<String>>(it).unwrap());
        assert_eq!(values[0], values[1]);
    }

    #[test]
    fn a_shown_value_is_escaped_and_cut() {
        assert_eq!(shown("a\nb"), r#""a\nb""#);
        assert_eq!(shown("a\u{202e}b"), r#""a\u{202e}b""#);
        assert_eq!(shown(&"x".repeat(17)), format!("{:?}…", "x".repeat(16)));
        assert_eq!(shown(&"é".repeat(16)), format!("{:?}", "é".repeat(16)));
    }

    #[test]
    fn what_steers_a_reader_is_escaped_and_the_rest_stands() {
        for (text, expected) in [
            ("plain, ünïcode 漢字 🙂", "plain, ünïcode 漢字 🙂"),
            ("a\nb\tc", "a\\nb\\tc"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("\u{7f}\u{9b}", "\\u{7f}\\u{9b}"),
            (
                "a\u{202e}b\u{2066}c\u{2069}",
                "a\\u{202e}b\\u{2066}c\\u{2069}",
            ),
            (
                "\u{200e}\u{200f}\u{61c}\u{2028}",
                "\\u{200e}\\u{200f}\\u{61c}\\u{2028}",
            ),
        ] {
            assert_eq!(printable(text), expected);
        }
    }
}
