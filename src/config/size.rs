//! The kind for sizes: `"256KiB"`, or a number of bytes.

use std::ops::RangeInclusive;

use bytesize::ByteSize;
use toml::de::DeValue;

use super::kind::{Kind, Wrong, from_to, must_be, quoted, shown, shown_number, type_of};

/// A size in bytes within a range.
pub(crate) struct Size(pub RangeInclusive<usize>);

/// A gibibyte, the upper end of what one body may be.
pub(crate) const GIB: usize = 1 << 30;

impl Size {
    fn range(&self) -> String {
        from_to(&self.0, |bytes| spelled(*bytes as u64))
    }

    fn in_range(&self, bytes: u64) -> Result<usize, Wrong> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        match self.0.contains(&bytes) {
            true => Ok(bytes),
            false => Err(must_be(&self.range(), spelled(bytes as u64))),
        }
    }
}

impl Kind for Size {
    type Value = usize;

    fn allowed(&self) -> String {
        format!("bytes, {}", self.range())
    }

    fn text(&self, text: &str) -> Result<usize, Wrong> {
        let text = text.trim();
        // The parser would take "1.5" for one byte, and "+5" for five.
        let plain = text.ends_with(|last: char| last.is_ascii_digit());
        let whole = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse::<ByteSize>() {
            Ok(size) if whole || !plain => self.in_range(size.as_u64()),
            _ => Err(format!(
                "{} is not a size; write a number of bytes, or one with a unit, such as \"256KiB\"",
                shown(text)
            )
            .into()),
        }
    }

    fn toml(&self, value: &DeValue<'_>) -> Result<usize, Wrong> {
        match value {
            DeValue::String(text) => self.text(text),
            DeValue::Integer(number) => {
                let bytes = u64::from_str_radix(number.as_str(), number.radix());
                let wrong = |_| must_be(&self.range(), shown_number(&number.to_string()));
                self.in_range(bytes.map_err(wrong)?)
            }
            other => Err(must_be(
                "a size such as \"256KiB\", or a number of bytes",
                type_of(other),
            )),
        }
    }

    fn print(&self, value: &usize) -> String {
        let text = spelled(*value as u64);
        match text.ends_with('B') {
            true => quoted(&text),
            false => text,
        }
    }
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
        let kind = Size(1..=GIB);
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
        let kind = Size(1..=GIB);
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
            round_trips(&Size(1..=GIB), text);
        }
    }
}
