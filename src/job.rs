//! The words on the wire: a job, its id, and what can be wrong with them.
//!
//! A [`Job`] is the caller's object byte for byte, plus the id found in it.
//! `http::jobs` makes them, the engine joins them; both compare ids by
//! [`JobId`] alone.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use bytes::Bytes;
use compact_str::{CompactString, format_compact};
use serde::{Serialize, Serializer};
use thiserror::Error;

use crate::json::{self, Shape};
use crate::trace_context::TraceContext;

/// The longest id, in Unicode code points.
pub const MAX_ID_CHARS: usize = 256;

/// One job: the object as the caller wrote it, and its id.
#[derive(Clone, Debug)]
pub struct Job {
    id: JobId,
    key: u64,
    raw: Bytes,
    trace: Option<Box<TraceContext>>,
}

impl Job {
    /// Reads the body of a request, which may nest `max_depth` levels, itself the
    /// first. The result keeps the body's memory.
    ///
    /// # Errors
    /// [`JobError::Malformed`] before all others: whatever is not JSON is not a
    /// job with a fault.
    pub fn parse(body: Bytes, max_depth: usize) -> Result<Self, JobError> {
        let raw = json::trim(body);
        let text = std::str::from_utf8(&raw)
            .map_err(|error| JobError::Malformed(format!("not UTF-8: {error}")))?;
        let mut ids = (None, 0_usize);
        let shape = json::visit_members(text, &["id"], |_, value| {
            ids.0.get_or_insert(value);
            ids.1 += 1;
        })
        .map_err(|error| JobError::Malformed(error.to_string()))?;
        if json::deeper_than(max_depth, &raw) {
            return Err(JobError::Malformed(format!(
                "nested deeper than {max_depth} levels"
            )));
        }
        let id = match (shape, ids) {
            (Shape::Other, _) => return Err(JobError::NotAnObject),
            (Shape::Object, (None, _)) => return Err(JobError::NoId),
            (Shape::Object, (Some(id), 1)) => JobId::parse(id)?,
            (Shape::Object, _) => return Err(JobError::TwoIds),
        };
        Ok(Self {
            key: id.fingerprint(),
            id,
            raw,
            trace: None,
        })
    }

    /// The same job, with the trace its caller belongs to.
    #[must_use]
    pub fn with_trace(mut self, trace: Option<Box<TraceContext>>) -> Self {
        self.trace = trace;
        self
    }

    /// The id, by which its result will be known.
    pub fn id(&self) -> &JobId {
        &self.id
    }

    /// The object as it came, without outer whitespace.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The caller's trace, where it sent a valid one.
    pub fn trace(&self) -> Option<&TraceContext> {
        self.trace.as_deref()
    }

    /// A number that is equal for equal ids, and different for different ones
    /// but for chance. Meaningful within this process alone.
    pub fn key(&self) -> u64 {
        self.key
    }
}

/// A job's id. `"1"` and `1` are two ids; strings compare after unescaping.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct JobId(Repr);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Repr {
    /// Unescaped. A short one stands here itself: to share the request's memory
    /// would cost more than to copy it.
    String(CompactString),
    Integer(i128),
}

impl JobId {
    /// Reads an id as written in JSON.
    ///
    /// # Errors
    /// Any [`JobError`] that concerns the id's value.
    pub fn parse(written: &str) -> Result<Self, JobError> {
        match written.as_bytes() {
            [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => {
                Self::string(&written[1..=inner.len()])
            }
            [b'"', ..] => {
                let text: String =
                    serde_json::from_str(written).map_err(|_| JobError::LoneSurrogate)?;
                Self::string(&text)
            }
            [b'-' | b'0'..=b'9', ..] => Self::integer(written).map(Self),
            _ => Err(JobError::IdType),
        }
    }

    fn string(text: &str) -> Result<Self, JobError> {
        match text.chars().count() {
            0 => Err(JobError::EmptyId),
            1..=MAX_ID_CHARS => Ok(Self(Repr::String(text.into()))),
            _ => Err(JobError::IdTooLong),
        }
    }

    fn integer(written: &str) -> Result<Repr, JobError> {
        if written == "-0" || written.contains(['.', 'e', 'E']) {
            return Err(JobError::IdNotAnInteger);
        }
        match written.parse::<i128>() {
            Ok(n) if (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&n) => {
                Ok(Repr::Integer(n))
            }
            _ => Err(JobError::IdOutOfRange),
        }
    }

    /// Whether `written` is this id in JSON. Tells without making an id of it where it
    /// has nothing escaped.
    pub fn is_written_as(&self, written: &str) -> bool {
        match (&self.0, written.as_bytes()) {
            (Repr::String(text), [b'"', inner @ .., b'"']) if !inner.contains(&b'\\') => {
                inner == text.as_bytes()
            }
            (Repr::Integer(n), digits @ [b'-' | b'0'..=b'9', ..]) => match u64::try_from(*n) {
                Ok(n) => digits == itoa::Buffer::new().format(n).as_bytes(),
                Err(_) => digits == itoa::Buffer::new().format(*n).as_bytes(),
            },
            _ => Self::parse(written).is_ok_and(|id| id == *self),
        }
    }

    /// The id that looks the same but is of the other JSON type: `"7"` for 7, and 7
    /// for `"7"`. Most strings have none.
    pub fn of_other_type(&self) -> Option<Self> {
        match &self.0 {
            Repr::Integer(n) => Some(Self(Repr::String(format_compact!("{n}")))),
            Repr::String(text) => {
                let integer = Self(Self::integer(text).ok()?);
                // `"007"` and `"+7"` are no integers as they are written.
                (integer.to_string() == text.as_str()).then_some(integer)
            }
        }
    }

    fn fingerprint(&self) -> u64 {
        static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        SEED.hash_one(self)
    }
}

impl Serialize for JobId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Repr::String(text) => serializer.serialize_str(text),
            Repr::Integer(n) => serializer.serialize_i128(*n),
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

/// Why a request's body is not a job. The texts are shown to the caller.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum JobError {
    /// Not one JSON document in UTF-8 within the nesting limit.
    #[error("the body is not acceptable JSON: {0}")]
    Malformed(String),
    /// Valid JSON, but no object.
    #[error("a job is a JSON object like {{\"id\": \"42\", \"body\": …}}")]
    NotAnObject,
    /// No member `id`.
    #[error("the job has no \"id\"; give it one, a string or an integer")]
    NoId,
    /// More than one top-level member `id`.
    #[error("the job has more than one \"id\"; parsers would disagree about which counts")]
    TwoIds,
    /// Neither a string nor a number.
    #[error("\"id\" must be a string or an integer")]
    IdType,
    /// The empty string.
    #[error("\"id\" must not be empty")]
    EmptyId,
    /// More than [`MAX_ID_CHARS`] code points.
    #[error("\"id\" must not be longer than {MAX_ID_CHARS} characters")]
    IdTooLong,
    /// A `\ud800` to `\udfff` escape without its other half.
    #[error("\"id\" must be valid Unicode; it has half a surrogate pair")]
    LoneSurrogate,
    /// A fraction, an exponent, or minus zero.
    #[error(
        "a numeric \"id\" must be an integer written without fraction, exponent or negative zero"
    )]
    IdNotAnInteger,
    /// Beyond what 64 bits hold.
    #[error("an integer \"id\" must fit 64 bits: -9223372036854775808 to 18446744073709551615")]
    IdOutOfRange,
}

