//! What a value of a setting can be: one [`Kind`] per sort of value.
//!
//! The table in [`super::options`] gives each key its kind; every layer (file, environment, flag,
//! default) and every printer goes through it, so a value has one spelling and one error text
//! wherever it stands. A kind never puts a secret into an error or into what it prints.

use std::ops::{Range, RangeInclusive};

use toml::de::DeValue;

use crate::printable::printable;

/// Reads and prints the values of a setting.
pub(crate) trait Kind {
    /// What the setting is in the running program.
    type Value;

    /// What a value may be, in a few words: its form, its unit, its range.
    fn allowed(&self) -> String;

    /// What a file must have, where it has a TOML value of another type.
    fn expected(&self) -> String {
        self.allowed()
    }

    /// Reads plain text: an environment variable or a default.
    fn text(&self, text: &str) -> Result<Self::Value, Wrong>;

    /// Reads a value of the TOML file: a string is plain text but where a kind says otherwise.
    fn toml(&self, value: &DeValue<'_>) -> Result<Self::Value, Wrong> {
        let text = value.as_str();
        self.text(text.ok_or_else(|| must_be(&self.expected(), type_of(value)))?)
    }

    /// Reads a flag's argument: plain text but where a flag has a spelling of its own.
    fn flag(&self, text: &str) -> Result<Self::Value, Wrong> {
        self.text(text)
    }

    /// The value as TOML, with secrets redacted.
    fn print(&self, value: &Self::Value) -> String;

    /// What holds when a lower and an upper layer both give a value: the upper one.
    fn merge(&self, _lower: Self::Value, upper: Self::Value) -> Self::Value {
        upper
    }

    /// Reads a value from whichever layer it stands in.
    fn read(&self, raw: Raw<'_>) -> Result<Self::Value, Wrong> {
        match raw {
            Raw::Text(text) => self.text(text),
            Raw::Flag(text) => self.flag(text),
            Raw::Toml(value) => self.toml(value),
        }
    }
}

/// A value as its layer spells it.
#[derive(Clone, Copy)]
pub(crate) enum Raw<'a> {
    /// An environment variable or a default.
    Text(&'a str),
    /// The argument of a flag.
    Flag(&'a str),
    /// A value of the TOML file.
    Toml(&'a DeValue<'a>),
}

/// Why a value is refused: one part, or for a table one per member that is wrong.
#[derive(Debug)]
pub(crate) struct Wrong(pub Vec<Part>);

/// One thing that is wrong with a value.
#[derive(Debug)]
pub(crate) struct Part {
    /// The member of a table it is about, and where its bytes stand in the file.
    pub member: Option<(String, Range<usize>)>,
    /// What is wrong and what is allowed, to follow "key: ".
    pub what: String,
}

impl<T: Into<String>> From<T> for Wrong {
    fn from(what: T) -> Self {
        let what = what.into();
        Wrong(vec![Part { member: None, what }])
    }
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, part) in self.0.iter().enumerate() {
            let between = if i == 0 { "" } else { "; " };
            let name = part.member.iter().map(|(name, _)| format!("{name}: "));
            write!(f, "{between}{}{}", name.collect::<String>(), part.what)?;
        }
        Ok(())
    }
}

/// The most frequent of what is wrong.
pub(crate) fn must_be(allowed: &str, found: impl std::fmt::Display) -> Wrong {
    format!("must be {allowed}, not {found}").into()
}

/// A range in words, its ends spelled as the kind does.
pub(crate) fn from_to<T>(range: &RangeInclusive<T>, spelled: impl Fn(&T) -> String) -> String {
    format!(
        "from {} to {}",
        spelled(range.start()),
        spelled(range.end())
    )
}

/// The TOML type of a value with its article, for error texts.
pub(crate) fn type_of(value: &DeValue<'_>) -> String {
    let name = value.type_str();
    match name {
        "integer" | "array" => format!("an {name}"),
        _ => format!("a {name}"),
    }
}

/// A text as a TOML string.
pub(crate) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// The most characters of an odd value that an error shows: enough to find it again, too few to
/// use it where it is a secret that was put in the wrong place.
pub(crate) const SHOWN: usize = 16;

/// The text of a value in an error: quoted, escaped, and cut where it is long.
pub(crate) fn shown(text: &str) -> String {
    match cut(text, SHOWN) {
        Some(part) => format!("{part:?}…"),
        None => format!("{text:?}"),
    }
}

/// The same without quotes, for a number as it is written.
pub(crate) fn shown_number(text: &str) -> String {
    match cut(text, SHOWN) {
        Some(part) => format!("{}…", printable(part)),
        None => printable(text).into_owned(),
    }
}

/// The first characters of a text that has more.
pub(crate) fn cut(text: &str, longest: usize) -> Option<&str> {
    let (end, _) = text.char_indices().nth(longest)?;
    Some(&text[..end])
}

#[cfg(test)]
pub(crate) mod testing {
    //! Tables for the tests of the kinds.

    use super::*;

    /// What a kind makes of plain text: printed TOML or the error's text.
    pub(crate) fn from_text<K: Kind>(kind: &K, text: &str) -> Result<String, String> {
        kind.text(text)
            .map(|value| kind.print(&value))
            .map_err(|wrong| wrong.to_string())
    }

    /// What a kind makes of a flag's argument.
    pub(crate) fn from_flag<K: Kind>(kind: &K, text: &str) -> Result<String, String> {
        kind.flag(text)
            .map(|value| kind.print(&value))
            .map_err(|wrong| wrong.to_string())
    }

    /// What a kind makes of a TOML value.
    pub(crate) fn from_toml<K: Kind>(kind: &K, toml: &str) -> Result<String, String> {
        let value = DeValue::parse(toml).unwrap();
        kind.toml(value.get_ref())
            .map(|value| kind.print(&value))
            .map_err(|wrong| wrong.to_string())
    }

    /// The printed TOML reads back as the same value.
    pub(crate) fn round_trips<K: Kind>(kind: &K, text: &str)
    where
        K::Value: PartialEq + std::fmt::Debug,
    {
        let value = kind.text(text).unwrap();
        let printed = kind.print(&value);
        let parsed = DeValue::parse(&printed).unwrap();
        assert_eq!(kind.toml(parsed.get_ref()).unwrap(), value, "{printed}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_value_is_escaped_and_cut() {
        assert_eq!(shown("a\nb"), r#""a\nb""#);
        assert_eq!(shown("a\u{202e}b"), r#""a\u{202e}b""#);
        assert_eq!(shown(&"x".repeat(17)), format!("{:?}…", "x".repeat(16)));
        assert_eq!(shown(&"é".repeat(16)), format!("{:?}", "é".repeat(16)));
        assert_eq!(
            shown_number(&"1".repeat(17)),
            format!("{}…", "1".repeat(16))
        );
        assert_eq!(shown_number("-1.5"), "-1.5");
    }

    #[test]
    fn a_wrong_names_each_member() {
        let part = |name: &str| Part {
            member: Some((name.to_owned(), 0..1)),
            what: "bad".to_owned(),
        };
        let wrong = Wrong(vec![part("a"), part("b")]);
        assert_eq!(wrong.to_string(), "a: bad; b: bad");
    }
}
