//! What a value of a setting can be: one [`Kind`] per sort of value.
//!
//! The table in [`super::options`] gives each key its kind; every layer (file, environment, flag,
//! default) and every printer goes through it, so a value has one spelling and one error text
//! wherever it stands. A kind never puts a secret into an error or into what it prints.
//!
//! The file comes as TOML values with their places, each read by itself: an error ends the reading
//! of its value alone, and shows a number as it is written, however large.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Range, RangeInclusive};

use serde_json::{Value, json};
use toml::de::DeValue;

use crate::printable::{SHOWN, cut, printable, shown};

/// Reads and prints the values of a setting.
pub(crate) struct Kind<T> {
    /// What a value may be, in a few words: its form, its unit, its range.
    pub allowed: String,
    /// What a file must have, where it has a TOML value of another type.
    expected: String,
    takes: fn(&DeValue<'_>) -> bool,
    read: Box<Read<T>>,
    print: Box<dyn Fn(&T) -> String>,
    schema: Box<dyn Fn() -> Value>,
    /// Adds to an upper layer's value what a lower one's has besides; most hold alone.
    pub merge: fn(&mut T, &T),
}

type Read<T> = dyn Fn(Raw<'_>) -> Result<T, Wrong>;

impl<T> Kind<T> {
    /// Values that `read` reads, from text and from those TOML values that it `takes`, and that
    /// `print` prints as TOML, with secrets redacted.
    pub(crate) fn new(
        allowed: impl Into<String>,
        takes: fn(&DeValue<'_>) -> bool,
        read: impl Fn(Raw<'_>) -> Result<T, Wrong> + 'static,
        print: impl Fn(&T) -> String + 'static,
    ) -> Self {
        let allowed = allowed.into();
        Kind {
            expected: allowed.clone(),
            allowed,
            takes,
            read: Box::new(read),
            print: Box::new(print),
            schema: Box::new(|| json!({})),
            merge: |_, _| {},
        }
    }

    /// Values that are texts.
    pub(crate) fn text(
        allowed: impl Into<String>,
        read: impl Fn(&str) -> Result<T, Wrong> + 'static,
        spelled: impl Fn(&T) -> String + 'static,
    ) -> Self {
        let read = move |raw: Raw<'_>| read(&raw.text());
        Kind::new(
            allowed,
            |value| value.is_str(),
            read,
            move |value| quoted(&spelled(value)),
        )
        .described(|| json!({ "type": "string" }))
    }

    /// The same, with other words for a file that has another type.
    pub(crate) fn expecting(self, expected: &str) -> Self {
        let expected = expected.to_owned();
        Kind { expected, ..self }
    }

    /// The same, with the JSON Schema of what a file may have. It takes all that `read` does, and
    /// refuses of the rest what a schema can.
    pub(crate) fn described(self, schema: impl Fn() -> Value + 'static) -> Self {
        let schema = Box::new(schema);
        Kind { schema, ..self }
    }

    /// Texts of this pattern, see [`Kind::described`].
    pub(crate) fn of_pattern(self, pattern: &'static str, examples: &'static [&str]) -> Self {
        self.described(
            move || json!({ "type": "string", "pattern": pattern, "examples": examples }),
        )
    }

    /// The JSON Schema of what a file may have.
    pub(crate) fn schema(&self) -> Value {
        (self.schema)()
    }

    /// Reads a value from whichever layer it stands in.
    pub(crate) fn read(&self, raw: Raw<'_>) -> Result<T, Wrong> {
        match raw {
            Raw::Toml(value) if !(self.takes)(value) => {
                Err(must_be(&self.expected, type_of(value)))
            }
            _ => (self.read)(raw),
        }
    }

    /// The value as TOML, with secrets redacted.
    pub(crate) fn print(&self, value: &T) -> String {
        (self.print)(value)
    }
}

/// A value as its layer spells it; displays as an error shows it.
#[derive(Clone, Copy)]
pub(crate) enum Raw<'a> {
    /// An environment variable or a default.
    Text(&'a str),
    /// The argument of a flag.
    Flag(&'a str),
    /// A value of the TOML file.
    Toml(&'a DeValue<'a>),
}

impl Raw<'_> {
    /// The text, or the number in decimal.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        match self {
            Raw::Toml(DeValue::Integer(number)) => {
                let whole = u64::from_str_radix(number.as_str(), number.radix());
                Cow::Owned(whole.map_or_else(|_| number.to_string(), |whole| whole.to_string()))
            }
            raw => raw.written(),
        }
    }

    /// The text, or the number as it is written.
    pub(crate) fn written(&self) -> Cow<'_, str> {
        match self {
            Raw::Text(text) | Raw::Flag(text) => Cow::Borrowed(text),
            Raw::Toml(DeValue::String(text)) => Cow::Borrowed(text),
            Raw::Toml(DeValue::Integer(number)) => Cow::Owned(number.to_string()),
            Raw::Toml(DeValue::Float(number)) => Cow::Borrowed(number.as_str()),
            Raw::Toml(DeValue::Boolean(on)) => Cow::Borrowed(if *on { "true" } else { "false" }),
            Raw::Toml(_) => Cow::Borrowed(""),
        }
    }

    /// Whether it is a number of the file.
    pub(crate) fn is_number(&self) -> bool {
        matches!(self, Raw::Toml(DeValue::Integer(_) | DeValue::Float(_)))
    }

    /// Whether it stands in quotes in the file.
    pub(crate) fn is_quoted(&self) -> bool {
        matches!(self, Raw::Toml(DeValue::String(_)))
    }
}

impl fmt::Display for Raw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_number() {
            true => f.write_str(&shown_number(&self.written())),
            false => f.write_str(&shown(&self.written())),
        }
    }
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

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.0.iter().map(|part| match &part.member {
            Some((name, _)) => format!("{name}: {}", part.what),
            None => part.what.clone(),
        });
        f.write_str(&parts.collect::<Vec<_>>().join("; "))
    }
}

