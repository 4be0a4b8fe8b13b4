//! Shapes that have a name, written in the keys of any other.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::keys::Keys;

/// Their tables, with what is to be known of each.
pub const TEXT: &str = include_str!("presets.toml");

static ALL: LazyLock<BTreeMap<String, Keys>> =
    LazyLock::new(|| toml::from_str(TEXT).unwrap_or_default());

/// All presets, by name.
pub fn all() -> &'static BTreeMap<String, Keys> {
    &ALL
}

/// Every preset in the order of their file, with what it is for in a line.
pub fn summaries() -> impl Iterator<Item = (&'static str, &'static str)> {
    tables().filter_map(|(name, table)| {
        let first = table.lines().next()?.strip_prefix("# ")?;
        Some((name, first.trim_end_matches('.')))
    })
}

/// A preset's table as it is written, with the comment above it.
pub fn text(name: &str) -> Option<&'static str> {
    let (_, table) = tables().find(|(it, _)| *it == name)?;
    Some(table)
}

/// Each by its name.
fn tables() -> impl Iterator<Item = (&'static str, &'static str)> {
    let header = |line: &'static str| line.strip_prefix('[')?.strip_suffix(']');
    let tables = TEXT.split("\n\n").map(str::trim);
    tables.filter_map(move |table| Some((table.lines().find_map(header)?, table)))
}

/// The keys with those of the preset that they are like, which has all that they don't.
///
/// # Errors
/// There is no such preset.
pub(super) fn resolve(keys: &Keys) -> Result<Keys, String> {
    let Some(name) = &keys.like else {
        return Ok(keys.clone());
    };
    match all().get(name) {
        Some(preset) => Ok(keys.clone().over(preset.clone())),
        None => {
            let names: Vec<&str> = all().keys().map(String::as_str).collect();
            Err(format!("{name:?} is none of {}", names.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Shape;

    #[test]
    fn each_preset_compiles_and_has_a_text() {
        let names: Vec<&str> = all().keys().map(String::as_str).collect();
        let expected = [
            "cloudevents",
            "elasticsearch-index",
            "graphql",
            "json-rpc",
            "jobs",
            "kserve-v1",
            "ndjson",
            "openai-embeddings",
        ];
        let expected: std::collections::BTreeSet<_> = expected.into_iter().collect();
        assert_eq!(
            names.into_iter().collect::<std::collections::BTreeSet<_>>(),
            expected
        );
        for (name, keys) in all() {
            let shape = Shape::compile(keys, &["index"]);
            assert!(shape.is_ok(), "{name}: {:?}", shape.unwrap_err());
            let table = text(name).unwrap();
            assert!(table.starts_with('#'), "{table}");
            let parsed: BTreeMap<String, Keys> = toml::from_str(table).unwrap();
            assert_eq!(parsed[name], *keys);
        }
        assert_eq!(text("job"), None);
    }

    #[test]
    fn each_preset_has_a_line_that_says_what_it_is_for() {
        let all_of_them: BTreeMap<_, _> = summaries().collect();
        assert!(all_of_them.keys().eq(all().keys()), "{all_of_them:?}");
        for (name, line) in summaries() {
            let rest = text(name).unwrap().strip_prefix("# ").unwrap();
            assert!(rest.starts_with(&format!("{line}.\n")), "{rest}");
            assert!(line.chars().count() <= 76, "{line}");
        }
    }

    #[test]
    fn a_table_has_its_own_keys_over_those_of_its_preset() {
        let keys: Keys = toml::from_str("like = \"kserve-v1\"\nnan = false\n").unwrap();
        let resolved = resolve(&keys).unwrap();
        assert_eq!(resolved.nan, Some(false));
        assert_eq!(resolved.call.as_deref(), Some("/instances"));
        let keys: Keys = toml::from_str("like = \"kserve\"").unwrap();
        let wrong = resolve(&keys).unwrap_err();
        assert!(
            wrong.contains("\"kserve\" is none of cloudevents, "),
            "{wrong}"
        );
    }
}
