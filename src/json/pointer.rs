//! JSON Pointers (RFC 6901), and what stands where they point.
//!
//! A text is walked by strings and brackets alone, as [`scan`] does it. So whoever may
//! not trust it checks it first, and whoever must bear odd values looks at what was
//! found afterwards. An object may have a name twice, and parsers would disagree about
//! which counts: everything that a pointer may mean is shown.

use std::fmt;
use std::ops::Range;

use thiserror::Error;

use super::names::{AnyCase, Wanted, position};
use super::scan::{self, Unreadable};

/// Where in a document a value stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pointer {
    /// Unescaped.
    tokens: Vec<String>,
}

/// Why a text is not a pointer.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PointerError {
    /// It begins with something else than a slash.
    #[error("a JSON Pointer begins with a slash, as in \"/data/items\", or is empty")]
    NoSlash,
    /// A `~` without 0 or 1 after it.
    #[error("in a JSON Pointer ~ is written ~0, and / in a name ~1")]
    Escape,
}

impl Pointer {
    /// Reads a pointer; the empty one is the whole document.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(written: &str) -> Result<Self, PointerError> {
        if written.is_empty() {
            return Ok(Self::default());
        }
        let rest = written.strip_prefix('/').ok_or(PointerError::NoSlash)?;
        let tokens = rest.split('/').map(unescape);
        let tokens = tokens.collect::<Option<_>>().ok_or(PointerError::Escape)?;
        Ok(Self { tokens })
    }

    /// The names on the way, from outside in.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// Whether it is the whole document.
    pub fn is_whole(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Whether one of the two is inside of what the other points to, or the same.
    pub fn overlaps(&self, other: &Self) -> bool {
        let both = self.tokens.iter().zip(&other.tokens);
        both.into_iter().all(|(mine, others)| mine == others)
    }

    /// Shows each value that stands here in `text`.
    ///
    /// # Errors
    /// [`Unreadable`] where the parts on the way can't be told apart; `found` may have
    /// been called before.
    pub fn visit<'a>(
        &self,
        text: &'a [u8],
        found: &mut dyn FnMut(&'a [u8]),
    ) -> Result<(), Unreadable> {
        walk(&[(0, &self.tokens)], text, &mut |_, value| found(value))
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tokens = self.tokens.iter();
        tokens.try_for_each(|it| write!(f, "/{}", it.replace('~', "~0").replace('/', "~1")))
    }
}

/// What is left of a pointer's way, and which of several it is.
pub type Way<'p> = (usize, &'p [String]);

/// Shows each value of `text` in which one of the ways ends, with its number, and looks
/// at no byte outside of arrays and objects that are on a way.
///
/// # Errors
/// As [`Pointer::visit`].
pub fn walk<'a>(
    ways: &[Way<'_>],
    text: &'a [u8],
    found: &mut dyn FnMut(usize, &'a [u8]),
) -> Result<(), Unreadable> {
    let text = text.trim_ascii();
    let mut further = ways.iter().filter(|(number, way)| {
        let ends = way.is_empty();
        if ends {
            found(*number, text);
        }
        !ends
    });
    let Some(first) = further.next() else {
        return Ok(());
    };
    let further: Vec<Way<'_>> = std::iter::once(first).chain(further).copied().collect();
    let mut inner = Ok(());
    let mut step = |is_next: &dyn Fn(&String) -> bool, value: &'a [u8]| {
        let next = further.iter().filter_map(|(number, way)| {
            let (token, rest) = way.split_first()?;
            is_next(token).then_some((*number, rest))
        });
        let next: Vec<Way<'_>> = next.collect();
        if inner.is_ok() && !next.is_empty() {
            inner = walk(&next, value, found);
        }
    };
    match text.first() {
        Some(b'{') => scan::members(text, |name, value| {
            step(&|token| is(name, token.as_str()), value.raw);
        })?,
        Some(b'[') => {
            let mut at = 0_usize;
            scan::elements(text, |value| {
                let mut digits = itoa::Buffer::new();
                let index = digits.format(at);
                step(&|token| token == index, value.raw);
                at += 1;
            })?;
        }
        _ => {}
    }
    inner
}

