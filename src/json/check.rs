//! Checks in one pass that a text is JSON (RFC 8259), and sees on the way what is asked
//! next: which members stand at its top, how deep it nests, and whether it has anything that
//! [`strict`](super::strict) would have to look at.
//!
//! There is no tree and no recursion. Strings, which are most of what is read, are skipped many
//! bytes at a time.

use wide::u8x16;

use super::names::{Wanted, position};

/// The digits of an exponent from which on a number may be beyond what others can read.
const LONG_EXPONENT: usize = 3;

/// The digits in a row from which on it may be, whatever its exponent. With less, and an
/// exponent of two, it is far below 10^308.
const LONG_NUMBER: usize = 100;

/// What a document is, once known to be valid JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// An object; its members were shown to the callback.
    Object,
    /// Anything else.
    Other,
}

/// What is known of a text that is JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What it is.
    pub shape: Shape,
    /// How many brackets stand around its innermost values; 0 if it has none.
    pub depth: usize,
    /// Whether it has anything that strict parsers may refuse.
    pub is_suspect: bool,
}

/// That a text is not JSON. What is wrong with it a parser tells, with line and column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotJson;

/// Checks `text` and, where it is an object, shows each member at its top whose unescaped name
/// is in `names` to `found`: the place of the name among those, and the value as it is written.
///
/// # Errors
/// It is not JSON; `found` may have been called before that was seen.
pub(super) fn members<'a>(
    text: &'a str,
    names: &[impl Wanted],
    found: impl FnMut(usize, &'a str),
) -> Result<Checked, NotJson> {
    let (checked, end) = beginning(text, names, found)?;
    match is_blank(&text.as_bytes()[end..]) {
        true => Ok(checked),
        false => Err(NotJson),
    }
}

/// The same of a text that begins with a value, whatever follows; where it ends.
///
/// # Errors
/// As of [`members`].
pub(super) fn beginning<'a>(
    text: &'a str,
    names: &[impl Wanted],
    mut found: impl FnMut(usize, &'a str),
) -> Result<(Checked, usize), NotJson> {
    let mut checker = Checker {
        text: text.as_bytes(),
        at: 0,
        open: Open::default(),
        depth: 0,
        is_suspect: false,
    };
    checker.space();
    let shape = match checker.peek() {
        b'{' => Shape::Object,
        _ => Shape::Other,
    };
    match shape {
        Shape::Object => checker.object(|name, is_escaped, value| {
            let at = match is_escaped {
                true => position(&text[name.0..name.1], names),
                false => {
                    let name = &text[name.0 + 1..name.1 - 1];
                    names.iter().position(|wanted| wanted.is(name))
                }
            };
            if let Some(at) = at {
                found(at, &text[value.0..value.1]);
            }
        })?,
        Shape::Other => checker.value()?,
    }
    let checked = Checked {
        shape,
        depth: checker.depth,
        is_suspect: checker.is_suspect,
    };
    Ok((checked, checker.at))
}

/// Whether nothing stands there but what JSON has for whitespace.
pub fn is_blank(text: &[u8]) -> bool {
    text.iter().all(|byte| is_space(*byte))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\t' | b'\r')
}

/// Where something begins and ends.
type Place = (usize, usize);

struct Checker<'a> {
    text: &'a [u8],
    at: usize,
    open: Open,
    depth: usize,
    is_suspect: bool,
}

