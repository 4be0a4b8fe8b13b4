//! Which result is which item's.

use super::element::{self, Element, Read, Reads, Seen};
use super::form::{ElementForm, Matching};
use super::ids::WireIds;
use super::no_results::Count;
use crate::fault::Unmatched;

/// What an answer has for one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slot<'a> {
    Found(Element<'a>),
    /// Nothing.
    Missing {
        /// A result has its id but for the JSON type.
        other_type: bool,
    },
    /// Several, and they differ.
    Ambiguous,
    /// Something that is not JSON.
    Malformed(&'a [u8]),
}

impl<'a> Slot<'a> {
    /// What one result comes to by itself.
    pub fn of(read: Read<'a>) -> Self {
        match read {
            Read::Malformed(raw) => Self::Malformed(raw),
            Read::Sound(element) => Self::Found(element),
        }
    }

    /// One more result has the item's id.
    fn add(&mut self, read: Read<'a>) {
        let same = match self {
            Self::Missing { .. } => return *self = Self::of(read),
            Self::Found(one) => one.raw.as_bytes() == read.raw(),
            Self::Malformed(one) => *one == read.raw(),
            Self::Ambiguous => false,
        };
        if !same {
            *self = Self::Ambiguous;
        }
    }
}

/// Matches results to so many items by their ids.
pub(super) fn by_id<'a>(
    form: &ElementForm,
    ids: &mut WireIds<'_>,
    items: usize,
    reads: Vec<Read<'a>>,
) -> (Vec<Slot<'a>>, Unmatched) {
    let mut slots = vec![Slot::Missing { other_type: false }; items];
    let mut unmatched = Unmatched::default();
    for read in reads {
        let id = match &read {
            Read::Sound(element) => match element.id {
                Seen::At(at) => element.written(at),
                Seen::Nowhere => {
                    match element.is_object {
                        true => unmatched.no_id += 1,
                        false => unmatched.not_an_object += 1,
                    }
                    continue;
                }
                Seen::Twice => {
                    unmatched.two_ids += 1;
                    continue;
                }
            },
            Read::Malformed(raw) => match element::odd_id(raw, form.id.as_ref()) {
                Some(id) => id,
                None => {
                    unmatched.malformed += 1;
                    continue;
                }
            },
        };
        match ids.find(id) {
            Ok(at) => slots[at].add(read),
            Err(other) => {
                unmatched.unknown_id += 1;
                if let Some(at) = other
                    && let Slot::Missing { other_type } = &mut slots[at]
                {
                    *other_type = true;
                }
            }
        }
    }
    (slots, unmatched)
}

/// Matches results to so many items by their places, or by the places that they name.
///
/// # Errors
/// One that can't be right, so that none can be trusted.
pub(super) fn by_place<'a>(
    form: &ElementForm,
    matching: Matching,
    ids: &WireIds<'_>,
    items: usize,
    reads: Reads<'a>,
) -> Result<Vec<Slot<'a>>, Count> {
    let results = reads.all;
    if results != items {
        return Err(Count::Results { items, results });
    }
    let mut slots: Vec<Option<Slot<'a>>> = vec![None; items];
    for (at, read) in reads.first.into_iter().enumerate() {
        let place = match matching {
            Matching::Index => index(form, &read, items).ok_or(Count::NoIndex {
                at,
                last: items.saturating_sub(1),
            })?,
            _ => at,
        };
        if !agrees(form, ids, place, &read) {
            return Err(Count::OtherId { at: place });
        }
        if slots[place].replace(Slot::of(read)).is_some() {
            return Err(Count::IndexTwice { index: place });
        }
    }
    // As many results as items, and no two in one place.
    Ok(slots.into_iter().flatten().collect())
}

/// The place that a result names.
fn index(form: &ElementForm, read: &Read<'_>, items: usize) -> Option<usize> {
    let digits = match read {
        Read::Sound(element) => match element.index {
            Seen::At(at) => element.written(at),
            _ => return None,
        },
        Read::Malformed(raw) => element::odd(raw, form.index.as_ref())?,
    };
    // Written by JSON's rules a whole number has one way to be written.
    digits.parse().ok().filter(|&index| index < items)
}

/// Whether the ids of a result and of the item there, where both show one, are the same.
fn agrees(form: &ElementForm, ids: &WireIds<'_>, place: usize, read: &Read<'_>) -> bool {
    match read {
        Read::Sound(element) => match element.id {
            Seen::Nowhere => true,
            Seen::At(at) => ids.agree(place, element.written(at)),
            Seen::Twice => false,
        },
        Read::Malformed(raw) => {
            element::odd_id(raw, form.id.as_ref()).is_none_or(|id| ids.agree(place, id))
        }
    }
}