/// Where in `text` what the tokens lead to stands, if there is one and no second: neither
/// there nor, under an equal name, on the way.
pub fn only(text: &[u8], tokens: &[String]) -> Option<Range<usize>> {
    step_by_step(text, tokens, &|_, _| false)
}

/// As [`only`], where a name that differs in capital or small letters is a second one.
pub fn only_in_any_case(text: &[u8], tokens: &[String]) -> Option<Range<usize>> {
    step_by_step(text, tokens, &|name, token| is(name, AnyCase(token)))
}

fn step_by_step(
    text: &[u8],
    tokens: &[String],
    is_twin: &dyn Fn(&[u8], &str) -> bool,
) -> Option<Range<usize>> {
    let Some((token, rest)) = tokens.split_first() else {
        return Some(within(text, text.trim_ascii()));
    };
    let (mut found, mut times) = (None, 0_usize);
    match text.trim_ascii_start().first()? {
        b'{' => scan::members(text, |name, value| {
            if is(name, token.as_str()) {
                found = Some(value.raw);
                times += 1;
            } else if is_twin(name, token) {
                times += 1;
            }
        }),
        b'[' => {
            let mut at = 0_usize;
            scan::elements(text, |value| {
                if token == itoa::Buffer::new().format(at) {
                    found = Some(value.raw);
                    times += 1;
                }
                at += 1;
            })
        }
        _ => return None,
    }
    .ok()?;
    let value = found.filter(|_| times == 1)?;
    let (at, inner) = (within(text, value), step_by_step(value, rest, is_twin)?);
    Some(at.start + inner.start..at.start + inner.end)
}

/// As [`only`], for each of several pointers, and in one go.
///
/// # Errors
/// As [`Pointer::visit`].
pub fn only_each<'p>(
    text: &[u8],
    pointers: impl Iterator<Item = &'p Pointer>,
) -> Result<Vec<Option<Range<usize>>>, Unreadable> {
    // What is on a way must be the only one there, too: it ends ways of its own.
    let (mut ways, mut ends) = (Vec::new(), Vec::new());
    for pointer in pointers {
        let tokens = pointer.tokens();
        let shorter = (0..=tokens.len()).map(|to| &tokens[..to]);
        let first = ways.len();
        ways.extend(shorter.enumerate().map(|(at, way)| (first + at, way)));
        ends.push(first..ways.len());
    }
    let mut found = vec![(None, 0_usize); ways.len()];
    walk(&ways, text, &mut |way, value| {
        found[way] = (Some(within(text, value)), found[way].1 + 1);
    })?;
    let only = ends.into_iter().map(|mut ways| {
        let last = found.get(ways.end.checked_sub(1)?)?.0.clone();
        last.filter(|_| ways.all(|way| found[way].1 == 1))
    });
    Ok(only.collect())
}

/// Where `part` stands, which is a slice of `whole`.
pub fn within(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    start..start + part.len()
}

/// Whether a name, as it is written, is the one wanted.
fn is(name: &[u8], wanted: impl Wanted) -> bool {
    let name = std::str::from_utf8(name).unwrap_or_default();
    position(name, &[wanted]).is_some()
}