impl Checker<'_> {
    /// The next byte; at the end one that can't stand anywhere but in a string, where the end
    /// is seen as well.
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or_default()
    }

    fn take(&mut self, wanted: u8) -> Result<(), NotJson> {
        match self.peek() == wanted {
            true => self.at += 1,
            false => return Err(NotJson),
        }
        Ok(())
    }

    fn space(&mut self) {
        while is_space(self.peek()) {
            self.at += 1;
        }
    }

    /// The object that begins here, at the top; each of its members is shown: its name with
    /// the quotes, whether anything in that is escaped, and its value.
    fn object(&mut self, mut shown: impl FnMut(Place, bool, Place)) -> Result<(), NotJson> {
        self.at += 1;
        self.open.push(true);
        self.depth = self.open.count;
        self.space();
        if self.peek() != b'}' {
            loop {
                let name = self.at;
                let is_escaped = self.string()?;
                let name = (name, self.at);
                self.colon()?;
                let value = self.at;
                self.value()?;
                shown(name, is_escaped, (value, self.at));
                self.space();
                if self.peek() != b',' {
                    break;
                }
                self.at += 1;
                self.space();
            }
        }
        self.open.pop();
        self.take(b'}')
    }

    /// The value that begins here, with all that is in it.
    fn value(&mut self) -> Result<(), NotJson> {
        let around = self.open.count;
        loop {
            match self.peek() {
                b'"' => {
                    self.string()?;
                }
                b'-' | b'0'..=b'9' => self.number()?,
                b'{' => {
                    self.begin(true);
                    if self.peek() != b'}' {
                        self.string()?;
                        self.colon()?;
                        continue;
                    }
                }
                b'[' => {
                    self.begin(false);
                    if self.peek() != b']' {
                        continue;
                    }
                }
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => return Err(NotJson),
            }
            // It has ended, and with it perhaps what it stands in.
            while self.open.count > around {
                self.space();
                match (self.peek(), self.open.is_object()) {
                    (b',', true) => {
                        self.at += 1;
                        self.space();
                        self.string()?;
                        self.colon()?;
                        break;
                    }
                    (b',', false) => {
                        self.at += 1;
                        self.space();
                        break;
                    }
                    (b'}', true) | (b']', false) => {
                        self.at += 1;
                        self.open.pop();
                    }
                    _ => return Err(NotJson),
                }
            }
            if self.open.count == around {
                return Ok(());
            }
        }
    }

    fn begin(&mut self, is_object: bool) {
        self.at += 1;
        self.open.push(is_object);
        self.depth = self.depth.max(self.open.count);
        self.space();
    }

    fn colon(&mut self) -> Result<(), NotJson> {
        self.space();
        self.take(b':')?;
        self.space();
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Result<(), NotJson> {
        match self.text[self.at..].starts_with(word) {
            true => self.at += word.len(),
            false => return Err(NotJson),
        }
        Ok(())
    }

    /// The string that begins here; whether anything in it is escaped.
    fn string(&mut self) -> Result<bool, NotJson> {
        self.take(b'"')?;
        let mut is_escaped = false;
        loop {
            self.at += plain(&self.text[self.at..]);
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok(is_escaped);
                }
                b'\\' => self.escape()?,
                _ => return Err(NotJson),
            }
            is_escaped = true;
        }
    }

    fn escape(&mut self) -> Result<(), NotJson> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let digits = self.text.get(self.at + 2..self.at + 6).ok_or(NotJson)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(NotJson);
                }
                // A half of a pair, be it with the other or without.
                self.is_suspect |=
                    matches!(digits, [b'd' | b'D', next, ..] if !matches!(next, b'0'..=b'7'));
                self.at += 6;
            }
            _ => return Err(NotJson),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), NotJson> {
        if self.peek() == b'-' {
            self.at += 1;
        }
        let mut digits = match self.peek() {
            b'0' => {
                self.at += 1;
                1
            }
            _ => self.digits()?,
        };
        if self.peek() == b'.' {
            self.at += 1;
            digits += self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.is_suspect |= self.digits()? >= LONG_EXPONENT;
        }
        self.is_suspect |= digits >= LONG_NUMBER;
        Ok(())
    }

    /// At least one digit; how many.
    fn digits(&mut self) -> Result<usize, NotJson> {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        match self.at - start {
            0 => Err(NotJson),
            digits => Ok(digits),
        }
    }
}

/// The arrays and objects that are open, a bit for each: whether it is an object.
#[derive(Debug, Default)]
struct Open {
    count: usize,
    /// The last of them, the innermost lowest.
    last: u64,
    /// All before those, so many in each.
    others: Vec<u64>,
}

