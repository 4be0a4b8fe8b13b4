//! The keys of a shape, as they stand in a table of a configuration or of the presets.

use serde::{Deserialize, Serialize};

macro_rules! keys {
    ($($(#[doc = $doc:literal])+ $key:ident: $kind:ty,)+) => {
        /// What a table says of a shape; what it does not say is the default, or what the
        /// preset has that it is like.
        ///
        /// Words are not read here: [`Shape::compile`](super::Shape::compile) tells all that
        /// is wrong with them at once.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
        #[serde(deny_unknown_fields)]
        pub struct Keys {
            $($(#[doc = $doc])+ #[serde(skip_serializing_if = "Option::is_none")] pub $key: Option<$kind>,)+
        }

        impl Keys {
            /// Every key as it is written, in the order of the contract's table.
            pub fn names() -> impl Iterator<Item = &'static str> {
                let names = [$(stringify!($key),)+].into_iter();
                names.map(|it| it.trim_start_matches("r#"))
            }

            /// What each of them means, in the same order.
            pub fn meanings() -> impl Iterator<Item = &'static str> {
                let meanings = [$(concat!($($doc),+),)+].into_iter();
                meanings.map(str::trim_ascii)
            }

            /// The same keys, and those of `base` where these say nothing.
            #[must_use]
            pub fn over(self, base: Self) -> Self {
                Self { $($key: self.$key.or(base.$key),)+ }
            }
        }
    };
}

keys! {
    /// The preset whose keys hold where this table says nothing.
    like: String,
    /// What a call is: `job`, `item`, or a JSON Pointer to the member that holds items.
    call: String,
    /// What is one item and no list of them: `value`, `integers`, `objects`.
    single: Vec<String>,
    /// What an item must be, not to spoil its mates: an object with a string at each of
    /// these JSON Pointers.
    require: Vec<String>,
    /// How an item stands in the batch: a template.
    item: String,
    /// The body of the batch: a template.
    batch: String,
    /// What stands between items.
    join: String,
    /// Of the batch.
    content_type: String,
    /// Content types of calls that are merged.
    accept: Vec<String>,
    /// How a batch of one call goes: `as-is` or `batch`.
    lone: String,
    /// Where the answer has the results: a JSON Pointer, `lines`, `same` or `none`.
    results: String,
    /// How a result finds its item: `id`, `index` or `position`.
    r#match: String,
    /// Where in item and result an id stands: a JSON Pointer.
    id: String,
    /// Where in a result its index stands: a JSON Pointer.
    index: String,
    /// `keep`, or `rewrite` to give each item a number of its own on the wire.
    ids: String,
    /// Where a result tells that it failed: a JSON Pointer, or nothing for nowhere.
    error: String,
    /// Where a result has a status of its own: a JSON Pointer, or nothing for nowhere.
    status: String,
    /// The status of a reply whose result has an error and no status.
    error_status: u16,
    /// The part of a result that is the caller's: a JSON Pointer, or `/*`.
    result: String,
    /// The caller's answer: a template.
    reply: String,
    /// Headers of the answer that every caller gets too.
    reply_headers: Vec<String>,
    /// What a caller gets when the proxy has to speak itself: a template.
    problem: String,
    /// The status of all problems.
    problem_status: u16,
    /// Statuses whose body holds results.
    answers: Vec<Statuses>,
    /// Whether bare `NaN`, `Infinity` and `-Infinity` pass in results.
    nan: bool,
    /// Whether an answer may refuse a whole batch by one error: `none` or `one`.
    refusal: String,
}

/// One status, or a class of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Statuses {
    /// A status.
    One(u16),
    /// A class, such as `2xx`.
    Class(String),
}
