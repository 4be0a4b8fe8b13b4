//! The members of a JSON object, each as it is spelled.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// An object's members, borrowed. A derived `Deserialize` would refuse a second member of the same
/// name, which the proxy lets through.
#[derive(Debug)]
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, &'a str)>);

impl<'a> Object<'a> {
    /// Of members with one name the last counts, as with most JSON parsers.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        let mut members = self.0.iter().rev();
        members.find(|(it, _)| it == name).map(|(_, value)| *value)
    }

    /// Its only member.
    pub(super) fn only(&self) -> Option<(&str, &'a str)> {
        match &self.0[..] {
            [(name, value)] => Some((name, value)),
            _ => None,
        }
    }
}

/// Reads an object.
///
/// # Errors
///
/// What is wrong and where.
pub(super) fn object(text: &str) -> Result<Object<'_>, serde_json::Error> {
    serde_json::from_str(text)
}

/// Reads a list, each of its elements as it is spelled.
///
/// # Errors
///
/// What is wrong and where.
pub(super) fn list(text: &str) -> Result<Vec<&str>, serde_json::Error> {
    let elements: Vec<&RawValue> = serde_json::from_str(text)?;
    Ok(elements.into_iter().map(RawValue::get).collect())
}

/// Reads any JSON value, without the whitespace around it.
///
/// # Errors
///
/// What is wrong and where.
pub(super) fn value(text: &[u8]) -> Result<&str, serde_json::Error> {
    let value: &RawValue = serde_json::from_slice(text)?;
    Ok(value.get())
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<Object<'de>, M::Error> {
        let mut object = Object(Vec::new());
        while let Some(Name(name)) = members.next_key()? {
            object
                .0
                .push((name, members.next_value::<&RawValue>()?.get()));
        }
        Ok(object)
    }
}

/// A member's name, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
