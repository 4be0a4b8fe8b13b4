//! The options in force as people and files read them, secrets redacted.

use std::fmt;

use super::mistake::Origin;
use super::options::{KeyInfo, Options, keys};

impl Options {
    /// The whole configuration as TOML with every key, in the order of the table. Reads back as
    /// the same configuration but for the secrets, which are `***`.
    pub fn to_toml(&self) -> String {
        let mut toml = String::new();
        let mut section = "";
        for (key, value) in self.entries() {
            if key.section() != section {
                let gap = if section.is_empty() { "" } else { "\n" };
                section = key.section();
                toml.push_str(&format!("{gap}[{section}]\n"));
            }
            toml.push_str(&format!("{} = {value}\n", key.name()));
        }
        toml
    }

    /// The same in one line, `key=value` each, for the log.
    pub fn summary(&self) -> String {
        in_a_line(self.entries())
    }

    /// What of it is not the default.
    pub fn summary_of_changes(&self) -> String {
        let changed = |(key, value): &(&KeyInfo, String)| key.default != Some(bare(value));
        in_a_line(self.entries().filter(changed))
    }

    /// Every setting that has a value, and that in TOML.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'static KeyInfo, String)> {
        keys()
            .iter()
            .filter_map(|key| Some((key, (key.printed)(self)?)))
    }

    /// A key with its value and where that came from.
    pub(crate) fn told(&self, name: &str) -> Option<String> {
        let key = keys().iter().find(|key| key.key == name)?;
        let value = (key.printed)(self)?;
        let from = (key.origin)(self).unwrap_or(&Origin::Default);
        Some(format!("{name} = {} ({from})", bare(&value)))
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries();
        let entries = entries.map(|(key, value)| format!("{} = {value}", key.key));
        f.debug_list().entries(entries).finish()
    }
}

/// A value without the quotes of a TOML string.
fn bare(value: &str) -> &str {
    value.trim_matches('"')
}

fn in_a_line(entries: impl Iterator<Item = (&'static KeyInfo, String)>) -> String {
    let settings = entries.map(|(key, value)| format!("{}={value}", key.key));
    settings.collect::<Vec<_>>().join(" ")
}
