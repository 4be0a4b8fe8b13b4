//! Where a value comes from, and what is wrong with a configuration.

use std::fmt;
use std::path::PathBuf;

use super::target::may_be_a_key;
use crate::printable::{SHOWN, cut, is_unprintable, printable};

/// The most characters of a name that are shown; ours are shorter, and one that is none of ours may
/// be a secret in the wrong place.
const LONGEST_NAME: usize = 72;

/// The place a value stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The default of its key.
    Default,
    /// A line of the configuration file, counted from 1; without one, the file as a whole.
    File {
        /// The path as it was given.
        path: PathBuf,
        /// The line.
        line: Option<usize>,
    },
    /// An environment variable, by name.
    Env(String),
    /// A flag, with its dashes.
    Flag(&'static str),
    /// The command itself, such as `demo` with an upstream of its own.
    Command,
}

impl Origin {
    /// The line of the file, where it is one.
    pub(crate) fn line(&self) -> Option<usize> {
        match self {
            Origin::File { line, .. } => *line,
            _ => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => {
                f.write_str(&quoted_if_odd(&path.display().to_string()))?;
                line.map_or(Ok(()), |line| write!(f, ":{line}"))
            }
            Origin::Env(name) => f.write_str(&one_line(name)),
            Origin::Flag(name) => f.write_str(name),
            Origin::Command => f.write_str("the command"),
        }
    }
}

/// The key of the top level, or of a route: `routes.predict.batch.max_size`. Without one it is the
/// route itself.
pub(crate) fn full(route: Option<&str>, key: &str) -> String {
    match route {
        None => key.to_owned(),
        Some(name) if key.is_empty() => format!("routes.{name}"),
        Some(name) => format!("routes.{name}.{key}"),
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it stands; `None` where it lies between several places, or nowhere.
    pub origin: Option<Origin>,
    /// The key it is about, such as `batch.max_size`; empty where it is about none.
    pub key: String,
    /// What is wrong and what is allowed.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", one_line(&self.key))?;
        }
        f.write_str(&self.what)
    }
}

/// Everything that is wrong with a configuration, at least one thing. Displays one per line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub(crate) Vec<Mistake>);

impl Mistakes {
    /// These mistakes, in the order of their layers and lines.
    pub(crate) fn in_order(mut mistakes: Vec<Mistake>) -> Self {
        mistakes.sort_by_key(|mistake| match &mistake.origin {
            Some(Origin::File { line, .. }) => (0, *line),
            Some(Origin::Env(_)) => (1, None),
            _ => (2, None),
        });
        Self(mistakes)
    }

    /// These, if there are any.
    pub(crate) fn of(mistakes: Vec<Mistake>) -> Option<Self> {
        (!mistakes.is_empty()).then(|| Self::in_order(mistakes))
    }

    /// The mistakes in the order of their layers and lines: file, environment, the rest.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, mistake) in self.0.iter().enumerate() {
            let between = if i == 0 { "" } else { "\n" };
            write!(f, "{between}{mistake}")?;
        }
        Ok(())
    }
}

/// A name from outside, cut where it is long, and sooner where it looks like a secret, and quoted
/// and escaped where it could break the line or the terminal.
fn one_line(name: &str) -> String {
    let parts = name.split('.').map(|part| match cut(part, SHOWN) {
        Some(beginning) if may_be_a_key(part) => format!("{beginning}…"),
        _ => part.to_owned(),
    });
    let name = parts.collect::<Vec<_>>().join(".");
    match cut(&name, LONGEST_NAME) {
        Some(part) => format!("{}…", quoted_if_odd(part)),
        None => quoted_if_odd(&name),
    }
}

fn quoted_if_odd(name: &str) -> String {
    match name.contains(is_unprintable) {
        true => format!("\"{}\"", printable(name)),
        false => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_looks_like_a_secret_is_cut() {
        for (name, shown) in [
            ("upstream.max_in_fligth", "upstream.max_in_fligth"),
            (
                "upstream.sk-abcdef0123456789abcdef0123456789",
                "upstream.sk-abcdef0123456…",
            ),
            ("MICROBATCH_BATCH__MAX_SIZES", "MICROBATCH_BATCH__MAX_SIZES"),
        ] {
            assert_eq!(one_line(name), shown);
        }
    }

    #[test]
    fn a_mistake_is_one_line_with_its_place() {
        let mistake = |origin: Option<Origin>, key: &str| {
            let what = "wrong".to_owned();
            let key = key.to_owned();
            Mistake { origin, key, what }.to_string()
        };
        let file = |line| Origin::File {
            path: "a/b.toml".into(),
            line,
        };
        assert_eq!(
            mistake(Some(file(Some(3))), "x.y"),
            "a/b.toml:3: x.y: wrong"
        );
        assert_eq!(mistake(Some(file(None)), ""), "a/b.toml: wrong");
        assert_eq!(
            mistake(Some(Origin::Env("A".into())), "x.y"),
            "A: x.y: wrong"
        );
        assert_eq!(mistake(Some(Origin::Flag("--a")), "x.y"), "--a: x.y: wrong");
        assert_eq!(mistake(None, ""), "wrong");
        assert_eq!(mistake(None, "a\n\u{1b}[31m"), "\"a\\n\\u{1b}[31m\": wrong");
        let long = "x".repeat(73);
        assert_eq!(mistake(None, &long), format!("{}…: wrong", &long[1..]));
    }
}
