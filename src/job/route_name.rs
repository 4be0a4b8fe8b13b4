//! The name of a route.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// `[a-z][a-z0-9_]{0,31}`. Clones share the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteName(Arc<str>);

/// A text that is no route's name.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("a route's name is a small letter, and up to 31 small letters, digits and underscores")]
pub struct NotARouteName;

impl RouteName {
    /// The longest name, in bytes.
    pub const LONGEST: usize = 32;

    /// The route of the top-level sections, `POST /jobs`.
    pub fn jobs() -> Self {
        Self("jobs".into())
    }

    /// Whether it is that one.
    pub fn is_jobs(&self) -> bool {
        self.as_str() == "jobs"
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same, for those that know no routes.
    pub fn text(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl FromStr for RouteName {
    type Err = NotARouteName;

    fn from_str(text: &str) -> Result<Self, NotARouteName> {
        let mut letters = text.bytes();
        let begins = letters.next().is_some_and(|it| it.is_ascii_lowercase());
        let goes_on =
            letters.all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_');
        match begins && goes_on && text.len() <= Self::LONGEST {
            true => Ok(Self(text.into())),
            false => Err(NotARouteName),
        }
    }
}

impl fmt::Display for RouteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for (text, is_name) in [
            ("jobs", true),
            ("a", true),
            ("a_1", true),
            ("", false),
            ("1a", false),
            ("_a", false),
            ("A", false),
            ("a-b", false),
            ("é", false),
            (&"a".repeat(32), true),
            (&"a".repeat(33), false),
        ] {
            assert_eq!(text.parse::<RouteName>().is_ok(), is_name, "{text}");
        }
        assert_eq!(RouteName::jobs(), "jobs".parse().unwrap());
    }
}
