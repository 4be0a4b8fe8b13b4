//! The layer of the TOML file.
//!
//! Called by [`super::load`]. Promises to read no more than [`LARGEST`] bytes, and to report every
//! mistake of the file in the order of its lines.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::kind::{Part, Raw, type_of};
use super::mistake::{Mistake, Origin};
use super::schema::{Draft, SECTIONS, keys};
use super::suggest::{unknown_key, unknown_section};

/// The largest file that is taken for a configuration, in bytes.
const LARGEST: u64 = 64 * 1024;

/// Lays the file over the draft. False if a part of it could not be understood at all, so that
/// what seems to be missing may stand in that part.
pub(crate) fn lay(path: &Path, draft: &mut Draft, mistakes: &mut Vec<Mistake>) -> bool {
    let text = match text_of(path) {
        Ok(text) => text,
        Err((line, what)) => {
            mistakes.push(mistake(path, line, String::new(), what));
            return false;
        }
    };
    let lines = Lines::new(&text);
    let line_of = |error: &toml::de::Error| lines.at(error.span().map_or(0, |span| span.start));

    let (_, mut errors) = DeTable::parse_recoverable(&text);
    // The parser gives up the rest of a file at a line such as "max_size: 5", so the rest is read
    // again without the lines that are broken.
    let rest = without_lines(&text, &errors.iter().map(line_of).collect());
    let (table, more) = DeTable::parse_recoverable(&rest);
    errors.extend(more);

    let syntax = |error: &toml::de::Error| {
        let what = format!("not TOML: {}", error.message().replace('\n', ", "));
        (line_of(error), String::new(), what)
    };
    let mut found: Vec<(usize, String, String)> = errors.iter().map(syntax).collect();
    // What follows an error on its line is mostly the same error again.
    found.sort_by_key(|(line, ..)| *line);
    found.dedup_by_key(|(line, ..)| *line);
    let broken: BTreeSet<usize> = found.iter().map(|(line, ..)| *line).collect();

    let mut reader = Reader {
        path,
        lines,
        broken: !errors.is_empty(),
        found: Vec::new(),
    };
    reader.sections(table.get_ref(), draft);
    let readable = reader.found.into_iter();
    found.extend(readable.filter(|(line, ..)| !broken.contains(line)));
    found.sort_by_key(|(line, ..)| *line);
    let located = |(line, key, what)| mistake(path, Some(line), key, what);
    mistakes.extend(found.into_iter().map(located));
    errors.is_empty()
}

/// A file while it is read: its mistakes as line, key, what.
struct Reader<'a> {
    path: &'a Path,
    lines: Lines<'a>,
    /// Whether a part did not parse, perhaps a section's header.
    broken: bool,
    found: Vec<(usize, String, String)>,
}

impl Reader<'_> {
    fn sections(&mut self, table: &DeTable<'_>, draft: &mut Draft) {
        for (name, value) in table {
            let section = name.get_ref().as_ref();
            let known = SECTIONS.contains(&section);
            match value.get_ref() {
                DeValue::Table(table) if known => self.section(section, table, draft),
                other if known => {
                    let what = format!("must be a section [{section}], not {}", type_of(other));
                    self.wrong(name.span().start, section.to_owned(), what);
                }
                // A key below a header that did not parse has no section, or is taken for one.
                _ if self.broken && !self.is_header(name.span().start) => {}
                _ => {
                    let what = unknown_section(section);
                    self.wrong(name.span().start, section.to_owned(), what);
                }
            }
        }
    }

    fn section(&mut self, section: &str, table: &DeTable<'_>, draft: &mut Draft) {
        for (name, value) in table {
            let full = format!("{section}.{}", name.get_ref());
            let at = name.span().start;
            let Some(key) = keys().iter().find(|key| key.key == full) else {
                let what = unknown_key(section, name.get_ref(), |key| key.key.to_owned());
                self.wrong(at, full, what);
                continue;
            };
            let from = Origin::File {
                path: self.path.to_owned(),
                line: Some(self.lines.at(at)),
            };
            let Err(wrong) = draft.read(key, Raw::Toml(value.get_ref()), from) else {
                continue;
            };
            for Part { member, what } in wrong.0 {
                match member {
                    Some((name, span)) => self.wrong(span.start, format!("{full}.{name}"), what),
                    None => self.wrong(at, full.clone(), what),
                }
            }
        }
    }

    /// Whether the line of the byte at `at` is a section's header.
    fn is_header(&self, at: usize) -> bool {
        self.lines.text_at(at).trim_start().starts_with('[')
    }

    fn wrong(&mut self, at: usize, key: String, what: String) {
        self.found.push((self.lines.at(at), key, what));
    }
}

/// The text of the file, or the line and the reason why there is none.
fn text_of(path: &Path) -> Result<String, (Option<usize>, String)> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| (None, format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > LARGEST {
        return Err((None, "is larger than 64KiB, so no configuration".to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let newlines = valid.iter().filter(|byte| **byte == b'\n').count();
        (
            Some(newlines + 1),
            "not UTF-8; a TOML file must be".to_owned(),
        )
    })
}

/// The text with spaces for the given lines but for headers of sections, so that every byte of the
/// rest stands where it stood.
fn without_lines(text: &str, lines: &BTreeSet<usize>) -> String {
    let mut rest = String::with_capacity(text.len());
    for (i, line) in text.split_inclusive('\n').enumerate() {
        let content = line.trim_end_matches(['\r', '\n']);
        if lines.contains(&(i + 1)) && !line.trim_start().starts_with('[') {
            rest.push_str(&" ".repeat(content.len()));
            rest.push_str(&line[content.len()..]);
        } else {
            rest.push_str(line);
        }
    }
    rest
}

/// Where the lines of a text begin.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let after = text.match_indices('\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(after).collect();
        Lines { text, starts }
    }

    /// The line, counted from 1, of the byte at `offset`.
    fn at(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }

    /// The text from the start of the line of the byte at `offset` to the end of the text.
    fn text_at(&self, offset: usize) -> &str {
        let start = self.starts.get(self.at(offset).saturating_sub(1));
        start
            .and_then(|start| self.text.get(*start..))
            .unwrap_or_default()
    }
}

fn mistake(path: &Path, line: Option<usize>, key: String, what: String) -> Mistake {
    let path = path.to_owned();
    Mistake {
        origin: Some(Origin::File { path, line }),
        key,
        what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_lines_leave_every_other_byte_in_place() {
        let text = "[a]\r\né: 1\r\n[b\nc = 2";
        assert_eq!(
            without_lines(text, &[2, 3].into()),
            "[a]\r\n     \r\n[b\nc = 2"
        );
        assert_eq!(without_lines(text, &[].into()), text);
    }

    #[test]
    fn lines_are_counted_from_one() {
        let lines = Lines::new("a\nb\r\n[c");
        for (offset, line) in [(0, 1), (1, 1), (2, 2), (4, 2), (5, 3), (99, 3)] {
            assert_eq!(lines.at(offset), line, "{offset}");
        }
        assert_eq!((lines.text_at(3), lines.text_at(6)), ("b\r\n[c", "[c"));
    }
}
