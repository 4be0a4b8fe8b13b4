//! The options in force as people and files read them, secrets redacted.

use std::fmt;
use std::path::Path;

use super::mistake::{Origin, full};
use super::options::{Options, keys, known};
use crate::printable::path;

/// One setting as it is printed.
pub(crate) struct Entry {
    /// The section, with the route's before it; empty where it is in none.
    section: String,
    name: &'static str,
    /// As TOML.
    pub value: String,
    is_default: bool,
}

impl Entry {
    /// The key with its section: `routes.predict.batch.max_size`.
    pub(crate) fn key(&self) -> String {
        match &self.section[..] {
            "" => self.name.to_owned(),
            section => format!("{section}.{}", self.name),
        }
    }
}

impl Options {
    /// The whole configuration as TOML: every key of the top level, in the order of the table, and
    /// then what each route has of its own. Reads back as the same configuration but for the secrets,
    /// which are `***`.
    pub fn to_toml(&self) -> String {
        let mut toml = String::new();
        let mut last = String::new();
        for Entry {
            section,
            name,
            value,
            ..
        } in self.entries()
        {
            if section != last {
                let gap = if toml.is_empty() { "" } else { "\n" };
                toml.push_str(&format!("{gap}[{section}]\n"));
                last = section;
            }
            toml.push_str(&format!("{name} = {value}\n"));
        }
        toml
    }

    /// The same in one line, `key=value` each, for the log.
    pub fn summary(&self) -> String {
        in_a_line(self.entries().into_iter())
    }

    /// What of it is not the default.
    pub fn summary_of_changes(&self) -> String {
        in_a_line(self.entries().into_iter().filter(|it| !it.is_default))
    }

    /// Every setting of the top level that has a value, and every one that a route has of its own.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let mut entries = self.entries_of(None);
        for (name, own) in &self.routes {
            let section = full(Some(name), "");
            entries.extend(own.entries_of(Some(&section)));
        }
        entries
    }

    /// Those of the top level, or of a route, in whose section they are. What is in no section of
    /// its own comes first, as TOML wants it, and a table of the shape last.
    fn entries_of(&self, route: Option<&str>) -> Vec<Entry> {
        let within = |section: &str| match (route, section) {
            (None, section) => section.to_owned(),
            (Some(route), "") => route.to_owned(),
            (Some(route), section) => format!("{route}.{section}"),
        };
        let keys = known(route.is_some()).filter_map(|key| {
            let value = (key.printed)(self)?;
            Some(Entry {
                section: within(key.section()),
                name: key.name(),
                is_default: key.default == Some(bare(&value)),
                value,
            })
        });
        let of_shape = |section, name, value| Entry {
            section: within(section),
            name,
            value,
            is_default: !self.route.shape.is_given(),
        };
        let shape = &self.route.shape;
        match shape.printed() {
            // What a route has not, it has not from the top level either.
            _ if route.is_some() && !shape.is_given() => keys.collect(),
            Ok(name) => [of_shape("", "shape", name)]
                .into_iter()
                .chain(keys)
                .collect(),
            Err(table) => {
                let table = table.into_iter();
                keys.chain(table.map(|(key, value)| of_shape("shape", key, value)))
                    .collect()
            }
        }
    }

    /// A key of the top level with its value and where that came from, unless that is its default.
    pub(crate) fn changed(&self, name: &str) -> Option<String> {
        let key = keys().iter().find(|key| key.key == name)?;
        let value = (key.printed)(self)?;
        let is_default = key.default == Some(bare(&value));
        self.told(name, None).filter(|_| !is_default)
    }

    /// A key with its value and where that came from. If it is a route's own, its name says so.
    pub(crate) fn told(&self, name: &str, route: Option<&str>) -> Option<String> {
        let key = keys().iter().find(|key| key.key == name)?;
        let value = (key.printed)(self)?;
        let from = (key.origin)(self).unwrap_or(&Origin::Default);
        // What is a word without spaces may be a secret in the place of a path.
        let value = path(Path::new(bare(&value)));
        Some(format!("{} = {value} ({from})", full(route, name)))
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries().into_iter();
        let entries = entries.map(|entry| format!("{} = {}", entry.key(), entry.value));
        f.debug_list().entries(entries).finish()
    }
}

/// A value without the quotes of a TOML string.
fn bare(value: &str) -> &str {
    value.trim_matches('"')
}

fn in_a_line(entries: impl Iterator<Item = Entry>) -> String {
    let settings = entries.map(|entry| format!("{}={}", entry.key(), entry.value));
    settings.collect::<Vec<_>>().join(" ")
}
