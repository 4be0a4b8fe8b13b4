//! The id of a job, by which its result is known.

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::LazyLock;

use compact_str::{CompactString, format_compact};
use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;
use serde::{Serialize, Serializer};
use thiserror::Error;

/// The longest id, in Unicode code points.
pub const MAX_ID_CHARS: usize = 256;

/// A job's id. `"1"` and `1` are two ids; strings compare after unescaping.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct JobId(Repr);

#[derive(Clone)]
enum Repr {
    /// One that is written as it is. A short one stands here itself: to share the request's
    /// memory would cost more than to copy it.
    String(CompactString),
    /// One that is written with escapes; boxed, since few are.
    Escaped(Box<Escaped>),
    Integer(i128),
}

#[derive(Clone)]
struct Escaped {
    text: CompactString,
    /// In JSON, by whoever sent it.
    written: Box<str>,
}

/// What an id is, however it is written.
#[derive(PartialEq, Eq, Hash)]
enum Value<'a> {
    String(&'a str),
    Integer(i128),
}

impl Repr {
    fn value(&self) -> Value<'_> {
        match self {
            Self::String(text) => Value::String(text),
            Self::Escaped(escaped) => Value::String(&escaped.text),
            Self::Integer(n) => Value::Integer(*n),
        }
    }
}

impl PartialEq for Repr {
    fn eq(&self, other: &Self) -> bool {
        self.value() == other.value()
    }
}

impl Eq for Repr {}

impl Hash for Repr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value().hash(state);
    }
}

impl JobId {
    /// Reads an id as written in JSON.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(written: &str) -> Result<Self, IdError> {
        match written.as_bytes() {
            [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => {
                let text = Self::string(&written[1..=inner.len()])?;
                Ok(Self(Repr::String(text)))
            }
            [b'"', ..] => {
                let text: String =
                    serde_json::from_str(written).map_err(|_| IdError::LoneSurrogate)?;
                Ok(Self(Repr::Escaped(Box::new(Escaped {
                    text: Self::string(&text)?,
                    written: written.into(),
                }))))
            }
            [b'-' | b'0'..=b'9', ..] => Self::integer(written).map(Self),
            _ => Err(IdError::Type),
        }
    }

    fn string(text: &str) -> Result<CompactString, IdError> {
        match text.len() {
            0 => Err(IdError::Empty),
            // Of which one is a character at most.
            1..=MAX_ID_CHARS => Ok(text.into()),
            _ if text.chars().count() <= MAX_ID_CHARS => Ok(text.into()),
            _ => Err(IdError::TooLong),
        }
    }

    fn integer(written: &str) -> Result<Repr, IdError> {
        if written == "-0" || written.contains(['.', 'e', 'E']) {
            return Err(IdError::NotAnInteger);
        }
        match written.parse::<i128>() {
            Ok(n) if (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&n) => {
                Ok(Repr::Integer(n))
            }
            _ => Err(IdError::OutOfRange),
        }
    }

    /// Whether `written` is this id in JSON. Tells without making an id of it where it
    /// has nothing escaped.
    pub fn is_written_as(&self, written: &str) -> bool {
        match (self.0.value(), written.as_bytes()) {
            (Value::String(text), [b'"', inner @ .., b'"']) if !inner.contains(&b'\\') => {
                inner == text.as_bytes()
            }
            (Value::Integer(n), digits @ [b'-' | b'0'..=b'9', ..]) => match u64::try_from(n) {
                Ok(n) => digits == itoa::Buffer::new().format(n).as_bytes(),
                Err(_) => digits == itoa::Buffer::new().format(n).as_bytes(),
            },
            _ => Self::parse(written).is_ok_and(|id| id == *self),
        }
    }

    /// In JSON, as it was written.
    pub fn written(&self) -> Cow<'_, str> {
        match &self.0 {
            Repr::Escaped(escaped) => Cow::Borrowed(&escaped.written),
            _ => Cow::Owned(self.to_string()),
        }
    }

    /// The id that looks the same but is of the other JSON type: `"7"` for 7, and 7
    /// for `"7"`. Most strings have none.
    pub fn of_other_type(&self) -> Option<Self> {
        match self.0.value() {
            Value::Integer(n) => Some(Self(Repr::String(format_compact!("{n}")))),
            Value::String(text) => {
                let integer = Self(Self::integer(text).ok()?);
                // `"007"` and `"+7"` are no integers as they are written.
                (integer.to_string() == text).then_some(integer)
            }
        }
    }

    /// A number that is equal for equal ids, and different for different ones but for
    /// chance. Meaningful within this process alone. Whoever learns to choose different ids of
    /// one number gains no more than by sending equal ones: they are kept apart.
    pub fn fingerprint(&self) -> u64 {
        static SHARED: LazyLock<SharedSeed> = LazyLock::new(|| SharedSeed::from_u64(random()));
        static SEED: LazyLock<SeedableRandomState> =
            LazyLock::new(|| SeedableRandomState::with_seed(random(), &SHARED));
        SEED.hash_one(self)
    }
}

/// Of the system, as the library's own seeds are not.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

impl Serialize for JobId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.value() {
            Value::String(text) => serializer.serialize_str(text),
            Value::Integer(n) => serializer.serialize_i128(n),
        }
    }
}