impl Open {
    fn push(&mut self, is_object: bool) {
        if self.count > 0 && self.count.is_multiple_of(64) {
            self.others.push(self.last);
        }
        self.last = self.last << 1 | u64::from(is_object);
        self.count += 1;
    }

    fn is_object(&self) -> bool {
        self.last & 1 == 1
    }

    fn pop(&mut self) {
        self.last >>= 1;
        self.count -= 1;
        if self.count > 0 && self.count.is_multiple_of(64) {
            self.last = self.others.pop().unwrap_or_default();
        }
    }
}

/// How many bytes of a string are looked at in one go.
const AT_ONCE: usize = 16;

/// How many are, once so many have gone by: what is long mostly goes on.
const LONG: usize = 4 * AT_ONCE;

/// How many bytes at the beginning of `text` stand for themselves in a string: neither a
/// quote nor a backslash nor a control character.
#[inline]
pub(super) fn plain(text: &[u8]) -> usize {
    match plain_up_to(text, LONG) {
        LONG => far_plain(text),
        near => near,
    }
}

#[inline(never)]
fn far_plain(text: &[u8]) -> usize {
    let (chunks, _) = text.as_chunks::<LONG>();
    let is_plain = |chunk: &&[u8; LONG]| {
        let (some, _) = chunk.as_chunks::<AT_ONCE>();
        let all = some.iter().map(|it| special(*it));
        all.fold(u8x16::ZERO, |any, it| any | it).to_bitmask() == 0
    };
    let plain = LONG * chunks.iter().take_while(is_plain).count();
    plain + plain_up_to(&text[plain..], usize::MAX)
}

/// The same, but no more than `most`, which are whole goes.
#[inline]
fn plain_up_to(text: &[u8], most: usize) -> usize {
    let mut rest = text;
    while let Some((some, after)) = rest.split_first_chunk::<AT_ONCE>() {
        let plain = text.len() - rest.len();
        if plain == most {
            return most;
        }
        let special = special(*some).to_bitmask();
        if special != 0 {
            return plain + special.trailing_zeros() as usize;
        }
        rest = after;
    }
    let is_plain = |byte: &&u8| !matches!(**byte, b'"' | b'\\' | ..b' ');
    let plain = text.len() - rest.len() + rest.iter().take_while(is_plain).count();
    plain.min(most)
}

