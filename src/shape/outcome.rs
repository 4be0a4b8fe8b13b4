//! What becomes of each call, in words.

use bytes::Bytes;

use super::pieces::Spliced;
use crate::fault::Unsound;

/// What an answer has for one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its reply.
    Reply(Reply),
    /// A result that it should have is not there.
    Missing {
        /// One has its id but for the JSON type: `"7"` for 7, or 7 for `"7"`.
        other_type: bool,
    },
    /// Several have its id, and they differ: a guess could deliver the wrong one.
    Ambiguous,
    /// One of its results is not JSON, or nests too deep; as it is written.
    Malformed(Bytes),
}

impl Outcome {
    /// Why there is no reply, if there is none.
    pub fn unsound(&self) -> Option<Unsound> {
        match self {
            Self::Reply(_) => None,
            Self::Missing { other_type: true } => Some(Unsound::OtherType),
            Self::Missing { other_type: false } => Some(Unsound::Missing),
            Self::Ambiguous => Some(Unsound::Ambiguous),
            Self::Malformed(_) => Some(Unsound::Malformed),
        }
    }
}

/// A caller's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its status, from 200 to 599.
    pub status: u16,
    /// Whether the upstream says that the call failed.
    pub is_error: bool,
    /// Empty where the status allows none.
    pub body: Spliced,
}
