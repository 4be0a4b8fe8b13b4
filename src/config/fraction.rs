//! The kind for a share of a whole: a number such as 0.2.

use std::ops::RangeInclusive;

use toml::de::DeValue;

use super::kind::{Kind, Wrong, shown, shown_number, type_of};

/// A share within a range, without a unit.
pub(crate) struct Fraction(RangeInclusive<f64>);

/// A share within `range`.
pub(crate) fn fraction(range: RangeInclusive<f64>) -> Fraction {
    Fraction(range)
}

impl Fraction {
    fn in_range(&self, number: f64, written: &str) -> Result<f64, Wrong> {
        if self.0.contains(&number) {
            // Minus zero is within the range, and would be printed as such.
            return Ok(number.abs());
        }
        Err(format!("must be {}, not {written}", self.allowed()).into())
    }
}

impl Kind for Fraction {
    type Value = f64;

    fn allowed(&self) -> String {
        let (min, max) = (self.0.start(), self.0.end());
        format!("a number from {min} to {max}")
    }

    fn text(&self, text: &str) -> Result<f64, Wrong> {
        // What TOML does not call a number (`inf`, `.5`, `1e`) is none here either.
        let digits = text.starts_with(|first: char| first.is_ascii_digit());
        match text.parse::<f64>() {
            Ok(number) if digits => self.in_range(number, &shown(text)),
            _ => Err(format!("must be {}, not {}", self.allowed(), shown(text)).into()),
        }
    }

    fn toml(&self, value: &DeValue<'_>) -> Result<f64, Wrong> {
        let written = match value {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            DeValue::String(text) if self.text(text).is_ok() => {
                return Err(format!("must be {}, without quotes", self.allowed()).into());
            }
            other => {
                let found = type_of(other);
                return Err(format!("must be {}, not {found}", self.allowed()).into());
            }
        };
        match written.parse() {
            Ok(number) => self.in_range(number, &shown_number(written)),
            Err(_) => {
                let found = shown_number(written);
                Err(format!("must be {}, not {found}", self.allowed()).into())
            }
        }
    }

    fn print(&self, value: &f64) -> String {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind::testing::{from_text, from_toml, round_trips};
    use super::*;

    #[test]
    fn fractions_are_numbers_in_their_range() {
        let kind = fraction(0.0..=1.0);
        for (toml, expected) in [
            ("0.2", Ok("0.2")),
            ("0", Ok("0")),
            ("1", Ok("1")),
            ("1.0", Ok("1")),
            ("-0.0", Ok("0")),
            ("5e-2", Ok("0.05")),
            ("1.01", Err("must be a number from 0 to 1, not 1.01")),
            ("-0.1", Err("must be a number from 0 to 1, not -0.1")),
            ("2", Err("must be a number from 0 to 1, not 2")),
            ("nan", Err("must be a number from 0 to 1, not nan")),
            ("inf", Err("must be a number from 0 to 1, not inf")),
            (
                "\"0.2\"",
                Err("must be a number from 0 to 1, without quotes"),
            ),
            ("\"20%\"", Err("must be a number from 0 to 1, not a string")),
            ("true", Err("must be a number from 0 to 1, not a boolean")),
            ("0x1", Err("must be a number from 0 to 1, not an integer")),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(from_toml(&kind, toml), expected, "{toml}");
        }
        for text in ["", "20%", ".5", "-0.1", "inf", "NaN", "1.5", "0,2"] {
            let expected = format!("must be a number from 0 to 1, not {text:?}");
            assert_eq!(from_text(&kind, text), Err(expected));
        }
        assert_eq!(from_text(&kind, "0.25"), Ok("0.25".to_owned()));
        round_trips(&kind, "0.1");
        round_trips(&kind, "1");
    }
}
