//! Tells the parts of an array or an object apart by strings and brackets alone.
//!
//! What a part says is not looked at: it may hold a bare `NaN`, a raw line break in
//! a string or bytes that are no UTF-8, and its neighbours are still found. So one
//! odd result of an upstream does not spoil the others. A part is one string, one
//! array or object with what its brackets enclose, or a run of other characters;
//! where anything else stands between two commas nobody can tell what belongs to
//! whom, and the whole is an error.
//!
//! Nothing recurses, and nothing is copied. Whether a part is JSON is for
//! [`visit_members`](super::visit_members) to say, one part at a time.

use thiserror::Error;

use super::check::plain;

/// A value, without the whitespace around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// As it is written.
    pub raw: &'a [u8],
    /// How many brackets stand around its innermost values; 0 if it has none.
    pub depth: usize,
}

/// Why the parts can't be told apart.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Unreadable {
    /// The text ends first.
    #[error("it ends before it is complete")]
    Ends,
    /// A byte that can't stand where it stands, counted from 0.
    #[error("byte {at} can't stand where it stands")]
    Byte {
        /// Its offset.
        at: usize,
    },
}

/// Shows each element of the array that `text` is, in order.
///
/// # Errors
/// [`Unreadable`]; `found` may have been called before it was met.
pub fn elements<'a>(text: &'a [u8], mut found: impl FnMut(Part<'a>)) -> Result<(), Unreadable> {
    let mut cursor = Cursor::new(text);
    cursor.list(b'[', b']', |cursor| {
        found(cursor.value()?);
        Ok(())
    })
}

/// The same, where `read` may read an element itself that begins at a place, and tell where
/// that ends. What it makes of it counts where the next element follows there, or the end of
/// the array; else the element is shown as a part.
///
/// # Errors
/// As [`elements`].
pub fn elements_read<'a, T>(
    text: &'a [u8],
    mut read: impl FnMut(usize) -> Option<(T, usize)>,
    mut found: impl FnMut(Result<T, Part<'a>>),
) -> Result<(), Unreadable> {
    let mut cursor = Cursor::new(text);
    cursor.list(b'[', b']', |cursor| {
        let start = cursor.at;
        if let Some((element, end)) = read(start) {
            cursor.at = end;
            cursor.space();
            if matches!(cursor.peek(), Ok(b',' | b']')) {
                found(Ok(element));
                return Ok(());
            }
            cursor.at = start;
        }
        found(Err(cursor.value()?));
        Ok(())
    })
}

/// Shows each member of the object that `text` is, in order: its name as it is
/// written, quotes included, and its value.
///
/// # Errors
/// As [`elements`].
pub fn members<'a>(
    text: &'a [u8],
    mut found: impl FnMut(&'a [u8], Part<'a>),
) -> Result<(), Unreadable> {
    let mut cursor = Cursor::new(text);
    cursor.list(b'{', b'}', |cursor| {
        let start = cursor.at;
        cursor.string()?;
        let name = &cursor.text[start..cursor.at];
        cursor.space();
        cursor.take(b':')?;
        found(name, cursor.value()?);
        Ok(())
    })
}

struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
    /// The closing brackets that are due, the next one last.
    due: Vec<u8>,
}

