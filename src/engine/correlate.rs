//! An upstream's answer to the results of single jobs: by id, never by position.
//!
//! Pure: bytes in, one [`Outcome`] per job out, in the order of the ids given.
//! Results are slices of the answer, byte for byte. Elements are told apart before
//! they are read, so that one which is not JSON is its own job's misfortune.

mod results;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use bytes::Bytes;

use crate::fault::{Instead, NotResults, Unmatched};
use crate::job_id::JobId;
use crate::json::scan::{self, Part};
use crate::json::{self, Shape};

pub use results::{Correlation, Element, ElementError, Outcome};

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
            Read::Malformed { id: Some(id) } => (id, Outcome::Malformed(raw())),
            Read::Malformed { id: None } => return unmatched.malformed += 1,
            Read::NoId => return unmatched.no_id += 1,
            Read::TwoIds => return unmatched.two_ids += 1,
            Read::NotAnObject => return unmatched.not_an_object += 1,
        };
        match index.find(id) {
            Ok(at) => outcomes[at].add(outcome),
            Err(other) => {
                unmatched.unknown_id += 1;
                if let Some(at) = other
                    && let Outcome::Missing { other_type } = &mut outcomes[at]
                {
                    *other_type = true;
                }
            }
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

    /// The place of the job with the id that is written so. Where there is none: that
    /// of the job whose id is the same but for its JSON type, if there is one.
    fn find(&mut self, written: &str) -> Result<usize, Option<usize>> {
        let expected = self.ids.get(self.next);
        let at = match expected.is_some_and(|id| id.is_written_as(written)) {
            true => self.next,
            false => self.look_up(&JobId::parse(written).map_err(|_| None)?)?,
        };
        self.next = at + 1;
        Ok(at)
    }

    fn look_up(&mut self, id: &JobId) -> Result<usize, Option<usize>> {
        let all = || self.ids.iter().enumerate().map(|(at, &id)| (id, at));
        let by_id = self.by_id.get_or_insert_with(|| all().collect());
        let place = |id: &JobId| by_id.get(id).copied();
        place(id).ok_or_else(|| place(&id.of_other_type()?))
    }
}

/// What is read of an element; its id as it is written, which may be none that a job
/// could have.
enum Read<'a> {
    Sound {
        id: &'a str,
        error: Option<ElementError>,
    },
    /// Not JSON, or too deep; with its id where that can be read all the same.
    Malformed {
        id: Option<&'a str>,
    },
    NoId,
    TwoIds,
    NotAnObject,
}

fn read(part: Part<'_>) -> Read<'_> {
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
            id,
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
fn odd_id(part: Part<'_>) -> Option<&str> {
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
    JobId::parse(id).is_ok().then_some(id)
}
