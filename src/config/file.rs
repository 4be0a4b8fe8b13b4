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
use super::mistake::{Mistake, Origin, full};
use super::options::{KeyInfo, known, sections};
use super::suggest::Scope;

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
    Reader { path, text, layer }.tables(None, table.get_ref());
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
    /// Reads the top level, or the table of a route.
    fn tables(&mut self, route: Option<&str>, table: &DeTable<'_>) {
        for (name, value) in table {
            let section = name.get_ref().as_ref();
            let at = name.span().start;
            let alone = known(route.is_some()).find(|key| key.key == section);
            match value.get_ref() {
                value if section == "shape" => self.shape(route, value, at),
                value if section == "routes" && route.is_none() => self.routes(value, at),
                value if sections(route.is_some()).any(|known| known == section) => {
                    self.section(route, section, value, at);
                }
                value => match alone {
                    Some(key) => self.value(route, key, value, at),
                    // A key below a header that did not parse has no section, or is taken for one.
                    None if self.layer.lost && !self.is_header(at) => {}
                    None => {
                        let what = in_file(route).unknown_section(section);
                        self.layer
                            .wrong(self.origin(at), full(route, section), what);
                    }
                },
            }
        }
    }

    fn routes(&mut self, value: &DeValue<'_>, at: usize) {
        let Some(table) = value.as_table() else {
            let what = format!("must be sections [routes.NAME], not {}", type_of(value));
            return self.layer.wrong(self.origin(at), "routes", what);
        };
        for (name, value) in table {
            let (name, at) = (name.get_ref(), name.span().start);
            match value.get_ref() {
                DeValue::Table(table) => {
                    self.layer.route(name, self.origin(at));
                    self.tables(Some(name), table);
                }
                other => self.no_section(&full(Some(name), ""), other, at),
            }
        }
    }

    fn section(&mut self, route: Option<&str>, section: &str, value: &DeValue<'_>, at: usize) {
        let DeValue::Table(table) = value else {
            return self.no_section(&full(route, section), value, at);
        };
        for (name, value) in table {
            let key = format!("{section}.{}", name.get_ref());
            let at = name.span().start;
            let mut keys = known(route.is_some());
            match keys.clone().find(|known| known.key == key) {
                Some(known) => self.value(route, known, value.get_ref(), at),
                None if keys.any(|known| is_within(known.key, &key)) => {
                    self.section(route, &key, value.get_ref(), at);
                }
                None => {
                    let (section, name) = key.split_once('.').unwrap_or((section, &key));
                    let what = in_file(route).unknown_key(section, name);
                    self.layer.wrong(self.origin(at), full(route, &key), what);
                }
            }
        }
    }

    fn value(&mut self, route: Option<&str>, key: &KeyInfo, value: &DeValue<'_>, at: usize) {
        let (path, text) = (self.path, self.text);
        let place = |member: Option<Range<usize>>| {
            let at = member.map_or(at, |span| span.start);
            origin(path, Some(line_at(text, at)))
        };
        self.layer.read(route, key, Raw::Toml(value), place);
    }

    fn shape(&mut self, route: Option<&str>, value: &DeValue<'_>, at: usize) {
        let DeValue::Table(table) = value else {
            let from = self.origin(at);
            self.layer.read_shape(route, None, Raw::Toml(value), from);
            return;
        };
        for (name, value) in table {
            let (key, from) = (name.get_ref(), self.origin(name.span().start));
            let value = Raw::Toml(value.get_ref());
            if !self.layer.read_shape(route, Some(key), value, from.clone()) {
                let what = in_file(route).unknown_key("shape", key);
                let key = full(route, &format!("shape.{key}"));
                self.layer.wrong(from, key, what);
            }
        }
    }

    fn no_section(&mut self, section: &str, value: &DeValue<'_>, at: usize) {
        let what = format!("must be a section [{section}], not {}", type_of(value));
        self.layer.wrong(self.origin(at), section, what);
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

/// Whether a key is one of this section's.
fn is_within(key: &str, section: &str) -> bool {
    let rest = key.strip_prefix(section);
    rest.is_some_and(|rest| rest.starts_with('.'))
}

fn in_file(route: Option<&str>) -> Scope<'_> {
    Scope {
        route,
        is_variable: false,
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
