//! A sentence of the advice.

use serde::Serialize;

/// How pressing a sentence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Callers suffer.
    Problem,
    /// It could be better.
    Hint,
    /// It is as it should be.
    Good,
}

/// One sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// How pressing it is.
    pub kind: Kind,
    /// The sentence; names and settings stand in backquotes.
    pub text: String,
    /// The setting it speaks of.
    pub setting: Option<&'static str>,
    /// The route it speaks of, where there are several and it is not of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
}

impl Advice {
    /// The same of this route among several.
    pub(super) fn on(self, route: &str) -> Self {
        Self {
            text: format!("`{route}`: {}", self.text),
            route: Some(route.to_owned()),
            ..self
        }
    }
}

/// Puts a sentence together.
pub(super) fn say(kind: Kind, setting: impl Into<Option<&'static str>>, text: String) -> Advice {
    Advice {
        kind,
        text,
        setting: setting.into(),
        route: None,
    }
}
