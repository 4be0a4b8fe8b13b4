//! One item: how it was handed in, and all that has become of it.

use std::time::Duration;

use serde_json::json;

/// How an item is handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Its caller waits.
    Waiting,
    /// Its answer is fetched.
    Later,
    /// The same, and its caller can hand it in again.
    LaterWithKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deleted {
    No,
    /// It was asked for, and nobody knows.
    Perhaps,
    /// From then on, and in this life of the process.
    Certainly {
        stamp: u64,
        life: u64,
    },
}

/// An answer, by which two of them are compared.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) body: Vec<u8>,
}

pub(super) struct Item {
    pub(super) way: Way,
    pub(super) stream: Option<u8>,
    pub(super) padding: usize,
    /// In which life of the process it was handed in for the first time.
    pub(super) born: u64,
    pub(super) handle: Option<String>,
    /// How often nobody knew what became of handing it in.
    pub(super) unknown: u32,
    /// How often it was handed in again.
    pub(super) again: u32,
    /// Whether somebody hands it in, or deletes it.
    pub(super) busy: bool,
    pub(super) deleted: Deleted,
    /// From when on it was seen.
    pub(super) answer: Option<(u64, Seen)>,
    pub(super) calls: Vec<u64>,
    pub(super) story: Vec<(Duration, String)>,
}

impl Item {
    pub(super) fn seen_before(&self, stamp: u64) -> bool {
        self.answer.as_ref().is_some_and(|(seen, _)| *seen < stamp)
    }

    pub(super) fn body(&self, item: usize) -> String {
        json!({ "id": id(item), "padding": "x".repeat(self.padding) }).to_string()
    }
}

/// The id of an item.
pub fn id(item: usize) -> String {
    format!("item-{item}")
}
