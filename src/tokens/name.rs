//! What a token is called: in its file, as a label of metrics and in the access log.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use super::token::PREFIX;

/// 1 to 64 letters, digits, `.`, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// What is called so is no token. The text is not repeated: it may be one.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NotAName {
    /// Other characters, or too many, or none.
    #[error("a name has 1 to {} letters, digits, '.', '_' and '-'", Name::LONGEST)]
    Form,
    /// It begins as a token does.
    #[error("that is a token itself, and no name of one")]
    Token,
}

impl Name {
    /// The most characters.
    pub const LONGEST: usize = 64;

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if text.starts_with(PREFIX) {
            return Err(NotAName::Token);
        }
        match (1..=Self::LONGEST).contains(&text.len()) && text.bytes().all(may_stand) {
            true => Ok(Self(text.into())),
            false => Err(NotAName::Form),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_names() {
        let (longest, too_long) = ("n".repeat(64), "n".repeat(65));
        for (text, expected) in [
            ("ci", Ok(())),
            ("Team-A_2.prod", Ok(())),
            (&longest, Ok(())),
            (&too_long, Err(NotAName::Form)),
            ("", Err(NotAName::Form)),
            ("a b", Err(NotAName::Form)),
            ("a:b", Err(NotAName::Form)),
            ("a\"b", Err(NotAName::Form)),
            ("é", Err(NotAName::Form)),
            ("mbt_abc", Err(NotAName::Token)),
        ] {
            let found = text.parse::<Name>();
            assert_eq!(
                found.as_ref().map(drop).map_err(|it| *it),
                expected,
                "{text}"
            );
            assert!(found.is_err() || found.unwrap().to_string() == text);
        }
    }
}