impl JobError {
    /// Where in the body the fault is, as a JSON pointer (RFC 6901), if it is
    /// in one place.
    pub fn pointer(&self) -> Option<&'static str> {
        match self {
            Self::Malformed(_) => None,
            Self::NotAnObject => Some(""),
            _ => Some("/id"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<String, JobError> {
        Job::parse(Bytes::copy_from_slice(body.as_bytes()), json::MAX_DEPTH)
            .map(|job| job.id().to_string())
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
            assert_eq!(parse(&format!(r#"{{"id":{written}}}"#)), Ok(id));
        }
    }

    #[test]
    fn ids_that_are_refused() {
        use JobError::*;
        let too_long = format!("\"{}\"", "é".repeat(257));
        for (written, error) in [
            (r#""""#, EmptyId),
            (too_long.as_str(), IdTooLong),
            (r#""\ud800""#, LoneSurrogate),
            (r#""\udc00\ud800""#, LoneSurrogate),
            ("1.0", IdNotAnInteger),
            ("1e0", IdNotAnInteger),
            ("-0", IdNotAnInteger),
            ("1E999", IdNotAnInteger),
            ("18446744073709551616", IdOutOfRange),
            ("-9223372036854775809", IdOutOfRange),
            (&"9".repeat(99), IdOutOfRange),
            ("true", IdType),
            ("null", IdType),
            ("[1]", IdType),
            ("{}", IdType),
        ] {
            let body = format!(r#"{{"id":{written}}}"#);
            assert_eq!(parse(&body), Err(error), "{written}");
        }
        assert_eq!(parse("[]"), Err(NotAnObject));
        assert_eq!(parse("{}"), Err(NoId));
        assert_eq!(parse(r#"{"ID":1,"body":{"id":1}}"#), Err(NoId));
        assert_eq!(parse(r#"{"id":1,"\u0069d":1}"#), Err(TwoIds));
    }

    #[test]
    fn what_is_not_json_is_told_before_what_is_no_job() {
        for body in [r#"{"id":1.5,"#, r#"{"id":1,"id":2"#, "", "[] []"] {
            assert!(matches!(parse(body), Err(JobError::Malformed(_))), "{body}");
        }
        let not_utf8 = Job::parse(Bytes::from_static(b"{\"id\":\"\xff\"}"), json::MAX_DEPTH);
        assert!(matches!(not_utf8, Err(JobError::Malformed(_))));
    }

    #[test]
    fn ids_are_equal_by_type_and_unescaped_text() {
        let job = |body: &'static str| {
            Job::parse(Bytes::from_static(body.as_bytes()), json::MAX_DEPTH).unwrap()
        };
        let (a, b) = (job(r#"{"id":"a"}"#), job(r#"{"id":"\u0061"}"#));
        assert_eq!((a.id(), a.key()), (b.id(), b.key()));
        assert_ne!(job(r#"{"id":1}"#).id(), job(r#"{"id":"1"}"#).id());
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

    #[test]
    fn the_object_is_kept_byte_for_byte() {
        let body = "\n {\"b\":1.00, \"id\" : 7,\"b\":12345678901234567890123} \t";
        let job = Job::parse(Bytes::from_static(body.as_bytes()), json::MAX_DEPTH).unwrap();
        assert_eq!(job.raw(), body.trim());
    }
}