/// As JSON: a string in quotes, an integer without.
impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a value is not an id. The texts are shown to the caller.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum IdError {
    /// Neither a string nor a number.
    #[error("\"id\" must be a string or an integer")]
    Type,
    /// The empty string.
    #[error("\"id\" must not be empty")]
    Empty,
    /// More than [`MAX_ID_CHARS`] code points.
    #[error("\"id\" must not be longer than {MAX_ID_CHARS} characters")]
    TooLong,
    /// A `\ud800` to `\udfff` escape without its other half.
    #[error("\"id\" must be valid Unicode; it has half a surrogate pair")]
    LoneSurrogate,
    /// A fraction, an exponent, or minus zero.
    #[error(
        "a numeric \"id\" must be an integer written without fraction, exponent or negative zero"
    )]
    NotAnInteger,
    /// Beyond what 64 bits hold.
    #[error("an integer \"id\" must fit 64 bits: -9223372036854775808 to 18446744073709551615")]
    OutOfRange,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(written: &str) -> Result<String, IdError> {
        JobId::parse(written).map(|id| id.to_string())
    }

    #[test]
    fn ids_that_are_taken() {
        let longest = "é".repeat(256);
        for (written, id) in [
            (r#""a""#, r#""a""#.to_owned()),
            (r#""\u0061\n""#, r#""a\n""#.to_owned()),
            (r#""\ud83d\ude00""#, "\"😀\"".to_owned()),
            (&format!("\"{longest}\""), format!("\"{longest}\"")),
            ("0", "0".to_owned()),
            ("-1", "-1".to_owned()),
            ("-9223372036854775808", "-9223372036854775808".to_owned()),
            ("18446744073709551615", "18446744073709551615".to_owned()),
        ] {
            assert_eq!(parse(written), Ok(id));
        }
    }

    #[test]
    fn ids_that_are_refused() {
        use IdError::*;
        let too_long = format!("\"{}\"", "é".repeat(257));
        for (written, error) in [
            (r#""""#, Empty),
            (too_long.as_str(), TooLong),
            (r#""\ud800""#, LoneSurrogate),
            (r#""\udc00\ud800""#, LoneSurrogate),
            ("1.0", NotAnInteger),
            ("1e0", NotAnInteger),
            ("-0", NotAnInteger),
            ("1E999", NotAnInteger),
            ("18446744073709551616", OutOfRange),
            ("-9223372036854775809", OutOfRange),
            (&"9".repeat(99), OutOfRange),
            ("true", Type),
            ("null", Type),
            ("[1]", Type),
            ("{}", Type),
        ] {
            assert_eq!(parse(written), Err(error), "{written}");
        }
    }

    #[test]
    fn ids_are_equal_by_type_and_unescaped_text() {
        let id = |written| JobId::parse(written).unwrap();
        let (a, b) = (id(r#""a""#), id(r#""\u0061""#));
        assert_eq!((&a, a.fingerprint()), (&b, b.fingerprint()));
        assert_ne!(id("1"), id(r#""1""#));
    }

    #[test]
    fn an_id_knows_how_it_is_written() {
        for (id, written, same) in [
            (r#""a""#, r#""a""#, true),
            (r#""a""#, r#""\u0061""#, true),
            (r#""\u0061""#, r#""a""#, true),
            (r#""a""#, r#""b""#, false),
            (r#""a""#, "\"a", false),
            (r#""a\\b""#, r#""a\\b""#, true),
            // A backspace, which is written as the id's text is.
            (r#""a\\b""#, r#""a\b""#, false),
            (r#""7""#, "7", false),
            ("7", r#""7""#, false),
            ("7", "7", true),
            ("7", "77", false),
            ("0", "-0", false),
            ("7", "7.0", false),
            ("-9223372036854775808", "-9223372036854775808", true),
            ("18446744073709551615", "18446744073709551615", true),
            ("7", "", false),
            ("7", "null", false),
        ] {
            let found = JobId::parse(id).unwrap().is_written_as(written);
            assert_eq!(found, same, "{id} as {written}");
        }
    }

    #[test]
    fn an_id_keeps_how_it_was_written() {
        for written in [
            r#""a""#,
            r#""\u0061""#,
            r#""\/\u00E9\n""#,
            "\"\u{e9}\u{7f}\"",
            "-7",
            "18446744073709551615",
        ] {
            assert_eq!(JobId::parse(written).unwrap().written(), written);
        }
    }

    #[test]
    fn an_id_and_its_twin_of_the_other_type() {
        for (id, twin) in [
            ("7", Some(r#""7""#)),
            (r#""7""#, Some("7")),
            ("-1", Some(r#""-1""#)),
            (r#""18446744073709551615""#, Some("18446744073709551615")),
            (r#""18446744073709551616""#, None),
            (r#""007""#, None),
            (r#""+7""#, None),
            (r#""-0""#, None),
            (r#""7.0""#, None),
            (r#""a""#, None),
        ] {
            let other = JobId::parse(id).unwrap().of_other_type();
            let told = other.as_ref().map(ToString::to_string);
            assert_eq!(told.as_deref(), twin, "{id}");
            if let Some(other) = other {
                assert_eq!(other.of_other_type(), JobId::parse(id).ok(), "{id}");
            }
        }
    }
}
