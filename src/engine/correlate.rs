//! An upstream's answer to the results of single jobs: by id, never by position.
//!
//! Pure: bytes in, one [`Outcome`] per job out, in the order of the ids given.
//! Results are slices of the answer, byte for byte. Elements are told apart before
//! they are read, so that one which is not JSON is its own job's misfortune.

use std::collections::HashMap;

use bytes::Bytes;

use crate::fault::{Instead, NotResults, Unmatched, Unsound};
use crate::job::JobId;
use crate::json::scan::{self, Part, Unreadable};
use crate::json::{self, Shape};

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
    pub fn is_for_nobody(&self) -> bool {
        self.outcomes
            .iter()
            .all(|it| matches!(it, Outcome::Missing { .. }))
    }
}

/// The answer without what may stand before it: a byte order mark, which some
/// writers put there and a parser may ignore (RFC 8259, section 8.1).
fn without_mark(answer: &[u8]) -> &[u8] {
    answer.strip_prefix(b"\xef\xbb\xbf").unwrap_or(answer)
}

/// Finds each id's result in `answer`. The ids are distinct.
///
/// # Errors
/// [`NotResults`] when the elements of the answer can't be told apart; a single
/// bad one is its own job's outcome, or only counted.
pub fn correlate<'a>(
    ids: impl Iterator<Item = &'a JobId>,
    answer: &Bytes,
) -> Result<Correlation, NotResults> {
    let text = without_mark(answer);
    if text.trim_ascii_start().first() != Some(&b'[') {
        return Err(NotResults::NotAnArray(Instead::of(text)));
    }
    let mut index = Index::of(ids);
    let mut outcomes = vec![Outcome::Missing { other_type: false }; index.ids.len()];
    let mut unmatched = Unmatched::default();
    scan::elements(text, |part| {
        let raw = || answer.slice_ref(part.raw);
        let (id, outcome) = match read(part) {
            Read::Sound { id, error } => (id, Outcome::Found(Element { raw: raw(), error })),
            Read::Malformed { id: Some(id) } => (Some(id), Outcome::Malformed(raw())),
            Read::Malformed { id: None } => return unmatched.malformed += 1,
            Read::NoId => return unmatched.no_id += 1,
            Read::TwoIds => return unmatched.two_ids += 1,
            Read::NotAnObject => return unmatched.not_an_object += 1,
        };
        if let Some(at) = id.as_ref().and_then(|id| index.find(id)) {
            return outcomes[at].add(outcome);
        }
        unmatched.unknown_id += 1;
        let other = id.as_ref().and_then(JobId::of_other_type);
        if let Some(at) = other.and_then(|id| index.find(&id))
            && let Outcome::Missing { other_type } = &mut outcomes[at]
        {
            *other_type = true;
        }
    })
    .map_err(NotResults::Unreadable)?;
    Ok(Correlation {
        outcomes,
        unmatched,
    })
}

/// Finds a job by its id. Most answers come in the order of the jobs, where one
/// comparison is enough.
struct Index<'a> {
    ids: Vec<&'a JobId>,
    /// Where the next one is expected.
    next: usize,
    /// Made when the order is another for the first time.
    by_id: Option<HashMap<&'a JobId, usize>>,
}

impl<'a> Index<'a> {
    fn of(ids: impl Iterator<Item = &'a JobId>) -> Self {
        Self {
            ids: ids.collect(),
            next: 0,
            by_id: None,
        }
    }

    fn find(&mut self, id: &JobId) -> Option<usize> {
        let at = if self.ids.get(self.next) == Some(&id) {
            self.next
        } else {
            let all = || self.ids.iter().enumerate().map(|(at, &id)| (id, at));
            let by_id = self.by_id.get_or_insert_with(|| all().collect());
            *by_id.get(id)?
        };
        self.next = at + 1;
        Some(at)
    }
}

impl Outcome {
    fn add(&mut self, other: Self) {
        *self = match (std::mem::replace(self, Self::Ambiguous), other) {
            (Self::Missing { .. }, first) => first,
            (Self::Found(one), Self::Found(same)) if one.raw == same.raw => Self::Found(one),
            (Self::Malformed(one), Self::Malformed(same)) if one == same => Self::Malformed(one),
            _ => Self::Ambiguous,
        };
    }
}

enum Read {
    /// With an id that a job could have, or `None` for one that none can.
    Sound {
        id: Option<JobId>,
        error: Option<ElementError>,
    },
    /// Not JSON, or too deep; with its id where that can be read all the same.
    Malformed {
        id: Option<JobId>,
    },
    NoId,
    TwoIds,
    NotAnObject,
}

fn read(part: Part<'_>) -> Read {
    let text = match std::str::from_utf8(part.raw) {
        Ok(text) if part.depth <= json::MAX_DEPTH => text,
        _ => return Read::Malformed { id: odd_id(part) },
    };
    let (mut id, mut ids, mut is_error, mut status) = (None, 0, false, None);
    let shape = json::visit_members(text, &["id", "error", "status"], |name, value| match name {
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
    });
    match (shape, id, ids) {
        (Ok(Shape::Object), Some(id), 1) => Read::Sound {
            id: JobId::parse(id).ok(),
            error: is_error.then_some(ElementError { status }),
        },
        (Ok(Shape::Object), None, _) => Read::NoId,
        (Ok(Shape::Object), ..) => Read::TwoIds,
        (Ok(Shape::Other), ..) => Read::NotAnObject,
        (Err(_), ..) => Read::Malformed { id: odd_id(part) },
    }
}

/// The id of an element that is not JSON, where its members can be told apart, one
/// is called `id`, and that is one.
fn odd_id(part: Part<'_>) -> Option<JobId> {
    let (mut id, mut ids) = (None, 0);
    scan::members(part.raw, |name, value| {
        let name = std::str::from_utf8(name).ok();
        if name
            .and_then(|name| json::position(name, &["id"]))
            .is_some()
        {
            id = std::str::from_utf8(value.raw).ok();
            ids += 1;
        }
    })
    .ok()?;
    let id = id.filter(|_| ids == 1)?;
    // A string with a raw control character in it is none.
    serde_json::from_str::<&serde_json::value::RawValue>(id).ok()?;
    JobId::parse(id).ok()
}

impl Instead {
    fn of(text: &[u8]) -> Self {
        match text.trim_ascii() {
            [] => Self::Nothing,
            [b'{', ..] => Self::object(text),
            [b'<', ..] => Self::Markup,
            [0x1f, 0x8b, ..] => Self::Gzip,
            _ if is_json(text) => Self::Value,
            _ => Self::Other,
        }
    }

    /// What begins like an object.
    fn object(text: &[u8]) -> Self {
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

fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
}

#[cfg(test)]
#[path = "correlate_tests.rs"]
mod tests;
