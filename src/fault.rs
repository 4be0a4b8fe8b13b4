//! What can be wrong with the answer to a batch: the kinds of it, with their words for
//! the operator.
//!
//! Who reads an answer finds them, the log and the metrics tell of them, and the advice
//! knows what to do about each.

use thiserror::Error;

use crate::code::Code;
use crate::json::scan::{self, Unreadable};

/// Why an answer holds no results at all. The texts are for the operator's log.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NotResults {
    /// An array that can't be followed to its end.
    #[error("an array whose elements can't be told apart: {0}")]
    Unreadable(Unreadable),
    /// Something else.
    #[error("not an array but {0}")]
    NotAnArray(Instead),
}

/// What stands in place of an array.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Instead {
    /// No bytes, or whitespace alone.
    #[error("nothing")]
    Nothing,
    /// An object with an array in one of its members.
    #[error("an object with an array in it: the results must be the whole answer")]
    Wrapped,
    /// Any other object.
    #[error("an object")]
    Object,
    /// A string, a number, `true`, `false` or `null`.
    #[error("a single value")]
    Value,
    /// Several documents.
    #[error("several JSON documents, one after another")]
    Several,
    /// A page or another document with tags.
    #[error("HTML or XML")]
    Markup,
    /// Bytes that gzip starts with (RFC 1952, 2.3.1).
    #[error("compressed bytes (gzip)")]
    Gzip,
    /// None of these.
    #[error("no JSON")]
    Other,
}

impl Instead {
    /// What an answer is that is no array.
    pub fn of(text: &[u8]) -> Self {
        match text.trim_ascii() {
            [] => Self::Nothing,
            [b'{', ..] => Self::of_object(text),
            [b'<', ..] => Self::Markup,
            [0x1f, 0x8b, ..] => Self::Gzip,
            _ if serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok() => Self::Value,
            _ => Self::Other,
        }
    }

    /// What begins like an object.
    fn of_object(text: &[u8]) -> Self {
        let mut wrapped = false;
        match scan::members(text, |_, value| wrapped |= value.raw.starts_with(b"[")) {
            Ok(()) if wrapped => Self::Wrapped,
            Ok(()) => Self::Object,
            // The first has ended, and there is more.
            Err(Unreadable::Byte { at }) if text[..at].trim_ascii_end().ends_with(b"}") => {
                Self::Several
            }
            Err(_) => Self::Other,
        }
    }
}

/// Why a job has no sound result in an answer that has results. The texts are for
/// the operator.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Unsound {
    /// A result has its id but for the JSON type.
    #[error("the id came back as another JSON type")]
    OtherType,
    /// No result has its id.
    #[error("no result has the job's id")]
    Missing,
    /// Several do, and they differ.
    #[error("different results have the job's id")]
    Ambiguous,
    /// The one that does can't be read.
    #[error("the job's result is not JSON")]
    Malformed,
}

impl Unsound {
    /// Every reason, in the order of the enum.
    pub const ALL: [Self; 4] = [
        Self::OtherType,
        Self::Missing,
        Self::Ambiguous,
        Self::Malformed,
    ];

    /// What the job comes to.
    pub fn code(self) -> Code {
        match self {
            Self::OtherType | Self::Missing => Code::ResultMissing,
            Self::Ambiguous => Code::ResultAmbiguous,
            Self::Malformed => Code::ResultMalformed,
        }
    }
}

/// How many elements belong to nobody, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unmatched {
    /// An id that no job of the batch has.
    pub unknown_id: usize,
    /// No id.
    pub no_id: usize,
    /// More than one member `id`.
    pub two_ids: usize,
    /// Not an object.
    pub not_an_object: usize,
    /// Not JSON, and without an id that can be read.
    pub malformed: usize,
}

impl Unmatched {
    /// What can be wrong with an element.
    pub const KINDS: [&str; 5] = [
        "unknown-id",
        "no-id",
        "two-ids",
        "not-an-object",
        "malformed",
    ];

    /// How many there are of each of [`KINDS`](Self::KINDS).
    pub fn by_kind(&self) -> [usize; 5] {
        [
            self.unknown_id,
            self.no_id,
            self.two_ids,
            self.not_an_object,
            self.malformed,
        ]
    }

    /// All of them.
    pub fn total(&self) -> usize {
        self.by_kind().iter().sum()
    }
}
