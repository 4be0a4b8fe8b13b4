//! Just enough JSON to find one member of an object without building a tree.
//!
//! Job intake and result correlation both read a few top-level members and carry the
//! rest along untouched. `check` tells whether a text is JSON, as `serde_json` does, which
//! says what is wrong with one that is not. [`scan`] tells the parts of a text apart before
//! anybody asks whether they are JSON, [`mod@pointer`] finds those that stand deeper, and
//! [`strict`] knows what others refuse.

mod check;
mod names;
pub mod pointer;
pub mod scan;
pub mod strict;

use std::fmt;
use std::str::Utf8Error;

use bytes::{Buf, Bytes};
use memchr::memchr2_iter;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

pub use check::{Checked, Shape, is_blank};
pub use names::{AnyCase, Wanted, position};

/// How deep a job, or a result, may nest; its outermost object is level 1.
pub const MAX_DEPTH: usize = 128;

/// Checks that `json` is one valid JSON document and, where it is an object,
/// shows each top-level member whose unescaped name is in `names` to `found`,
/// in the order they stand, duplicates included. The callback gets the index
/// of the name and the value as it is written.
///
/// # Errors
/// A parser's error, with line and column, for anything that is not JSON. Nesting is not
/// limited here, but told; no recursion follows it.
pub fn visit_members<'a>(
    json: &'a str,
    names: &[impl Wanted],
    found: impl FnMut(usize, &'a str),
) -> Result<Checked, serde_json::Error> {
    check::members(json, names, found).map_err(|_| wrong(json))
}

/// The same of a text that begins with a value, whatever follows: with where it ends; nothing
/// where it does not begin so.
pub fn visit_beginning<'a>(
    json: &'a str,
    names: &[impl Wanted],
    found: impl FnMut(usize, &'a str),
) -> Option<(Checked, usize)> {
    check::beginning(json, names, found).ok()
}

/// The text that these bytes are.
///
/// # Errors
/// They are not UTF-8.
pub fn text(bytes: &[u8]) -> Result<&str, Utf8Error> {
    // It knows what long ones are in a fraction of the time, but not where they are wrong.
    simdutf8::basic::from_utf8(bytes).or_else(|_| str::from_utf8(bytes))
}

/// What is wrong with a text that is not JSON.
#[cold]
fn wrong(json: &str) -> serde_json::Error {
    let mut parser = serde_json::Deserializer::from_str(json);
    let parsed = match json.trim_start_matches(is_space).starts_with('{') {
        // Of an object's own members it is told in better words than of what is skipped.
        true => parser.deserialize_map(AnyMembers),
        false => parser.deserialize_ignored_any(IgnoredAny).map(drop),
    };
    match parsed.and_then(|()| parser.end()) {
        Err(error) => error,
        Ok(()) => serde_json::Error::custom("it is not JSON"),
    }
}

struct AnyMembers;

impl<'de> Visitor<'de> for AnyMembers {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        // Raw, since that is read strictly.
        while map.next_key::<&'de RawValue>()?.is_some() {
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

/// Whether valid `json` nests deeper than `levels`.
pub fn deeper_than(levels: usize, json: &[u8]) -> bool {
    // As many brackets as levels are needed at least; few documents have them.
    if memchr2_iter(b'[', b'{', json).nth(levels).is_none() {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for &byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > levels {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// How many brackets and braces are open at the end of the beginning of a JSON text.
pub fn open_brackets(beginning: impl Iterator<Item = u8>) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in beginning {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    depth
}

/// The part of `body` between its outer JSON whitespace.
pub fn trim(mut body: Bytes) -> Bytes {
    let space = |byte: &&u8| is_space(char::from(**byte));
    let start = body.iter().take_while(space).count();
    let end = body[start..].iter().rev().take_while(space).count();
    body.truncate(body.len() - end);
    body.advance(start);
    body
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    type Seen<'a> = Vec<(usize, &'a str)>;

    fn members(json: &str) -> Result<(Shape, Seen<'_>), String> {
        let mut seen = Vec::new();
        visit_members(json, &["id", "error"], |name, value| {
            seen.push((name, value));
        })
        .map(|checked| (checked.shape, seen))
        .map_err(|error| error.to_string())
    }

    #[test]
    fn members_are_found_by_their_unescaped_name_and_shown_as_written() {
        let json = r#" {"a":{"id":1},"\u0069d": 1e999 ,"error":"\ud800","id":[1, 2]} "#;
        assert_eq!(
            members(json),
            Ok((
                Shape::Object,
                vec![(0, "1e999"), (1, r#""\ud800""#), (0, "[1, 2]")]
            ))
        );
    }

    #[test]
    fn a_name_that_is_no_unicode_is_passed_over() {
        assert_eq!(
            members(r#"{"\ud800":1,"id":2}"#),
            Ok((Shape::Object, vec![(0, "2")]))
        );
    }

    #[test]
    fn names_in_any_case_are_those_that_a_lax_parser_takes_for_the_same() {
        for (name, wanted, same) in [
            ("id", "id", true),
            ("Id", "id", true),
            ("ids", "id", false),
            ("\u{17f}tream", "stream", true),
            ("\u{212a}ey", "key", true),
            ("É", "é", true),
            ("e", "é", false),
        ] {
            assert_eq!(AnyCase(wanted).is(name), same, "{name}");
        }
    }

    #[test]
    fn what_is_no_object_has_no_members() {
        for json in ["[]", "1e999", r#""\ud800""#, "null", " true "] {
            assert_eq!(members(json), Ok((Shape::Other, vec![])), "{json}");
        }
    }

    #[test]
    fn what_is_not_json_is_an_error_with_its_place() {
        for json in [
            "",
            " ",
            "{",
            r#"{"id":1,}"#,
            "{} {}",
            "[1,]",
            "01",
            "\u{feff}{}",
            "{id:1}",
            "'a'",
            "{\"a\":\"\u{1}\"}",
            "{\"a\u{1}\":1}",
            "{\"a\u{0}\":1}",
            "{\"a\u{a}\":1,\"id\":1}",
            "{\"\\x\":1}",
            "{1:1}",
        ] {
            let error = members(json).expect_err(json);
            assert!(error.contains("line 1 column"), "{json}: {error}");
        }
    }

    #[test]
    fn what_is_wrong_with_an_objects_own_members_is_told_in_a_parsers_best_words() {
        for (json, words) in [
            (r#"{"id":1,}"#, "trailing comma at line 1 column 9"),
            ("{id:1}", "key must be a string at line 1 column 2"),
            ("{} {}", "trailing characters at line 1 column 4"),
        ] {
            assert_eq!(members(json), Err(words.to_owned()));
        }
    }

    #[test]
    fn depth_counts_brackets_outside_of_strings() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(!deeper_than(128, nested(128).as_bytes()));
        assert!(deeper_than(128, nested(129).as_bytes()));
        let strings = format!(r#"["{}","\"{}"]"#, "[".repeat(200), "{".repeat(200));
        assert!(!deeper_than(128, strings.as_bytes()));
        let wide = format!("[{}[]]", "[],".repeat(500));
        assert!(!deeper_than(128, wide.as_bytes()));
    }

    #[test]
    fn trimming_takes_json_whitespace_alone() {
        let trim = |text: &'static str| trim(Bytes::from_static(text.as_bytes()));
        assert_eq!(trim(" \t\r\n{ } \n"), "{ }");
        assert_eq!(trim("{}"), "{}");
        assert_eq!(trim(" \n"), "");
        assert_eq!(trim("\u{a0}1"), "\u{a0}1");
    }
}
