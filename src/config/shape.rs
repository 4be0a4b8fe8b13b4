//! What is given of a shape: `shape = "NAME"`, or a table of its own.
//!
//! The keys of a table are [`Keys`], which know their types; whether the parts fit together is said
//! by [`Shape::compile`] once the layers are combined, and placed here at the line of each key.

use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde_json::json;
use toml::de::{DeValue, ValueDeserializer};
use toml::{Spanned, Table, Value};

use super::given::Given;
use super::kind::{Kind, Raw, Wrong, must_be, quoted, type_of};
use super::list::elements;
use super::mistake::Origin;
use super::nearest::nearest;
use crate::printable::shown;
use crate::shape::{Keys, Shape, presets};

/// The key that a table begins with, and that `shape = "NAME"` stands for.
pub(crate) const LIKE: &str = "like";

/// What one layer gives of a shape, or several that are combined.
#[derive(Clone, Default)]
pub(crate) struct ShapeOptions {
    /// Whether it begins with a name alone, which hides all that lower layers say.
    is_named: bool,
    keys: BTreeMap<&'static str, Given<Value>>,
}

/// What is wrong with a shape as a whole: the place, the key of the table, and the words.
pub(crate) type Unfit = (Option<Origin>, &'static str, String);

impl ShapeOptions {
    /// Reads `shape = "NAME"`.
    pub(crate) fn read_name(&mut self, raw: Raw<'_>, from: Origin) -> Result<(), Wrong> {
        self.is_named = true;
        let read = self
            .keys
            .entry(LIKE)
            .or_default()
            .read(&kind(LIKE), raw, from);
        match raw {
            Raw::Toml(value) if !value.is_str() => {
                let allowed = "the name of a shape, or a table of its keys";
                Err(must_be(allowed, type_of(value)))
            }
            _ => read,
        }
    }

    /// Reads a key of a table; `None` if there is no such key.
    pub(crate) fn read(
        &mut self,
        key: &str,
        raw: Raw<'_>,
        from: Origin,
    ) -> Option<Result<(), Wrong>> {
        let key = Keys::names().find(|known| *known == key)?;
        Some(
            self.keys
                .entry(key)
                .or_default()
                .read(&kind(key), raw, from),
        )
    }

    /// Lays this over what a lower layer gives.
    pub(crate) fn combine(&mut self, lower: &Self) {
        if self.is_named {
            return;
        }
        self.is_named = lower.is_named;
        for (key, lower) in &lower.keys {
            let upper = self.keys.entry(key).or_default();
            upper.combine(lower, &kind(key));
        }
    }

    /// The keys, unless one could not be read.
    pub(crate) fn keys(&self) -> Option<Keys> {
        let values = self.keys.iter();
        let values = values.map(|(key, given)| Some(((*key).to_owned(), given.get()?)));
        Keys::deserialize(values.collect::<Option<Table>>()?).ok()
    }

    /// Whether its calls are jobs, none of which goes alone, if that is known.
    pub(crate) fn takes_jobs(&self) -> Option<bool> {
        let keys = self.keys()?;
        let preset = keys.like.as_ref().and_then(|name| presets::all().get(name));
        let all = keys.over(preset.cloned().unwrap_or_default());
        Some(all.call.is_none_or(|call| call == "job"))
    }

    /// The shape for a route whose path captures these names.
    ///
    /// # Errors
    /// Everything that does not fit; nothing where a key could not be read, which is told already.
    pub(crate) fn compile(&self, captures: &[&str]) -> Result<Shape, Vec<Unfit>> {
        let Some(keys) = self.keys() else {
            return Err(Vec::new());
        };
        let compiled = Shape::compile(&keys, captures);
        compiled.map_err(|mistakes| {
            let placed = mistakes.into_iter().map(|it| {
                // What a preset says stands in no line of ours, but its name does.
                let at = self.origin(it.key).or_else(|| self.origin(LIKE));
                (at.or_else(|| self.place()).cloned(), it.key, it.what)
            });
            placed.collect()
        })
    }

    /// The name, if that is all there is, and else the keys of a table; values as TOML.
    pub(crate) fn printed(&self) -> Result<String, Vec<(&'static str, String)>> {
        let given = Keys::names();
        let given = given.filter_map(|key| Some((key, printed(&self.keys.get(key)?.get()?))));
        let given: Vec<_> = given.collect();
        match &given[..] {
            [(LIKE, name)] => Ok(name.clone()),
            [] => Ok(quoted(DEFAULT)),
            _ => Err(given),
        }
    }

    /// Whether the same is said in both.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let values = |it: &Self| -> Vec<_> {
            let keys = it.keys.iter();
            keys.map(|(key, given)| (*key, given.get())).collect()
        };
        values(self) == values(other)
    }

    /// Where something is said, if anything is.
    pub(crate) fn place(&self) -> Option<&Origin> {
        self.keys.values().find_map(Given::origin)
    }

    /// Whether anything is said.
    pub(crate) fn is_given(&self) -> bool {
        !self.keys.is_empty()
    }

    fn origin(&self, key: &str) -> Option<&Origin> {
        self.keys.get(key)?.origin()
    }
}

