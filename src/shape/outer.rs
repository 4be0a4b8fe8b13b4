//! What replies name of an answer outside of its results.

use std::ops::Range;

use serde::de::IgnoredAny;

use super::nan;
use super::share::Total;
use crate::json::{self, MAX_DEPTH};

/// The values at the pointers of a reply's template, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outer(Vec<Option<Value>>);

/// A value of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Value {
    /// As it is written.
    raw: String,
    total: Option<Total>,
}

impl Outer {
    /// What stands at these places of an answer; what is no JSON is as good as absent.
    pub fn read(text: &[u8], places: &[Option<Range<usize>>], nan: bool) -> Self {
        let values = places.iter().map(|at| {
            let raw = std::str::from_utf8(&text[at.clone()?]).ok()?;
            is_sound(raw, nan).then(|| Value {
                raw: raw.to_owned(),
                total: Total::parse(raw),
            })
        });
        Self(values.collect())
    }

    /// The value there, as it is written.
    pub fn raw(&self, at: usize) -> Option<&str> {
        Some(&self.0.get(at)?.as_ref()?.raw)
    }

    /// The value there, if it is a number that can be divided.
    pub fn total(&self, at: usize) -> Option<Total> {
        self.0.get(at)?.as_ref()?.total
    }
}

fn is_sound(raw: &str, nan: bool) -> bool {
    let is_json = |text: &str| serde_json::from_str::<IgnoredAny>(text).is_ok();
    let covered = || nan::covered(raw).filter(|_| nan);
    !json::deeper_than(MAX_DEPTH, raw.as_bytes())
        && (is_json(raw) || covered().is_some_and(|it| is_json(&it)))
}
