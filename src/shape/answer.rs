//! From the answer to a batch to what each of its calls gets.

use bytes::Bytes;

use super::call::Call;
use super::element::{self, Read, Reads, Seen};
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
        let (reads, outer) = match &self.results {
            Results::None => (Reads::default(), Outer::default()),
            Results::Same => return self.same(calls, answer, text),
            Results::Lines => (self.lines(text), Outer::default()),
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
        if several && self.refusal_one && items > 1 && self.is_refusal(&reads.first, &mut ids) {
            return Err(NoResults::Refused);
        }
        let form = &self.element;
        let (slots, unmatched) = match self.matching {
            Matching::Id => matching::by_id(form, &mut ids, items, reads.first),
            place => {
                let slots = matching::by_place(form, place, &ids, items, reads)?;
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
    fn array<'t>(&self, text: &'t [u8], items: usize) -> Result<(Reads<'t>, Outer), NoResults> {
        let Results::At(pointer) = &self.results else {
            return Ok((Reads::default(), Outer::default()));
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
        let mut reads = Reads {
            // As many as they should be, unless that is more than can be.
            first: Vec::with_capacity(items.min(array.len())),
            all: 0,
        };
        let form = &self.element;
        // By their places none counts where there are too many.
        let most = match self.matching {
            Matching::Id => usize::MAX,
            _ => items,
        };
        // Sound ones are read where they are found. What is no text is in one of the others.
        let sound = json::text(array).ok();
        let read_at = |start: usize| {
            let element = element::read_beginning(form, sound?.get(start..)?)?;
            let end = start + element.raw.len();
            Some((element, end))
        };
        let found = |read: Result<_, _>| {
            reads.all += 1;
            if reads.all <= most {
                let read = read.map_or_else(|part| element::read(form, part), Read::Sound);
                reads.first.push(read);
            }
        };
        scan::elements_read(array, read_at, found).map_err(NotResults::Unreadable)?;
        Ok((reads, outer))
    }

    /// The results of an answer that has one on each line (NDJSON).
    fn lines<'t>(&self, text: &'t [u8]) -> Reads<'t> {
        let lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
        let lines = lines.filter(|raw| !raw.is_empty());
        let part = |raw| Part {
            raw,
            depth: depth(raw),
        };
        let first: Vec<_> = lines
            .map(|raw| element::read(&self.element, part(raw)))
            .collect();
        let all = first.len();
        Reads { first, all }
    }

    /// Whether one result, the first item's, is an error in place of several.
    fn is_refusal(&self, reads: &[Read<'_>], ids: &mut WireIds<'_>) -> bool {
        let [Read::Sound(element)] = reads else {
            return false;
        };
        let Seen::At(id) = element.id else {
            return false;
        };
        let id = element.written(id);
        element.failed && ids.find(id) == Ok(0)
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;
    use crate::shape::nan;

    /// What is read of an array is what its parts are, each by itself: a parser says which of
    /// them are sound, and how they are told apart does not depend on it.
    fn agrees(text: &[u8]) {
        let shape = Shape::jobs();
        let mut parts = Vec::new();
        let told = scan::elements(text, |part| parts.push(part));
        let read = shape.array(text, 0);
        let Ok(()) = told else {
            assert!(read.is_err(), "{}", text.escape_ascii());
            return;
        };
        let (reads, _) = read.unwrap();
        assert_eq!(reads.all, parts.len(), "{}", text.escape_ascii());
        for (part, read) in parts.iter().zip(&reads.first) {
            let is_json = |text: &str| serde_json::from_str::<IgnoredAny>(text).is_ok();
            let sound = std::str::from_utf8(part.raw).is_ok_and(|text| {
                let covered = nan::covered(text).filter(|_| shape.element.nan);
                is_json(text) || covered.is_some_and(|it| is_json(&it))
            });
            let sound = sound && part.depth <= MAX_DEPTH;
            assert_eq!(read.raw(), part.raw, "{}", text.escape_ascii());
            assert_eq!(
                matches!(read, Read::Sound(_)),
                sound,
                "{}",
                text.escape_ascii()
            );
        }
    }

    #[test]
    fn arrays_of_odd_results_are_read_as_their_parts_are() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        for element in [
            "1\u{c}",
            "1\u{b}",
            "1 ",
            "01",
            "1 2",
            "NaN",
            "",
            "\"\u{1}\"",
            "{\"a\":1}x",
        ] {
            for around in ["[@]", "[0,@,0]", " [ @ , 0 ] ", "[@", "[@,]"] {
                agrees(around.replace('@', element).as_bytes());
            }
        }
        for levels in [MAX_DEPTH, MAX_DEPTH + 1] {
            agrees(format!("[{},0]", nested(levels)).as_bytes());
        }
        agrees(b"[1,\"\xff\",{\"id\":2}]");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]

        #[test]
        fn any_array_is_read_as_its_parts_are(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    &b"1"[..], b"01", b"NaN", b"\"a\"", b"\x0c", b"\xff", b",", b",", b" ", b"{}",
                    b"{\"id\":1}", b"[", b"]", b"{\"id\":", b"}", b"null", b"\"\\u0061\"", b"\"",
                ]),
                0..12,
            ),
        ) {
            agrees(&[b"[", &parts.concat()[..], b"]"].concat());
        }
    }
}
