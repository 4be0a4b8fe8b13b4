//! What is wrong with a shape's keys.

use std::fmt;

/// One thing that is wrong with a shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The key, as it is written in a table.
    pub key: &'static str,
    /// What is wrong with it, and what is allowed.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.what)
    }
}

/// All that is found wrong, so that it can be told at once.
#[derive(Debug, Default)]
pub(super) struct Mistakes(pub Vec<Mistake>);

impl Mistakes {
    /// One more.
    pub fn add(&mut self, key: &'static str, what: impl Into<String>) {
        let what = what.into();
        self.0.push(Mistake { key, what });
    }

    /// The value, or its mistake and a stand-in to go on with.
    pub fn or<T>(&mut self, key: &'static str, value: Result<T, String>, instead: T) -> T {
        value.unwrap_or_else(|what| {
            self.add(key, what);
            instead
        })
    }
}