/// The shape of a route that says nothing of one.
pub(crate) const DEFAULT: &str = "jobs";

/// A number that any key takes that takes numbers.
const STATUS: i64 = 200;

/// Values of the type that [`Keys`] has for this key.
fn kind(key: &'static str) -> Kind<Value> {
    let allowed = allowed(key);
    let told = allowed.clone();
    let read = move |raw: Raw<'_>| {
        let (value, found) = match raw {
            Raw::Toml(value) if takes(key, STATUS.into()) && raw.is_number() => {
                (owned(value)?, raw.to_string())
            }
            Raw::Toml(value) => (owned(value)?, type_of(value)),
            Raw::Text(text) | Raw::Flag(text) => (from_text(key, text), raw.to_string()),
        };
        if !takes(key, value.clone()) {
            return Err(must_be(&told, found));
        }
        match value.as_str().filter(|_| key == LIKE) {
            Some(name) if !presets::all().contains_key(name) => Err(unknown_shape(name).into()),
            _ => Ok(value),
        }
    };
    Kind::new(allowed, |_| true, read, printed)
}

fn owned(value: &DeValue<'_>) -> Result<Value, Wrong> {
    let value = ValueDeserializer::from(Spanned::new(0..0, value.clone()));
    Value::deserialize(value).map_err(|error| error.message().replace('\n', ", ").into())
}

/// A text of the environment as a value of this key: the text itself where that is what the key
/// takes, a value of TOML, or the elements of a list.
fn from_text(key: &'static str, text: &str) -> Value {
    let value = |text: &str| {
        let parsed = DeValue::parse(text).ok();
        parsed.and_then(|it| owned(it.get_ref()).ok())
    };
    let whole = Value::from(text);
    if takes(key, whole.clone()) {
        return whole;
    }
    let element = |text: &str| value(text).unwrap_or_else(|| text.into());
    let list = || Value::Array(elements(text).map(element).collect());
    let mut readings = value(text).into_iter().chain([list()]);
    readings.find(|it| takes(key, it.clone())).unwrap_or(whole)
}

fn takes(key: &'static str, value: Value) -> bool {
    let table = Table::from_iter([(key.to_owned(), value)]);
    Keys::deserialize(table).is_ok()
}

/// What a key may be, in a few words.
fn allowed(key: &'static str) -> String {
    let words: Value = vec!["2xx"].into();
    let statuses: Value = vec![STATUS].into();
    let types = [
        (Value::from("2xx"), "a string"),
        (STATUS.into(), "a status"),
        (true.into(), "true or false"),
        (words, "a list of strings"),
        (statuses, "of statuses"),
    ];
    let types = types
        .into_iter()
        .filter(|(sample, _)| takes(key, sample.clone()));
    let words: Vec<_> = types.map(|(_, words)| words).collect();
    words.join(" or ")
}

/// The JSON Schema of `shape = "NAME"` or of a table.
pub(crate) fn schema() -> serde_json::Value {
    let keys = Keys::names().zip(Keys::meanings()).map(|(key, meaning)| {
        let mut schema = schema_of(key);
        schema["description"] = meaning.into();
        (key.to_owned(), schema)
    });
    let keys: serde_json::Map<_, _> = keys.collect();
    json!({
        "anyOf": [
            schema_of(LIKE),
            { "type": "object", "additionalProperties": false, "properties": keys },
        ],
    })
}

/// The JSON Schema of a key.
fn schema_of(key: &'static str) -> serde_json::Value {
    if key == LIKE {
        let names: Vec<_> = presets::all().keys().collect();
        return json!({ "enum": names });
    }
    let status = || json!({ "type": "integer", "minimum": 0, "maximum": u16::MAX });
    let text = || json!({ "type": "string" });
    let list = |items: serde_json::Value| json!({ "type": "array", "items": items });
    let statuses_too = takes(key, vec![STATUS].into());
    let types = [
        (Value::from("2xx"), text()),
        (STATUS.into(), status()),
        (true.into(), json!({ "type": "boolean" })),
        (
            vec!["2xx"].into(),
            list(match statuses_too {
                true => json!({ "anyOf": [text(), status()] }),
                false => text(),
            }),
        ),
    ];
    let types = types.into_iter();
    let schema = types.filter(|(sample, _)| takes(key, sample.clone()));
    schema.map(|(_, schema)| schema).next().unwrap_or_default()
}

/// A value as TOML, in one line.
fn printed(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(elements) => {
            let elements: Vec<_> = elements.iter().map(printed).collect();
            format!("[{}]", elements.join(", "))
        }
        other => other.to_string(),
    }
}

/// What is wrong with the unknown name of a shape.
fn unknown_shape(name: &str) -> String {
    let names = presets::all().keys().map(String::as_str);
    let near = nearest(name, names.clone().map(|name| (name, name)));
    match near {
        Some(near) => format!("there is no shape {}; did you mean {near:?}?", shown(name)),
        None => {
            let names: Vec<_> = names.map(quoted).collect();
            format!(
                "there is no shape {}; there are {}",
                shown(name),
                names.join(", ")
            )
        }
    }
}
