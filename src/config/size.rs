//! The kind for sizes: `"256KiB"`, or a number of bytes.

use std::ops::RangeInclusive;

use bytesize::ByteSize;
use serde_json::json;

use super::kind::{Kind, Raw, from_to, must_be, quoted};
use crate::printable::shown;

/// A gibibyte, the upper end of what one body may be.
pub(crate) const GIB: usize = 1 << 30;

/// A whole number of bytes, or a number with a unit as [`ByteSize`] knows them, perhaps with spaces
/// around.
const WRITTEN: &str = r"^\s*([0-9]+|[0-9.]+\s*([kKmMgGtTpPeE][iI]?[bB]?|[bB]))\s*$";

/// A size in bytes within `range`.
pub(crate) fn size(range: RangeInclusive<usize>) -> Kind<usize> {
    let from_to = from_to(&range, |bytes| spelled(*bytes as u64));
    let allowed = format!("bytes, {from_to}");
    let (least, most) = (*range.start(), *range.end());
    let schema = move || {
        let number = json!({ "type": "integer", "minimum": least, "maximum": most });
        let text = json!({ "type": "string", "pattern": WRITTEN, "examples": ["256KiB", "1MiB"] });
        json!({ "anyOf": [text, number] })
    };
    let read = move |raw: Raw<'_>| {
        let text = raw.text();
        let text = text.trim();
        // The parser would take "1.5" for one byte, and "+5" for five.
        let plain = text.ends_with(|last: char| last.is_ascii_digit());
        let whole = text.bytes().all(|byte| byte.is_ascii_digit());
        let bytes = match text.parse::<ByteSize>() {
            Ok(size) if whole || !plain => size.as_u64(),
            _ if raw.is_number() => return Err(must_be(&from_to, raw)),
            _ => {
                let text = shown(text);
                return Err(format!(
                    "{text} is not a size; write a number of bytes, or one with a unit, such as \
                     \"256KiB\""
                )
                .into());
            }
        };
        let size = usize::try_from(bytes).ok();
        let size = size.filter(|size| range.contains(size));
        size.ok_or_else(|| must_be(&from_to, spelled(bytes)))
    };
    let print = |bytes: &usize| match spelled(*bytes as u64) {
        text if text.ends_with('B') => quoted(&text),
        text => text,
    };
    Kind::new(
        allowed,
        |value| value.is_str() || value.is_integer(),
        read,
        print,
    )
    .expecting("a size such as \"256KiB\", or a number of bytes")
    .described(schema)
}

/// A size as people write it: in the largest unit that divides it, else in plain bytes.
pub(crate) fn spelled(bytes: u64) -> String {
    let units = [
        (bytesize::TIB, "TiB"),
        (bytesize::GIB, "GiB"),
        (bytesize::MIB, "MiB"),
        (bytesize::KIB, "KiB"),
    ];
    let exact = |(unit, _): &&(u64, &str)| bytes >= *unit && bytes.is_multiple_of(*unit);
    match units.iter().find(exact) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind::testing::{from_text, from_toml, round_trips};
    use super::*;

    #[test]
    fn sizes_are_bytes_or_carry_a_unit() {
        let kind = size(1..=GIB);
        let not_a_size = |text: &str| {
            Err(format!(
                "{text:?} is not a size; write a number of bytes, or one with a unit, such as \
                 \"256KiB\""
            ))
        };
        for (text, expected) in [
            ("1", Ok("1")),
            ("1000", Ok("1000")),
            ("1024", Ok("\"1KiB\"")),
            ("256KiB", Ok("\"256KiB\"")),
            ("1 MiB", Ok("\"1MiB\"")),
            ("1.5MiB", Ok("\"1536KiB\"")),
            ("1MB", Ok("1000000")),
            ("1gib", Ok("\"1GiB\"")),
            ("0", Err("must be from 1 to 1GiB, not 0".to_owned())),
            ("2GiB", Err("must be from 1 to 1GiB, not 2GiB".to_owned())),
            ("1.5", not_a_size("1.5")),
            ("+5", not_a_size("+5")),
            ("-5", not_a_size("-5")),
            ("1e3", not_a_size("1e3")),
            ("", not_a_size("")),
            ("MiB", not_a_size("MiB")),
            ("1 parsec", not_a_size("1 parsec")),
        ] {
            assert_eq!(
                from_text(&kind, text),
                expected.map(str::to_owned),
                "{text}"
            );
        }
    }

    #[test]
    fn in_toml_a_bare_number_is_bytes() {
        let kind = size(1..=GIB);
        for (toml, expected) in [
            ("2048", Ok("\"2KiB\"")),
            ("0x10", Ok("16")),
            ("\"64KiB\"", Ok("\"64KiB\"")),
            ("0", Err("must be from 1 to 1GiB, not 0")),
            ("-1", Err("must be from 1 to 1GiB, not -1")),
            (
                "1.5",
                Err("must be a size such as \"256KiB\", or a number of bytes, not a float"),
            ),
            (
                "true",
                Err("must be a size such as \"256KiB\", or a number of bytes, not a boolean"),
            ),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(from_toml(&kind, toml), expected, "{toml}");
        }
    }

    #[test]
    fn what_is_printed_reads_back() {
        for text in ["1", "1023", "1025", "1KiB", "1536KiB", "1GiB", "999999"] {
            round_trips(&size(1..=GIB), text);
        }
    }
}
