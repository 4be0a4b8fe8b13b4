//! What an answer holds for the jobs of a batch, in words.

use bytes::Bytes;

use crate::fault::{Unmatched, Unsound};

/// What the answer holds for one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its result.
    Found(Element),
    /// No result has its id.
    Missing {
        /// One has it but for its JSON type: `"7"` for 7, or 7 for `"7"`.
        other_type: bool,
    },
    /// Several have, and they differ: a guess could deliver the wrong one.
    Ambiguous,
    /// The one that has it is not JSON, or nests too deep; as it is written.
    Malformed(Bytes),
}

impl Outcome {
    /// One more element has the job's id.
    pub(super) fn add(&mut self, other: Self) {
        let same = match (&*self, &other) {
            (Self::Missing { .. }, _) => return *self = other,
            (Self::Found(one), Self::Found(other)) => one.raw == other.raw,
            (Self::Malformed(one), Self::Malformed(other)) => one == other,
            _ => false,
        };
        if !same {
            *self = Self::Ambiguous;
        }
    }

    /// Why the job has no sound result, if it has none.
    pub fn unsound(&self) -> Option<Unsound> {
        match self {
            Self::Found(_) => None,
            Self::Missing { other_type: true } => Some(Unsound::OtherType),
            Self::Missing { other_type: false } => Some(Unsound::Missing),
            Self::Ambiguous => Some(Unsound::Ambiguous),
            Self::Malformed(_) => Some(Unsound::Malformed),
        }
    }
}

/// A result as the upstream wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// The object.
    pub raw: Bytes,
    /// Whether it is the job's error rather than its result.
    pub error: Option<ElementError>,
}

/// What a result with an `error` says of its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElementError {
    /// Its own `status`, where that is an integer from 400 to 599.
    pub status: Option<u16>,
}

/// What an answer comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correlation {
    /// One for each id.
    pub outcomes: Vec<Outcome>,
    /// The elements that belong to nobody.
    pub unmatched: Unmatched,
}

impl Correlation {
    /// Whether there is nothing for any of the ids.
    pub fn is_for_no_job(&self) -> bool {
        self.outcomes
            .iter()
            .all(|it| matches!(it, Outcome::Missing { .. }))
    }
}
