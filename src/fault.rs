//! What can be wrong with the answer to a batch: the kinds of it, with their words for
//! the operator.
//!
//! Who reads an answer finds them, the log and the metrics tell of them, and the advice
//! knows what to do about each.

use thiserror::Error;

use crate::code::Code;
use crate::json::scan::Unreadable;

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