/// The most frequent of what is wrong.
pub(crate) fn must_be(allowed: &str, found: impl fmt::Display) -> Wrong {
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

/// A text as a TOML string, on one line whatever is in it.
pub(crate) fn quoted(text: &str) -> String {
    if !text.contains(char::is_control) {
        return toml::Value::from(text).to_string();
    }
    let escaped = text.chars().map(|letter| match letter {
        '"' | '\\' => format!("\\{letter}"),
        '\n' => "\\n".to_owned(),
        control if control.is_control() => format!("\\u{:04X}", u32::from(control)),
        plain => plain.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

/// A number in an error, as it is written: as [`shown`], without quotes.
pub(crate) fn shown_number(text: &str) -> String {
    match cut(text, SHOWN) {
        Some(part) => format!("{}…", printable(part)),
        None => printable(text).into_owned(),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Tables for the tests of the kinds.

    use super::*;

    fn printed<T>(kind: &Kind<T>, raw: Raw<'_>) -> Result<String, String> {
        let read = kind.read(raw).map_err(|wrong| wrong.to_string());
        read.map(|value| kind.print(&value))
    }

    /// What a kind makes of plain text: printed TOML or the error's text.
    pub(crate) fn from_text<T>(kind: &Kind<T>, text: &str) -> Result<String, String> {
        printed(kind, Raw::Text(text))
    }

    /// What a kind makes of a flag's argument.
    pub(crate) fn from_flag<T>(kind: &Kind<T>, text: &str) -> Result<String, String> {
        printed(kind, Raw::Flag(text))
    }

    /// What a kind makes of a TOML value.
    pub(crate) fn from_toml<T>(kind: &Kind<T>, toml: &str) -> Result<String, String> {
        let value = DeValue::parse(toml).unwrap();
        printed(kind, Raw::Toml(value.get_ref()))
    }

    /// The printed TOML reads back as the same value.
    pub(crate) fn round_trips<T>(kind: &Kind<T>, text: &str)
    where
        T: PartialEq + std::fmt::Debug,
    {
        let value = kind.read(Raw::Text(text)).unwrap();
        let printed = kind.print(&value);
        let parsed = DeValue::parse(&printed).unwrap();
        let again = kind.read(Raw::Toml(parsed.get_ref())).unwrap();
        assert_eq!(again, value, "{printed}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_number_is_cut() {
        assert_eq!(
            shown_number(&"1".repeat(17)),
            format!("{}…", "1".repeat(16))
        );
        assert_eq!(shown_number("-1.5"), "-1.5");
    }

    #[test]
    fn a_text_is_a_string_on_one_line() {
        let texts = ["", "a", "a\"b", "'\"\\", "a\nb\"\\", "\t\r\u{7f}\u{9f}"];
        for text in texts {
            let quoted = quoted(text);
            assert!(!quoted.contains(char::is_control), "{quoted:?}");
            let read = DeValue::parse(&quoted).unwrap();
            assert_eq!(read.get_ref().as_str(), Some(text), "{quoted}");
        }
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