impl<'a> Cursor<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            due: Vec::new(),
        }
    }

    fn peek(&self) -> Result<u8, Unreadable> {
        self.text.get(self.at).copied().ok_or(Unreadable::Ends)
    }

    fn take(&mut self, wanted: u8) -> Result<(), Unreadable> {
        if self.peek()? != wanted {
            return Err(Unreadable::Byte { at: self.at });
        }
        self.at += 1;
        Ok(())
    }

    fn space(&mut self) {
        while self.peek().is_ok_and(is_space) {
            self.at += 1;
        }
    }

    /// The whole text as a list in brackets, its items separated by commas.
    fn list(
        &mut self,
        open: u8,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Result<(), Unreadable>,
    ) -> Result<(), Unreadable> {
        self.space();
        self.take(open)?;
        self.space();
        if self.peek()? != close {
            loop {
                item(self)?;
                self.space();
                if self.peek()? != b',' {
                    break;
                }
                self.at += 1;
                self.space();
            }
        }
        self.take(close)?;
        self.space();
        match self.at == self.text.len() {
            true => Ok(()),
            false => Err(Unreadable::Byte { at: self.at }),
        }
    }

    /// The value that begins here or after whitespace.
    fn value(&mut self) -> Result<Part<'a>, Unreadable> {
        self.space();
        let start = self.at;
        let depth = match self.peek()? {
            b'"' => {
                self.string()?;
                0
            }
            b'[' | b'{' => self.brackets()?,
            _ => {
                self.run()?;
                0
            }
        };
        let raw = &self.text[start..self.at];
        Ok(Part { raw, depth })
    }

    /// A string, to the quote that ends it.
    fn string(&mut self) -> Result<(), Unreadable> {
        self.take(b'"')?;
        loop {
            self.at += plain(self.text.get(self.at..).unwrap_or_default());
            match self.peek()? {
                b'"' => break,
                // Whatever is escaped, it does not end the string.
                b'\\' => self.at += 2,
                // JSON has no such characters, but they do not end it either.
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Ok(())
    }

    /// An array or an object, to the bracket that ends it; how deep it nests.
    fn brackets(&mut self) -> Result<usize, Unreadable> {
        self.due.clear();
        let (mut depth, mut plain) = (0, 0);
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                    plain = 0;
                    continue;
                }
                b'[' => self.due.push(b']'),
                b'{' => self.due.push(b'}'),
                close @ (b']' | b'}') => self.close(close)?,
                _ => {
                    self.at += 1;
                    plain += 1;
                    if plain == NEAR {
                        self.at += plain_bytes(&self.text[self.at..]);
                        plain = 0;
                    }
                    continue;
                }
            }
            self.at += 1;
            plain = 0;
            depth = depth.max(self.due.len());
            if self.due.is_empty() {
                return Ok(depth);
            }
        }
    }

    fn close(&mut self, bracket: u8) -> Result<(), Unreadable> {
        match self.due.pop() {
            Some(due) if due == bracket => Ok(()),
            _ => Err(Unreadable::Byte { at: self.at }),
        }
    }

    /// Anything up to what only ends a value or begins another one; not nothing.
    fn run(&mut self) -> Result<(), Unreadable> {
        let start = self.at;
        while !matches!(self.peek()?, b',' | b']' | b'}' | b'[' | b'{' | b'"') {
            self.at += 1;
        }
        if self.at == start {
            return Err(Unreadable::Byte { at: start });
        }
        while is_space(self.text[self.at - 1]) {
            self.at -= 1;
        }
        Ok(())
    }
}

/// How many bytes in a row are looked at one by one before many are at once: most that
/// count are near.
const NEAR: usize = 16;

/// How many those are. What is asked of each is plain arithmetic, so that the compiler
/// makes vector instructions of it.
const MANY: usize = 32;

