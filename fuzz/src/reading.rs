//! The oracle's reading of JSON: values as `serde_json` hands them out.
//!
//! `microbatch::json` looks at the text, names at their spelling and depth at the brackets. Here
//! everything is asked of `serde_json`, one level of a document at a time. Strings are read as
//! bytes, since that alone takes half a surrogate pair (which comes out as no UTF-8).

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// How deep a job, or a result, may nest; its outermost object is level 1.
pub(crate) const MAX_DEPTH: usize = 128;

/// An id, by value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Id {
    /// A string's.
    Text(String),
    /// An integer's.
    Integer(i128),
}

/// As JSON.
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => {
                f.write_str(&serde_json::to_string(text).expect("any string is JSON"))
            }
            Self::Integer(number) => number.fmt(f),
        }
    }
}

/// Why a value is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoId {
    /// Neither a string nor a number.
    Type,
    /// The empty string.
    Empty,
    /// More than 256 code points.
    TooLong,
    /// Half a surrogate pair.
    LoneSurrogate,
    /// A fraction, an exponent, or minus zero.
    NotAnInteger,
    /// Neither i64 nor u64.
    OutOfRange,
}

/// What `value` is as an id.
pub(crate) fn id(value: &RawValue) -> Result<Id, NoId> {
    if let Some(bytes) = string(value) {
        let text = String::from_utf8(bytes).map_err(|_| NoId::LoneSurrogate)?;
        return match text.chars().count() {
            0 => Err(NoId::Empty),
            1..=256 => Ok(Id::Text(text)),
            _ => Err(NoId::TooLong),
        };
    }
    // Whole numbers alone are these types to `serde_json`, and -0 is none.
    let signed = serde_json::from_str::<i64>(value.get()).map(i128::from);
    let unsigned = || serde_json::from_str::<u64>(value.get()).map(i128::from);
    match value.get() {
        _ if let Ok(number) = signed.or_else(|_| unsigned()) => Ok(Id::Integer(number)),
        "null" | "true" | "false" => Err(NoId::Type),
        text if text.starts_with(['[', '{']) => Err(NoId::Type),
        text if text == "-0" || text.contains(['.', 'e', 'E']) => Err(NoId::NotAnInteger),
        _ => Err(NoId::OutOfRange),
    }
}

/// The members of an object in order, duplicates included; `None` for any other value.
pub(crate) fn members(value: &RawValue) -> Option<Vec<(Text, &RawValue)>> {
    let members: Result<Members<'_>, _> = serde_json::from_str(value.get());
    members.ok().map(|members| members.0)
}

/// The elements of an array; `None` for any other value.
pub(crate) fn elements(value: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(value.get()).ok()
}

/// Whether `value` nests deeper than `levels`.
pub(crate) fn deeper_than(levels: usize, value: &RawValue) -> bool {
    let mut open = vec![(value, 0)];
    while let Some((value, around)) = open.pop() {
        let names_dropped = |members: Vec<(_, _)>| members.into_iter().map(|(_, v)| v).collect();
        let Some(inner) = elements(value).or_else(|| members(value).map(names_dropped)) else {
            continue;
        };
        if around == levels {
            return true;
        }
        open.extend(inner.into_iter().map(|value| (value, around + 1)));
    }
    false
}

fn string(value: &RawValue) -> Option<Vec<u8>> {
    let text: Result<Text, _> = serde_json::from_str(value.get());
    text.ok().map(|text| text.0)
}

/// A string as the bytes it stands for.
pub(crate) struct Text(pub(crate) Vec<u8>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Text, E> {
                Ok(Text(bytes.to_owned()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

struct Members<'a>(Vec<(Text, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}
