//! The layer of the TOML file.
//!
//! Called by [`super::load`]. Promises to read no more than [`LARGEST`] bytes, and to report every
//! mistake of the file in the order of its lines.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::kind::{Raw, type_of};
use super::layer::Layer;
use super::mistake::{Mistake, Origin};
use super::options::{SECTIONS, keys};
use super::suggest::{unknown_key, unknown_section};

/// The largest file that is taken for a configuration, in bytes.
const LARGEST: u64 = 64 * 1024;

/// What the file at `path` gives.
pub(crate) fn read(path: &Path) -> Layer {
    let mut layer = Layer::default();
    if path.as_os_str().is_empty() {
        let what = "the configuration file has an empty name; name a file in --config or \
                    MICROBATCH_CONFIG, or leave them out";
        layer.wrong(None, "", what);
        layer.lost = true;
        return layer;
    }
    match text_of(path) {
        Ok(text) => read_text(&mut layer, path, &text),
        Err((line, what)) => {
            layer.wrong(origin(path, line), "", what);
            layer.lost = true;
        }
    }
    layer
}

fn read_text(layer: &mut Layer, path: &Path, text: &str) {
    let line_of =
        |error: &toml::de::Error| line_at(text, error.span().map_or(0, |span| span.start));
    let (_, mut errors) = DeTable::parse_recoverable(text);
    // The parser gives up the rest of a file at a line such as "max_size: 5", so the rest is read
    // again without the lines that are broken.
    let rest = without_lines(text, &errors.iter().map(line_of).collect());
    let (table, more) = DeTable::parse_recoverable(&rest);
    errors.extend(more);
    // What follows an error on its line is mostly the same error again.
    errors.sort_by_key(line_of);
    errors.dedup_by_key(|error| line_of(error));
    let broken: BTreeSet<_> = errors.iter().map(line_of).collect();

    layer.lost = !errors.is_empty();
    Reader { path, text, layer }.sections(table.get_ref());
    let line = |mistake: &Mistake| mistake.origin.as_ref().and_then(Origin::line);
    let readable = |mistake: &Mistake| line(mistake).is_none_or(|line| !broken.contains(&line));
    layer.mistakes.retain(readable);
    for error in &errors {
        let what = format!("not TOML: {}", error.message().replace('\n', ", "));
        layer.wrong(origin(path, Some(line_of(error))), "", what);
    }
    layer.mistakes.sort_by_key(line);
}

/// Reads the tables of a file into its layer.
struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    layer: &'a mut Layer,
}

impl Reader<'_> {
    fn sections(&mut self, table: &DeTable<'_>) {
        for (name, value) in table {
            let section = name.get_ref().as_ref();
            let at = name.span().start;
            match value.get_ref() {
                DeValue::Table(table) if SECTIONS.contains(&section) => {
                    self.section(section, table);
                }
                other if SECTIONS.contains(&section) => {
                    let what = format!("must be a section [{section}], not {}", type_of(other));
                    self.layer.wrong(self.origin(at), section, what);
                }
                // A key below a header that did not parse has no section, or is taken for one.
                _ if self.layer.lost && !self.is_header(at) => {}
                _ => {
                    let what = unknown_section(section);
                    self.layer.wrong(self.origin(at), section, what);
                }
            }
        }
    }

    fn section(&mut self, section: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let full = format!("{section}.{}", name.get_ref());
            let at = name.span().start;
            let Some(key) = keys().iter().find(|key| key.key == full) else {
                let what = unknown_key(section, name.get_ref(), |key| key.key.to_owned());
                self.layer.wrong(self.origin(at), full, what);
                continue;
            };
            let (path, text) = (self.path, self.text);
            let place = |member: Option<Range<usize>>| {
                let at = member.map_or(at, |span| span.start);
                origin(path, Some(line_at(text, at)))
            };
            self.layer.read(key, Raw::Toml(value.get_ref()), place);
        }
    }

    /// Whether the line of the byte at `at` is a section's header.
    fn is_header(&self, at: usize) -> bool {
        let line = self.text.lines().nth(line_at(self.text, at) - 1);
        line.is_some_and(|line| line.trim_start().starts_with('['))
    }

    fn origin(&self, at: usize) -> Origin {
        origin(self.path, Some(line_at(self.text, at)))
    }
}

fn origin(path: &Path, line: Option<usize>) -> Origin {
    let path = path.to_owned();
    Origin::File { path, line }
}

/// The line, counted from 1, of the byte at `offset`.
fn line_at(text: &str, offset: usize) -> usize {
    let before = text.bytes().take(offset);
    1 + before.filter(|byte| *byte == b'\n').count()
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
        let (valid, what) = (
            error.utf8_error().valid_up_to(),
            "not UTF-8; a TOML file must be",
        );
        let line = line_at(&String::from_utf8_lossy(error.as_bytes()), valid);
        (Some(line), what.to_owned())
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
        for (offset, line) in [(0, 1), (1, 1), (2, 2), (4, 2), (5, 3), (99, 3)] {
            assert_eq!(line_at("a\nb\r\n[c", offset), line, "{offset}");
        }
    }
}
