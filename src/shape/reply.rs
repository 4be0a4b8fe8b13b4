//! What the callers of a batch are answered.
//!
//! Only what a reply's template names is copied from the answer: what it has of other
//! callers, and what it says of all of them together, never leaks.

use bytes::Bytes;

use super::call::Call;
use super::element::{Element, Seen};
use super::form::{Matching, Results, Shape};
use super::matching::Slot;
use super::outcome::{Outcome, Reply};
use super::outer::Outer;
use super::pieces::{COPIED_BELOW, Spliced, Splicer};
use super::share::Stretch;
use super::span::Span;
use super::template::{Name, Piece};
use crate::json::pointer::within;

/// The status of a reply without anything else to say.
const OK: u16 = 200;

/// Statuses whose answers have no body (RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5).
const WITHOUT_BODY: [u16; 3] = [204, 205, 304];

/// For what stands in place of names that are short, in bytes.
const ROOM_FOR_NAMES: usize = 32;

const NULL: &[u8] = b"null";

/// Writes replies from one answer.
#[derive(Clone, Copy)]
pub(super) struct Replies<'a> {
    pub shape: &'a Shape,
    pub answer: &'a Bytes,
    pub outer: &'a Outer,
}

impl Replies<'_> {
    /// What a call gets, whose results these are: one for each of its items, or with
    /// results `same` the one for all.
    pub fn outcome(&self, call: &Call, results: &[Slot<'_>], stretch: Stretch) -> Outcome {
        if let Some(unsound) = results.iter().find_map(|it| self.unsound(it)) {
            return unsound;
        }
        let (status, is_error) = match results {
            [Slot::Found(one)] if call.count() == 1 || self.shape.results == Results::Same => {
                self.status(one)
            }
            _ => (OK, false),
        };
        let body = match WITHOUT_BODY.contains(&status) {
            true => Spliced::One(Bytes::new()),
            false => self.body(call, results, stretch),
        };
        Outcome::Reply(Reply {
            status,
            is_error,
            body,
        })
    }

    /// Why a result can't be given to its caller, if it can't.
    fn unsound(&self, result: &Slot<'_>) -> Option<Outcome> {
        Some(match result {
            Slot::Missing { other_type } => Outcome::Missing {
                other_type: *other_type,
            },
            Slot::Ambiguous => Outcome::Ambiguous,
            Slot::Malformed(raw) => Outcome::Malformed(self.answer.slice_ref(raw)),
            Slot::Found(element) => match element.part {
                Seen::At(_) => return None,
                Seen::Nowhere => Outcome::Missing { other_type: false },
                Seen::Twice => Outcome::Ambiguous,
            },
        })
    }

    fn status(&self, element: &Element<'_>) -> (u16, bool) {
        let usual = match element.failed {
            true => self.shape.error_status,
            false => OK,
        };
        (element.status.unwrap_or(usual), element.failed)
    }

    fn body(&self, call: &Call, results: &[Slot<'_>], stretch: Stretch) -> Spliced {
        if self.shape.has_plain_replies
            && let [only] = results
            && let Some(own) = Own::of(only)
        {
            let part = &own.element.raw.as_bytes()[own.part.range()];
            return Spliced::One(self.answer.slice_ref(part));
        }
        let mine = results.iter().filter_map(Own::of);
        let copied = mine
            .map(|own| own.part.len())
            .filter(|it| *it < COPIED_BELOW);
        let room = self.shape.reply.literal_len() + copied.sum::<usize>() + ROOM_FOR_NAMES;
        let mut out = Splicer::with_capacity(room);
        for piece in &self.shape.reply.pieces {
            match piece {
                Piece::Text(text) => out.copy(text),
                Piece::Name(name) => self.name(*name, call, results, stretch, &mut out),
            }
        }
        out.finish()
    }

    fn name(
        &self,
        name: Name,
        call: &Call,
        results: &[Slot<'_>],
        stretch: Stretch,
        out: &mut Splicer,
    ) {
        match name {
            Name::Result | Name::Results => {
                for (n, own) in results.iter().filter_map(Own::of).enumerate() {
                    if n > 0 {
                        out.copy(b",");
                    }
                    self.result(call, &own, n, out);
                }
            }
            Name::Id => out.copy(call.raw_id().unwrap_or(NULL)),
            Name::Path(at) => out.copy(call.path(at).map_or(NULL, |it| it)),
            Name::At(at) => out.copy(self.outer.raw(at).map_or(NULL, str::as_bytes)),
            Name::Share(at) => match self.outer.total(at) {
                Some(total) => out.copy(total.share(stretch).as_bytes()),
                None => out.copy(NULL),
            },
            _ => {}
        }
    }

    fn result(&self, call: &Call, own: &Own<'_>, n: usize, out: &mut Splicer) {
        let start = within(self.answer, own.element.raw.as_bytes()).start;
        let part = own.part.range();
        let mut from = part.start;
        for (at, with) in self.edits(call, own, n).into_iter().flatten() {
            let at = at.range();
            if at.start < from {
                continue;
            }
            out.part(self.answer, start + from..start + at.start, false);
            match with {
                With::Number(number) => out.number(number),
                With::Id(id) => out.copy(id),
            }
            from = at.end;
        }
        out.part(self.answer, start + from..start + part.end, false);
    }

    /// What is written in other words in the caller's part of a result, in order.
    fn edits<'c>(&self, call: &'c Call, own: &Own<'_>, n: usize) -> [Option<(Span, With<'c>)>; 2] {
        let (shape, element) = (self.shape, own.element);
        let inside = |seen| match seen {
            Seen::At(at) => Some(at).filter(|at| own.part.contains(*at)),
            _ => None,
        };
        let id = Some(element.id).filter(|_| shape.rewrite).and_then(inside);
        let id = id.and_then(|at| {
            let (_, id) = call.items().get(n)?.id.as_ref()?;
            Some((at, With::Id(&call.body[id.range()])))
        });
        let is_indexed = shape.matching == Matching::Index;
        let index = Some(element.index).filter(|_| is_indexed).and_then(inside);
        let differs = |at: &Span| element.written(*at) != itoa::Buffer::new().format(n);
        let index = index.filter(differs).map(|at| (at, With::Number(n)));
        match (&id, &index) {
            (Some((id_at, _)), Some((index_at, _))) if index_at.is_before(*id_at) => [index, id],
            _ => [id, index],
        }
    }
}

/// A result that is a call's own.
struct Own<'a> {
    element: &'a Element<'a>,
    /// What of it is.
    part: Span,
}

impl<'a> Own<'a> {
    fn of(slot: &'a Slot<'a>) -> Option<Self> {
        let Slot::Found(element) = slot else {
            return None;
        };
        let Seen::At(part) = element.part else {
            return None;
        };
        Some(Self { element, part })
    }
}

/// What is written in place of something that only the batch had.
enum With<'c> {
    Number(usize),
    Id(&'c [u8]),
}
