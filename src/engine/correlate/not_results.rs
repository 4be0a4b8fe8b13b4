//! Why an answer holds no results at all, and what stands in their place.

use thiserror::Error;

use crate::json::scan::{self, Unreadable};

/// Why an answer holds no results at all. The texts are for the operator's log.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NotResults {
    /// An array that can't be followed to its end.
    #[error("an array whose elements can't be told apart: {0}")]
    Unreadable(Unreadable),
    /// Something else.
    #[error("not an array but {0}")]
    NotAnArray(Instead),
}

/// What stands in place of an array.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Instead {
    /// No bytes, or whitespace alone.
    #[error("nothing")]
    Nothing,
    /// An object with an array in one of its members.
    #[error("an object with an array in it: the results must be the whole answer")]
    Wrapped,
    /// Any other object.
    #[error("an object")]
    Object,
    /// A string, a number, `true`, `false` or `null`.
    #[error("a single value")]
    Value,
    /// Several documents.
    #[error("several JSON documents, one after another")]
    Several,
    /// A page or another document with tags.
    #[error("HTML or XML")]
    Markup,
    /// Bytes that gzip starts with (RFC 1952, 2.3.1).
    #[error("compressed bytes (gzip)")]
    Gzip,
    /// None of these.
    #[error("no JSON")]
    Other,
}

impl Instead {
    pub(super) fn of(text: &[u8]) -> Self {
        match text.trim_ascii() {
            [] => Self::Nothing,
            [b'{', ..] => Self::object(text),
            [b'<', ..] => Self::Markup,
            [0x1f, 0x8b, ..] => Self::Gzip,
            _ if is_json(text) => Self::Value,
            _ => Self::Other,
        }
    }

    /// What begins like an object.
    fn object(text: &[u8]) -> Self {
        let mut wrapped = false;
        match scan::members(text, |_, value| wrapped |= value.raw.starts_with(b"[")) {
            Ok(()) if wrapped => Self::Wrapped,
            Ok(()) => Self::Object,
            // The first has ended, and there is more.
            Err(Unreadable::Byte { at }) if text[..at].trim_ascii_end().ends_with(b"}") => {
                Self::Several
            }
            Err(_) => Self::Other,
        }
    }
}

fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
}
