//! An upstream's answer to the results of single jobs: by id, never by position.
//!
//! Pure: bytes in, one [`Outcome`] per job out, in the order of the ids given.
//! Results are slices of the answer, byte for byte.

use std::collections::HashMap;

use bytes::Bytes;
use thiserror::Error;

use crate::job::JobId;
use crate::json::{self, Shape};

/// What the answer holds for one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its result.
    Found(Element),
    /// No result has its id.
    Missing,
    /// Several have, and they differ: a guess could deliver the wrong one.
    Ambiguous,
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
}

impl Unmatched {
    /// What can be wrong with an element.
    pub const KINDS: [&str; 4] = ["unknown-id", "no-id", "two-ids", "not-an-object"];

    /// How many there are of each of [`KINDS`](Self::KINDS).
    pub fn by_kind(&self) -> [usize; 4] {
        [
            self.unknown_id,
            self.no_id,
            self.two_ids,
            self.not_an_object,
        ]
    }

    /// All of them.
    pub fn total(&self) -> usize {
        self.unknown_id + self.no_id + self.two_ids + self.not_an_object
    }
}

/// Why an answer holds no results at all.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NotResults {
    /// Not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// Not JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// A result nests too deep.
    #[error("a result is nested deeper than {} levels", json::MAX_DEPTH)]
    TooDeep,
    /// JSON, but no array.
    #[error("not an array")]
    NotAnArray,
}

/// Finds each id's result in `answer`. The ids are distinct.
///
/// # Errors
/// [`NotResults`] when the answer as a whole is not an array of JSON values; a
/// single bad element is only counted.
pub fn correlate<'a>(
    ids: impl ExactSizeIterator<Item = &'a JobId>,
    answer: &Bytes,
) -> Result<Correlation, NotResults> {
    let text = std::str::from_utf8(answer).map_err(|_| NotResults::NotUtf8)?;
    let mut outcomes = vec![Outcome::Missing; ids.len()];
    let index: HashMap<&JobId, usize> = ids.enumerate().map(|(i, id)| (id, i)).collect();
    let mut unmatched = Unmatched::default();
    let is_array = json::visit_elements(text, |written| {
        let found = match read(written, answer) {
            Read::Element(id, element) => id
                .and_then(|id| index.get(&id))
                .map(|&at| (&mut outcomes[at], element)),
            Read::NoId => return unmatched.no_id += 1,
            Read::TwoIds => return unmatched.two_ids += 1,
            Read::NotAnObject => return unmatched.not_an_object += 1,
        };
        match found {
            Some((outcome, element)) => outcome.add(element),
            None => unmatched.unknown_id += 1,
        }
    })
    .map_err(|error| NotResults::NotJson(error.to_string()))?;
    // The array stands around results that may nest as deep as their jobs did.
    if json::deeper_than(json::MAX_DEPTH + 1, answer) {
        return Err(NotResults::TooDeep);
    }
    if !is_array {
        return Err(NotResults::NotAnArray);
    }
    Ok(Correlation {
        outcomes,
        unmatched,
    })
}

impl Outcome {
    fn add(&mut self, element: Element) {
        *self = match std::mem::replace(self, Self::Missing) {
            Self::Missing => Self::Found(element),
            Self::Found(first) if first.raw == element.raw => Self::Found(first),
            Self::Found(_) | Self::Ambiguous => Self::Ambiguous,
        };
    }
}

enum Read {
    /// With an id that a job could have, or `None` for one that none can.
    Element(Option<JobId>, Element),
    NoId,
    TwoIds,
    NotAnObject,
}

fn read(written: &str, answer: &Bytes) -> Read {
    let (mut id, mut ids, mut is_error, mut status) = (None, 0, false, None);
    let shape = json::visit_members(
        written,
        &["id", "error", "status"],
        |name, value| match name {
            0 => {
                id = Some(value);
                ids += 1;
            }
            1 => is_error |= !matches!(value, "null" | "\"\""),
            _ => {
                status = value
                    .parse()
                    .ok()
                    .filter(|status| (400..=599).contains(status));
            }
        },
    );
    match (shape, id, ids) {
        (Ok(Shape::Object), Some(id), 1) => Read::Element(
            JobId::parse(id).ok(),
            Element {
                raw: answer.slice_ref(written.as_bytes()),
                error: is_error.then_some(ElementError { status }),
            },
        ),
        (Ok(Shape::Object), None, _) => Read::NoId,
        (Ok(Shape::Object), ..) => Read::TwoIds,
        (Ok(Shape::Other) | Err(_), ..) => Read::NotAnObject,
    }
}

#[cfg(test)]
#[path = "correlate_tests.rs"]
mod tests;