fn unescape(token: &str) -> Option<String> {
    let mut parts = token.split('~');
    let mut unescaped = parts.next()?.to_owned();
    for part in parts {
        match part.as_bytes().first()? {
            b'0' => unescaped.push('~'),
            b'1' => unescaped.push('/'),
            _ => return None,
        }
        unescaped.push_str(&part[1..]);
    }
    Some(unescaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_read_and_written() {
        for written in ["", "/", "/a/b", "/a~1b/~0/~01", "/0/-", "/é", "//"] {
            let pointer = Pointer::parse(written).unwrap();
            assert_eq!(pointer.to_string(), written);
        }
        let pointer = Pointer::parse("/a~1b/~01").unwrap();
        assert_eq!(pointer.tokens(), ["a/b", "~1"]);
        assert_eq!(Pointer::parse("a"), Err(PointerError::NoSlash));
        for written in ["/~", "/a~2", "/~é", "/~/0"] {
            assert_eq!(
                Pointer::parse(written),
                Err(PointerError::Escape),
                "{written}"
            );
        }
    }

    #[test]
    fn two_pointers_overlap_where_one_leads_to_the_other() {
        for (one, other, overlap) in [
            ("", "/a", true),
            ("/a", "/a", true),
            ("/a/b", "/a", true),
            ("/a", "/b", false),
            ("/a/b", "/a/c", false),
            ("/ab", "/a", false),
        ] {
            let [one, other] = [one, other].map(|it| Pointer::parse(it).unwrap());
            assert_eq!(one.overlaps(&other), overlap);
            assert_eq!(other.overlaps(&one), overlap);
        }
    }

    #[test]
    fn every_value_that_a_pointer_may_mean_is_found() {
        let text = br#" {"a":{"b":[1,NaN,{"c":"x"}],"b":2},"\u0061":{"b":3},"a":4, "":5} "#;
        for (pointer, expected) in [
            ("", vec![std::str::from_utf8(text.trim_ascii()).unwrap()]),
            ("/a/b", vec![r#"[1,NaN,{"c":"x"}]"#, "2", "3"]),
            ("/a/b/0", vec!["1"]),
            ("/a/b/1", vec!["NaN"]),
            ("/a/b/2/c", vec![r#""x""#]),
            ("/a/b/02/c", vec![]),
            ("/a/b/3", vec![]),
            ("/a/b/-", vec![]),
            ("/a/b/c", vec![]),
            ("/", vec!["5"]),
            ("/A", vec![]),
        ] {
            let mut found = Vec::new();
            let pointer = Pointer::parse(pointer).unwrap();
            let mut add = |it| found.push(std::str::from_utf8(it).unwrap());
            pointer.visit(text, &mut add).unwrap();
            assert_eq!(found, expected, "{pointer}");
        }
    }

    #[test]
    fn what_stands_twice_is_not_the_only_one() {
        let text =
            br#"{"a":{"b":1,"B":1,"c":{"d":2}},"x":3,"\u0078":4,"y":{"z":5},"y":6,"l":[7,8]}"#;
        let pointers = [
            ("", Some(&text[..])),
            ("/a/b", Some(b"1")),
            ("/a/c/d", Some(b"2")),
            ("/x", None),
            ("/y/z", None),
            ("/l/1", Some(b"8")),
            ("/l/2", None),
            ("/a/b/c", None),
        ];
        let parsed = pointers.map(|(pointer, _)| Pointer::parse(pointer).unwrap());
        let each = only_each(text, parsed.iter()).unwrap();
        for (at, (pointer, expected)) in pointers.iter().enumerate() {
            let one = only(text, parsed[at].tokens());
            assert_eq!(one, each[at], "{pointer}");
            assert_eq!(one.map(|it| &text[it]), *expected, "{pointer}");
            let case = only_in_any_case(text, parsed[at].tokens());
            let expected = expected.filter(|_| *pointer != "/a/b");
            assert_eq!(case.map(|it| &text[it]), expected, "{pointer}");
        }
    }

    #[test]
    fn what_is_on_the_way_must_be_readable_and_nothing_else() {
        let pointer = Pointer::parse("/a/b").unwrap();
        for (text, readable) in [
            (&br#"{"a":{"b":1}"#[..], false),
            (br#"{"a":{"b":1,}}"#, false),
            (br#"{"a":{"b":1},"x":{"y":nul,,}}"#, true),
            (b"{\"\xff\":1,\"a\":2}", true),
            (b"1 2", true),
            (b"", true),
        ] {
            let found = pointer.visit(text, &mut |_| {});
            assert_eq!(found.is_ok(), readable, "{}", text.escape_ascii());
        }
    }
}