/// How many bytes follow at least that neither begin a string nor begin or end an array
/// or an object.
fn plain_bytes(rest: &[u8]) -> usize {
    let counts = |byte: u8| {
        // Brackets are braces without this bit, and nothing else is.
        let brace = byte | 0x20;
        (byte == b'"') | (brace == b'{') | (brace == b'}')
    };
    let any = |bytes: &[u8; MANY]| {
        let all = bytes.iter();
        all.fold(false, |any, &byte| any | counts(byte))
    };
    let (chunks, _) = rest.as_chunks::<MANY>();
    MANY * chunks.iter().take_while(|it| !any(it)).count()
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;
    use serde_json::value::RawValue;

    use super::*;

    fn parts(text: &[u8]) -> Result<Vec<(&[u8], usize)>, Unreadable> {
        let mut parts = Vec::new();
        elements(text, |part| parts.push((part.raw, part.depth)))?;
        Ok(parts)
    }

    #[test]
    fn elements_are_told_apart_whatever_is_in_them() {
        let text = b" [ 1 , NaN,-Infinity ,\"a,]\\\"\\\\\", {\"x\":[[\"}\"]],\n\"y\":\"\n\"},01,\
            [ ],{\"\xe2\x82\":0x1} , a b ]\r\n";
        let expected: &[(&[u8], usize)] = &[
            (b"1", 0),
            (b"NaN", 0),
            (b"-Infinity", 0),
            (b"\"a,]\\\"\\\\\"", 0),
            (b"{\"x\":[[\"}\"]],\n\"y\":\"\n\"}", 3),
            (b"01", 0),
            (b"[ ]", 1),
            (b"{\"\xe2\x82\":0x1}", 1),
            (b"a b", 0),
        ];
        assert_eq!(parts(text).unwrap(), expected);
        assert_eq!(parts(b"[]").unwrap(), []);
        assert_eq!(parts(b"\t[\n] ").unwrap(), []);
    }

    #[test]
    fn what_can_not_be_followed_is_an_error_at_its_place() {
        use Unreadable::{Byte, Ends};
        for (text, error) in [
            ("", Ends),
            (" ", Ends),
            ("[", Ends),
            ("[1", Ends),
            ("[1,", Ends),
            ("[\"a", Ends),
            ("[\"a\\", Ends),
            ("[\"a\\\"]", Ends),
            ("[{]", Byte { at: 2 }),
            ("[{\"a\":[}]]", Byte { at: 7 }),
            ("[1,]", Byte { at: 3 }),
            ("[,1]", Byte { at: 1 }),
            ("[1,,2]", Byte { at: 3 }),
            ("[1]]", Byte { at: 3 }),
            ("[1] x", Byte { at: 4 }),
            ("[1][]", Byte { at: 3 }),
            ("[{} {}]", Byte { at: 4 }),
            ("[{}1]", Byte { at: 3 }),
            ("[\"a\"1]", Byte { at: 4 }),
            ("[1{}]", Byte { at: 2 }),
            ("[1\"a\"]", Byte { at: 2 }),
            ("[1}", Byte { at: 2 }),
            ("{}", Byte { at: 0 }),
            ("1", Byte { at: 0 }),
        ] {
            assert_eq!(parts(text.as_bytes()), Err(error), "{text}");
        }
    }

    #[test]
    fn members_are_shown_as_they_are_written() {
        let mut shown = Vec::new();
        let text = br#" { "a" : NaN , "\u0069d":"x" ,"b":{"c":[1]}} "#;
        members(text, |name, value| shown.push((name, value.raw))).unwrap();
        let expected: &[(&[u8], &[u8])] = &[
            (b"\"a\"", b"NaN"),
            (br#""\u0069d""#, b"\"x\""),
            (b"\"b\"", b"{\"c\":[1]}"),
        ];
        assert_eq!(shown, expected);
        for text in [
            "[]",
            "{a:1}",
            "{\"a\"1}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":1 \"b\":2}",
            "{} {}",
        ] {
            assert!(members(text.as_bytes(), |_, _| {}).is_err(), "{text}");
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[\\[\\]{},:\"\\\\\n a-zé]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[\"\\\\,:a]{0,3}", inner), 0..4)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    fn nesting(value: &Value) -> usize {
        match value {
            Value::Array(inner) => 1 + inner.iter().map(nesting).max().unwrap_or(0),
            Value::Object(inner) => 1 + inner.values().map(nesting).max().unwrap_or(0),
            _ => 0,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn valid_arrays_are_read_as_a_parser_reads_them(
            values in prop::collection::vec(json(), 0..6),
            pretty in any::<bool>(),
        ) {
            let text = match pretty {
                true => serde_json::to_string_pretty(&values),
                false => serde_json::to_string(&values),
            }
            .unwrap();
            let parsed: Vec<&RawValue> = serde_json::from_str(&text).unwrap();
            let expected: Vec<_> = parsed
                .iter()
                .zip(&values)
                .map(|(raw, value)| (raw.get().as_bytes(), nesting(value)))
                .collect();
            prop_assert_eq!(parts(text.as_bytes()).unwrap(), expected);
        }

        #[test]
        fn long_values_are_read_as_short_ones(
            plain in 0..100_usize,
            text in 0..100_usize,
            escaped in any::<bool>(),
        ) {
            let (plain, text) = ("1".repeat(plain + 1), "x[".repeat(text));
            let escape = if escaped { "\\\"" } else { "" };
            let first = format!("[{plain},[{plain}],{{\"{text}{escape}{text}\":{plain}}}]");
            let whole = format!("[{first},{plain}]");
            prop_assert_eq!(
                parts(whole.as_bytes()).unwrap(),
                [(first.as_bytes(), 2), (plain.as_bytes(), 0)]
            );
        }

        #[test]
        fn no_bytes_make_it_panic(
            text in prop::collection::vec(
                prop_oneof![prop::sample::select(b"[]{}\",:\\ 1".to_vec()), any::<u8>()],
                0..40,
            ),
        ) {
            let _ = parts(&text);
            let _ = members(&text, |_, _| {});
        }
    }
}
