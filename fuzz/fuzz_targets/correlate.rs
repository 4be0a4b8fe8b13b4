//! `Shape::read_answer` on batches of jobs and answers that were made for each other, more or less.
//!
//! Any bytes are seldom the answer to any ids: here both are put together from parts, so that
//! results, strangers, duplicates, errors and junk come in every mixture, and some that are not
//! JSON. The answer is always an array; what is none is for the target `answer`.

#![no_main]

use std::fmt::Write as _;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|case: Case<'_>| {
    let ids: Vec<String> = case.ids.iter().map(Id::written).collect();
    let answer = case.answer(&ids);
    let ids = ids.iter().map(String::as_str);
    microbatch_fuzz::correlation::check(ids, &answer);
});

#[derive(Arbitrary, Debug)]
struct Case<'a> {
    ids: Vec<Id<'a>>,
    elements: Vec<Element<'a>>,
    space: Space,
}

#[derive(Arbitrary, Debug)]
enum Id<'a> {
    Small(u8),
    /// Another id than the number.
    Digits(u8),
    Signed(i64),
    Unsigned(u64),
    Text(&'a str),
    /// The same as the text, when unescaped.
    Escaped(&'a str),
    /// From one code point to one more than is allowed.
    Long(char, u8),
}

#[derive(Arbitrary, Debug)]
enum Element<'a> {
    /// An object with the id of a job, and perhaps another one.
    Result(u8, Vec<Member<'a>>),
    Object(Vec<Member<'a>>),
    /// As an earlier element, byte for byte or not quite.
    Again(u8, Change),
    /// An object with the id of a job, about as deep as it may be.
    Deep(u8, u8),
    Bare(Value<'a>),
}

/// Where a space more stands; two changes are of the same length, and differ.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Change {
    None,
    First,
    Last,
}

#[derive(Arbitrary, Debug)]
enum Member<'a> {
    /// The id of one of the jobs.
    Id(u8),
    /// Perhaps an id of none, perhaps no id at all.
    OtherId(Value<'a>),
    Error(Value<'a>),
    Status(Value<'a>),
    Other(&'a str, Value<'a>),
    /// Named `id`, `error` or `status` with an escape.
    EscapedName(u8, Value<'a>),
}

#[derive(Arbitrary, Debug)]
enum Value<'a> {
    Id(Id<'a>),
    Null,
    Empty,
    True,
    False,
    Status(u16),
    Fraction(u16),
    Exponent(u8),
    TooBig(u64),
    MinusZero,
    LoneSurrogate,
    Array(u8),
    Object(u8),
    /// Written by many, and no JSON.
    NotANumber,
    LineBreak,
    LeadingZero(u8),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Space {
    None,
    Blank,
    Line,
}

impl Case<'_> {
    fn answer(&self, ids: &[String]) -> Vec<u8> {
        let space: &[u8] = match self.space {
            Space::None => b"",
            Space::Blank => b" ",
            Space::Line => b"\r\n\t",
        };
        let mut elements: Vec<Vec<u8>> = Vec::new();
        for element in &self.elements {
            let written = element.written(ids, &elements);
            elements.push([space, &written, space].concat());
        }
        let array = [b"[", &elements.join(&b","[..])[..], b"]"].concat();
        [space, &array, space].concat()
    }
}

impl Id<'_> {
    fn written(&self) -> String {
        match self {
            Id::Small(number) => number.to_string(),
            Id::Digits(number) => format!("\"{number}\""),
            Id::Signed(number) => number.to_string(),
            Id::Unsigned(number) => number.to_string(),
            Id::Text(text) => quoted(text),
            Id::Escaped(text) => escaped(text),
            Id::Long(char, less) => quoted(&char.to_string().repeat(257 - usize::from(*less))),
        }
    }
}

impl Element<'_> {
    fn written(&self, ids: &[String], earlier: &[Vec<u8>]) -> Vec<u8> {
        match self {
            Element::Result(which, members) => {
                let id = Member::Id(*which);
                object(std::iter::once(&id).chain(members), ids)
            }
            Element::Object(members) => object(members, ids),
            Element::Again(which, change) => {
                let mut again = pick(earlier, *which).cloned().unwrap_or(b"0".to_vec());
                let place = match change {
                    Change::None => None,
                    Change::First => again.iter().position(|byte| *byte == b'{'),
                    Change::Last => again.iter().rposition(|byte| *byte == b'}'),
                };
                if let Some(at) = place {
                    let inside = at + usize::from(again[at] == b'{');
                    again.insert(inside, b' ');
                }
                again
            }
            Element::Deep(which, levels) => {
                let id = pick(ids, *which).map_or("0", String::as_str);
                let levels = 120 + usize::from(*levels) % 9;
                let (open, close) = ("[".repeat(levels), "]".repeat(levels));
                format!("{{\"a\":{open}{close},\"id\":{id}}}").into_bytes()
            }
            Element::Bare(value) => value.written().into_bytes(),
        }
    }
}

impl Member<'_> {
    fn written(&self, ids: &[String]) -> String {
        let (name, value) = match self {
            Member::Id(which) => {
                let id = pick(ids, *which).map_or("null", String::as_str);
                return format!("\"id\":{id}");
            }
            Member::OtherId(value) => (quoted("id"), value),
            Member::Error(value) => (quoted("error"), value),
            Member::Status(value) => (quoted("status"), value),
            Member::Other(name, value) => (quoted(name), value),
            Member::EscapedName(which, value) => {
                let names = ["id", "error", "status"];
                let name = names[usize::from(*which) % names.len()];
                (escaped(name), value)
            }
        };
        format!("{name}:{}", value.written())
    }
}

impl Value<'_> {
    fn written(&self) -> String {
        match self {
            Value::Id(id) => id.written(),
            Value::Null => "null".to_owned(),
            Value::Empty => "\"\"".to_owned(),
            Value::True => "true".to_owned(),
            Value::False => "false".to_owned(),
            Value::Status(status) => status.to_string(),
            Value::Fraction(number) => format!("{number}.0"),
            Value::Exponent(number) => format!("{number}E0"),
            Value::TooBig(number) => format!("99{number}{number}"),
            Value::MinusZero => "-0".to_owned(),
            Value::LoneSurrogate => "\"\\ud800\"".to_owned(),
            Value::Array(number) => format!("[{number}]"),
            Value::Object(number) => format!("{{\"id\":{number}}}"),
            Value::NotANumber => "NaN".to_owned(),
            Value::LineBreak => "\"\n\"".to_owned(),
            Value::LeadingZero(number) => format!("0{number}"),
        }
    }
}

fn object<'a>(members: impl IntoIterator<Item = &'a Member<'a>>, ids: &[String]) -> Vec<u8> {
    let members: Vec<String> = members.into_iter().map(|it| it.written(ids)).collect();
    format!("{{{}}}", members.join(",")).into_bytes()
}

fn pick<T>(from: &[T], which: u8) -> Option<&T> {
    from.get(usize::from(which).checked_rem(from.len())?)
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

fn escaped(text: &str) -> String {
    let mut written = "\"".to_owned();
    for unit in text.encode_utf16() {
        let _ = write!(written, "\\u{unit:04x}");
    }
    written + "\""
}
