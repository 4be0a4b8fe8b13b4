//! From the answer to a batch to what each of its calls gets.

use bytes::Bytes;

use super::call::Call;
use super::element::{self, Read, Seen};
use super::form::{Matching, Results, Shape};
use super::ids::WireIds;
use super::matching::{self, Slot};
use super::no_results::NoResults;
use super::outcome::Outcome;
use super::outer::Outer;
use super::reply::Replies;
use super::share::Stretch;
use crate::fault::{Instead, NotResults, Unmatched};
use crate::json::pointer::only_each;
use crate::json::scan::{self, Part};
use crate::json::{self, MAX_DEPTH};

/// What an answer comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// One for each call, in their order.
    pub outcomes: Vec<Outcome>,
    /// The results that belong to nobody.
    pub unmatched: Unmatched,
}

impl Answer {
    /// Whether there is nothing for any of the calls.
    pub fn is_for_nobody(&self) -> bool {
        let mut outcomes = self.outcomes.iter();
        outcomes.all(|it| matches!(it, Outcome::Missing { .. }))
    }
}

impl Shape {
    /// Reads the answer to a batch that [`write`](Self::write) wrote of these calls, with
    /// the same `first_number`, and writes each call's reply. One that went as it came is
    /// not to be read, nor is one of a shape that [has no results](Self::has_no_results).
    ///
    /// # Errors
    /// Why nobody gets a result. A single bad one is its own call's outcome, or only counted.
    pub fn read_answer<'a>(
        &self,
        calls: impl Iterator<Item = &'a Call> + Clone,
        first_number: u64,
        answer: &Bytes,
    ) -> Result<Answer, NoResults> {
        // What some writers put there and a parser may ignore (RFC 8259, section 8.1).
        let text = answer.strip_prefix(b"\xef\xbb\xbf").unwrap_or(answer);
        let items = calls.clone().map(Call::count).sum();
        let several = calls.clone().nth(1).is_some();
        let (parts, outer) = match &self.results {
            Results::None => (Vec::new(), Outer::default()),
            Results::Same => return self.same(calls, answer, text),
            Results::Lines => (lines(text), Outer::default()),
            Results::At(_) => match self.array(text, items) {
                // An object in place of an array, and not in it.
                Err(_) if several && self.refusal_one && is_object(text) => {
                    return Err(NoResults::Refused);
                }
                array => array?,
            },
        };
        let mut ids = match self.rewrite {
            true => WireIds::Numbers {
                first: first_number,
                count: items,
            },
            false => WireIds::own(calls.clone(), self.shows_ids()),
        };
        if several && self.refusal_one && items > 1 && self.is_refusal(&parts, &mut ids) {
            return Err(NoResults::Refused);
        }
        let form = &self.element;
        let (slots, unmatched) = match self.matching {
            Matching::Id => matching::by_id(form, &mut ids, items, &parts),
            place => {
                let slots = matching::by_place(form, place, &ids, items, &parts)?;
                (slots, Unmatched::default())
            }
        };
        let replies = Replies {
            shape: self,
            answer,
            outer: &outer,
        };
        let shares = !self.reply.pointers.is_empty();
        let bytes = |call: &Call| if shares { call.items_len() } else { 0 };
        let all = calls.clone().map(bytes).sum();
        let (mut rest, mut before) = (&slots[..], 0);
        let outcomes = calls.map(|call| {
            let (mine, others) = rest.split_at_checked(call.count()).unwrap_or((rest, &[]));
            rest = others;
            let own = bytes(call);
            let stretch = Stretch { before, own, all };
            before += own;
            replies.outcome(call, mine, stretch)
        });
        Ok(Answer {
            outcomes: outcomes.collect(),
            unmatched,
        })
    }

    /// Everybody gets all of it.
    fn same<'a>(
        &self,
        calls: impl Iterator<Item = &'a Call>,
        answer: &Bytes,
        text: &[u8],
    ) -> Result<Answer, NoResults> {
        let raw = text.trim_ascii();
        let depth = depth(raw);
        let read = element::read(&self.element, Part { raw, depth });
        if let Read::Malformed(raw) = read {
            return Err(NoResults::NotJson(Instead::of(raw)));
        }
        let slot = [Slot::of(read)];
        let replies = Replies {
            shape: self,
            answer,
            outer: &Outer::default(),
        };
        let whole = Stretch {
            before: 0,
            own: 1,
            all: 1,
        };
        let outcomes = calls.map(|call| replies.outcome(call, &slot, whole));
        Ok(Answer {
            outcomes: outcomes.collect(),
            unmatched: Unmatched::default(),
        })
    }

    /// The elements of the array of results, and what replies name of the rest.
    fn array<'t>(&self, text: &'t [u8], items: usize) -> Result<(Vec<Part<'t>>, Outer), NoResults> {
        let Results::At(pointer) = &self.results else {
            return Ok((Vec::new(), Outer::default()));
        };
        let mut outer = Outer::default();
        let mut array = text;
        if !pointer.is_whole() {
            let pointers = std::iter::once(pointer).chain(&self.reply.pointers);
            let places = match text.trim_ascii_start().first() {
                Some(b'{' | b'[') => only_each(text, pointers).map_err(NotResults::Unreadable)?,
                _ => Vec::new(),
            };
            let not_there = || NoResults::NotThere {
                at: pointer.to_string(),
                answer: match Instead::of(text) {
                    Instead::Wrapped => Instead::Object,
                    other => other,
                },
            };
            let (at, others) = places.split_first().ok_or_else(not_there)?;
            array = at.clone().map(|at| &text[at]).ok_or_else(not_there)?;
            outer = Outer::read(text, others, self.element.nan);
        }
        if array.trim_ascii_start().first() != Some(&b'[') {
            return Err(NotResults::NotAnArray(Instead::of(array)).into());
        }
        // As many as they should be, unless that is more than can be.
        let mut parts = Vec::with_capacity(items.min(array.len()));
        scan::elements(array, |part| parts.push(part)).map_err(NotResults::Unreadable)?;
        Ok((parts, outer))
    }

    /// Whether one result, the first item's, is an error in place of several.
    fn is_refusal(&self, parts: &[Part<'_>], ids: &mut WireIds<'_>) -> bool {
        let &[part] = parts else {
            return false;
        };
        let Read::Sound(element) = element::read(&self.element, part) else {
            return false;
        };
        let Seen::At(id) = element.id else {
            return false;
        };
        let id = element.written(id);
        element.failed && ids.find(id) == Ok(0)
    }
}

/// The results of an answer that has one on each line (NDJSON).
fn lines(text: &[u8]) -> Vec<Part<'_>> {
    let lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let lines = lines.filter(|raw| !raw.is_empty());
    let parts = lines.map(|raw| Part {
        raw,
        depth: depth(raw),
    });
    parts.collect()
}

/// How deep a result nests, as far as that matters.
fn depth(raw: &[u8]) -> usize {
    match json::deeper_than(MAX_DEPTH, raw) {
        true => MAX_DEPTH + 1,
        false => 0,
    }
}

fn is_object(text: &[u8]) -> bool {
    scan::members(text, |_, _| {}).is_ok()
}