/// All ones for each of these bytes that does not, and zero for the others.
#[inline]
fn special(bytes: [u8; AT_ONCE]) -> u8x16 {
    const LAST_CONTROL: u8x16 = u8x16::splat(b' ' - 1);
    let bytes = u8x16::new(bytes);
    let is = |byte| bytes.simd_eq(u8x16::splat(byte));
    let is_control = bytes.min(LAST_CONTROL).simd_eq(bytes);
    is(b'"') | is(b'\\') | is_control
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::super::{deeper_than, strict};
    use super::*;

    /// One digit less than a number may have that is not looked at.
    const NINES: &str = "999999999999999999999999999999999999999999999999999999999999999999999999\
                         999999999999999999999999999";

    fn checked(text: &str) -> Option<Checked> {
        members(text, &["id"], |_, _| {}).ok()
    }

    fn depth(text: &str) -> usize {
        let depths = 0..;
        depths
            .into_iter()
            .find(|&levels| !deeper_than(levels, text.as_bytes()))
            .unwrap()
    }

    /// The parser says the same of it, and those who look at it again the same of the rest.
    fn agrees(text: &str) {
        let parsed = serde_json::from_str::<IgnoredAny>(text).is_ok();
        let checked = checked(text);
        assert_eq!(checked.is_some(), parsed, "{text}");
        if let Some(checked) = checked {
            assert_eq!(checked.depth, depth(text), "{text}");
            let taken = strict::takes(text.as_bytes());
            assert!(taken || checked.is_suspect, "{text}");
        }
    }

    #[test]
    fn what_a_parser_takes_is_taken_and_nothing_else() {
        for text in [
            "",
            " ",
            "1",
            "-",
            "-0",
            "01",
            "-01",
            "1.",
            ".1",
            "1.0",
            "1e",
            "1e5",
            "1E+5",
            "1e-",
            "1e+",
            "1.e1",
            "0e0",
            "00",
            "1 1",
            "--1",
            "+1",
            "true",
            "tru",
            "truex",
            "false",
            "null",
            "nul",
            "NaN",
            "\"",
            "\"\"",
            "\"a",
            "\"\\\"",
            "\"\\\\\"",
            "\"\\a\"",
            "\"\\/\"",
            "\"\\u12\"",
            "\"\\u123g\"",
            "\"\\u1234\"",
            "\"\\u",
            "\"\\",
            "\"\u{1f}\"",
            "\"\u{7f}\"",
            "\"\0\"",
            "\0",
            "[",
            "]",
            "[]",
            "[ ]",
            "[1",
            "[1,",
            "[1,]",
            "[,1]",
            "[1,2]",
            "[1 2]",
            "[1}",
            "{",
            "}",
            "{}",
            "{ }",
            "{1:1}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1",
            "{\"a\":1,}",
            "{\"a\":1 }",
            "{\"a\":1]",
            "{\"a\" : 1 , \"b\" : [ { } ] }",
            "{\"a\":1}{",
            "{} {}",
            "[[]",
            "[[]]",
            "[[]]]",
            "[{\"a\":[]},{}]",
            "[{\"a\":[}]",
            "{\"a\":{\"b\":[1,{\"c\":2}]}}",
            "{\"a\":1,2}",
            "{\"a\":1,\"b\"}",
            "{a:1}",
            "'a'",
            "\u{feff}{}",
            " \t\r\n[\t1\r\n]\n",
            "\u{a0}1",
            "{\"a\":\"\\ud83d\"}",
            "[1e999]",
            "[1e99]",
            "1/2",
            "[1/*x*/]",
            "\"é\u{2028}\"",
        ] {
            agrees(text);
        }
    }

    #[test]
    fn nothing_nests_too_deep_to_be_checked() {
        for levels in [1, 63, 64, 65, 127, 128, 129, 10_000] {
            let arrays = "[".repeat(levels) + &"]".repeat(levels);
            let objects = "{\"a\":".repeat(levels) + "1" + &"}".repeat(levels);
            let mixed = "[{\"a\":".repeat(levels) + "[]" + &"}]".repeat(levels);
            let checked_depth = |text: &str| checked(text).unwrap().depth;
            assert_eq!(checked_depth(&arrays), levels);
            assert_eq!(checked_depth(&objects), levels);
            assert_eq!(checked_depth(&mixed), 2 * levels + 1);
            let wrong = "[{\"a\":".repeat(levels) + "[]" + &"]}".repeat(levels);
            assert_eq!(checked(&wrong), None);
            assert_eq!(checked(&arrays[1..]), None);
            assert_eq!(checked(&arrays[..2 * levels - 1]), None);
        }
    }

    #[test]
    fn a_string_ends_wherever_it_does() {
        for length in 0..4 * LONG {
            let plain_text = "é".repeat(length / 2) + &"x".repeat(length % 2);
            assert_eq!(plain(plain_text.as_bytes()), length);
            for special in ["\"", "\\", "\u{1f}", "\0"] {
                for more in [0, 1, 7, 8, 100] {
                    let text = format!("{plain_text}{special}{}", "\"".repeat(more));
                    assert_eq!(plain(text.as_bytes()), length, "{text:?}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn of_any_text_the_same_is_said_as_by_a_parser(
            text in prop_oneof![
                "[\\[\\]{}:,\"\\\\ u0-9a-f.+-]{0,24}",
                "\\PC{0,16}",
            ],
        ) {
            agrees(&text);
        }

        #[test]
        fn the_same_is_said_of_what_is_nearly_json(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "{", "}", "[", "]", ",", ":", "\"a\"", "\"id\":", "\"\\u0069d\":", "1",
                    "-0.5e300", "true", "null", " ", "\n", "\"\\ud800\"", "\"\\\\\"", "e99", "E309",
                    "\"\\uDC00\":", NINES,
                ]),
                0..14,
            ),
        ) {
            agrees(&parts.concat());
        }
    }
}
