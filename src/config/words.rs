//! The kind for values that are one of a few words.

use serde_json::json;

use super::kind::{Kind, must_be, quoted};
use crate::printable::shown;

/// One of a few words, spelled exactly.
pub(crate) fn words<T: Copy + PartialEq>(words: &'static [(&'static str, T)]) -> Kind<T> {
    let allowed: Vec<_> = words.iter().map(|(word, _)| quoted(word)).collect();
    let allowed = allowed.join(" or ");
    let told = allowed.clone();
    let read = move |text: &str| {
        let found = words.iter().find(|(word, _)| *word == text);
        let value = found.map(|(_, value)| *value);
        value.ok_or_else(|| must_be(&told, shown(text)))
    };
    let spelled = move |value: &T| {
        let found = words.iter().find(|(_, known)| known == value);
        found.map_or("", |(word, _)| word).to_owned()
    };
    Kind::text(allowed, read, spelled).described(|| {
        let words: Vec<_> = words.iter().map(|(word, _)| word).collect();
        json!({ "enum": words })
    })
}
