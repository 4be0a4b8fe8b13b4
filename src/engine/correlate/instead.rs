//! What stands in place of an array of results.

use crate::fault::Instead;
use crate::json::scan::{self, Unreadable};

/// What an answer is that is no array.
pub(super) fn instead(text: &[u8]) -> Instead {
    match text.trim_ascii() {
        [] => Instead::Nothing,
        [b'{', ..] => object(text),
        [b'<', ..] => Instead::Markup,
        [0x1f, 0x8b, ..] => Instead::Gzip,
        _ if serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok() => Instead::Value,
        _ => Instead::Other,
    }
}

/// What begins like an object.
fn object(text: &[u8]) -> Instead {
    let mut wrapped = false;
    match scan::members(text, |_, value| wrapped |= value.raw.starts_with(b"[")) {
        Ok(()) if wrapped => Instead::Wrapped,
        Ok(()) => Instead::Object,
        // The first has ended, and there is more.
        Err(Unreadable::Byte { at }) if text[..at].trim_ascii_end().ends_with(b"}") => {
            Instead::Several
        }
        Err(_) => Instead::Other,
    }
}
