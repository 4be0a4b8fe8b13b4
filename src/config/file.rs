//! The layer of the TOML file.
//!
//! Called by [`super::load`]. Promises to read no more than [`LARGEST`] bytes, and to report every
//! mistake of the file in the order of its lines.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::kind::{Part, Raw, type_of};
use super::mistake::{Mistake, Origin};
use super::schema::{Draft, SECTIONS, keys};
use super::suggest::{unknown_key, unknown_section};

/// The largest file that is taken for a configuration, in bytes.
const LARGEST: u64 = 1024 * 1024;

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
    let (table, errors) = DeTable::parse_recoverable(&text);
    let mut found: Vec<(usize, String, String)> = Vec::new();
    for error in &errors {
        let line = line_at(&text, error.span().map_or(0, |span| span.start));
        let what = format!("not TOML: {}", error.message().replace('\n', ", "));
        found.push((line, String::new(), what));
    }
    // What follows an error on its line is mostly the same error again.
    found.sort_by_key(|(line, ..)| *line);
    found.dedup_by_key(|(line, ..)| *line);
    let broken: Vec<usize> = found.iter().map(|(line, ..)| *line).collect();
    let mut reader = Reader {
        path,
        text: &text,
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
    text: &'a str,
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
                line: Some(line_at(self.text, at)),
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

    fn wrong(&mut self, at: usize, key: String, what: String) {
        self.found.push((line_at(self.text, at), key, what));
    }
}

/// The text of the file, or the line and the reason why there is none.
fn text_of(path: &Path) -> Result<String, (Option<usize>, String)> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| (None, format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > LARGEST {
        return Err((None, "is larger than 1MiB, so no configuration".to_owned()));
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

/// The line, counted from 1, that the byte at `offset` stands in.
fn line_at(text: &str, offset: usize) -> usize {
    let before = text.bytes().take(offset);
    before.filter(|byte| *byte == b'\n').count() + 1
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
    fn lines_are_counted_from_one() {
        let text = "a\nb\r\nc";
        for (offset, line) in [(0, 1), (1, 1), (2, 2), (4, 2), (5, 3), (99, 3)] {
            assert_eq!(line_at(text, offset), line, "{offset}");
        }
    }
}
