//! Kinds for numbers in a range, for those that may be left to the proxy, and for switches.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use toml::de::DeValue;

use super::kind::{Kind, Wrong, from_to, must_be, quoted, shown, shown_number, type_of};

/// A number within a range, without a unit.
pub(crate) struct Number<T> {
    what: &'static str,
    range: RangeInclusive<T>,
    read: fn(&str) -> Option<T>,
    /// A TOML value of the right type as `read` takes it.
    decimal: fn(&DeValue<'_>) -> Option<String>,
}

/// A whole number within `range`.
pub(crate) fn count<T: FromStr>(range: RangeInclusive<T>) -> Number<T> {
    Number {
        what: "a whole number",
        range,
        read: |text| text.parse().ok(),
        decimal: |value| {
            let number = value.as_integer()?;
            let whole = u64::from_str_radix(number.as_str(), number.radix());
            Some(whole.map_or_else(|_| number.to_string(), |whole| whole.to_string()))
        },
    }
}

/// A share within `range`.
pub(crate) fn fraction(range: RangeInclusive<f64>) -> Number<f64> {
    Number {
        what: "a number",
        range,
        // What TOML does not call a number (`inf`, `.5`, `1e`) is none here either.
        read: |text| match text.starts_with(|first: char| first.is_ascii_digit()) {
            true => text.parse().ok(),
            false => None,
        },
        decimal: |value| {
            let text = match value {
                DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
                DeValue::Float(number) => number.as_str(),
                _ => return None,
            };
            // Minus zero is within the range, and would be printed as such.
            let number = text.parse::<f64>().map(|number| (number + 0.0).to_string());
            Some(number.unwrap_or_default())
        },
    }
}

impl<T: PartialOrd + Display> Number<T> {
    fn in_range(&self, text: &str) -> Option<T> {
        (self.read)(text).filter(|number| self.range.contains(number))
    }
}

impl<T: PartialOrd + Display> Kind for Number<T> {
    type Value = T;

    fn allowed(&self) -> String {
        format!("{} {}", self.what, from_to(&self.range, T::to_string))
    }

    fn text(&self, text: &str) -> Result<T, Wrong> {
        let number = self.in_range(text);
        number.ok_or_else(|| must_be(&self.allowed(), shown(text)))
    }

    fn toml(&self, value: &DeValue<'_>) -> Result<T, Wrong> {
        let allowed = self.allowed();
        if let Some(text) = (self.decimal)(value) {
            let number = self.in_range(&text);
            return number.ok_or_else(|| must_be(&allowed, shown_number(&written(value))));
        }
        match value.as_str().and_then(|text| self.in_range(text)) {
            Some(_) => Err(format!("must be {allowed}, without quotes").into()),
            None => Err(must_be(&allowed, type_of(value))),
        }
    }

    fn print(&self, value: &T) -> String {
        value.to_string()
    }
}

/// A number of the file as it is written.
pub(crate) fn written(number: &DeValue<'_>) -> String {
    match number {
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        _ => String::new(),
    }
}

/// A number, or a word that leaves it to the proxy: `None`.
pub(crate) struct Or<T>(Number<T>, &'static str);

/// A `number`, or `word`.
pub(crate) fn or<T>(number: Number<T>, word: &'static str) -> Or<T> {
    Or(number, word)
}

impl<T: PartialOrd + Display> Or<T> {
    fn or_word(&self, number: Result<T, Wrong>) -> Result<Option<T>, Wrong> {
        let Or(_, word) = self;
        number
            .map(Some)
            .map_err(|wrong| format!("{wrong}; or {word:?}").into())
    }
}

impl<T: PartialOrd + Display> Kind for Or<T> {
    type Value = Option<T>;

    fn allowed(&self) -> String {
        format!("{}, or {:?}", self.0.allowed(), self.1)
    }

    fn text(&self, text: &str) -> Result<Option<T>, Wrong> {
        match text == self.1 {
            true => Ok(None),
            false => self.or_word(self.0.text(text)),
        }
    }

    fn toml(&self, value: &DeValue<'_>) -> Result<Option<T>, Wrong> {
        match value.as_str() {
            Some(text) if text == self.1 => Ok(None),
            Some(text) => self.or_word(self.0.text(text).and_then(|_| self.0.toml(value))),
            None => self.or_word(self.0.toml(value)),
        }
    }

    fn print(&self, value: &Option<T>) -> String {
        value.as_ref().map_or_else(|| quoted(self.1), T::to_string)
    }
}

/// `true` or `false`.
pub(crate) struct Switch;

impl Kind for Switch {
    type Value = bool;

    fn allowed(&self) -> String {
        "true or false".to_owned()
    }

    fn text(&self, text: &str) -> Result<bool, Wrong> {
        let on = text.parse();
        on.map_err(|_| must_be(&self.allowed(), shown(text)))
    }

    fn toml(&self, value: &DeValue<'_>) -> Result<bool, Wrong> {
        match (value.as_bool(), value.as_str()) {
            (Some(on), _) => Ok(on),
            (_, Some(text)) => self
                .text(text)
                .and(Err("must be true or false, without quotes".into())),
            _ => Err(must_be(&self.allowed(), type_of(value))),
        }
    }

    fn print(&self, value: &bool) -> String {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind::testing::{from_text, from_toml, round_trips};
    use super::*;

    #[test]
    fn counts_hold_to_their_range() {
        let kind = count::<u16>(400..=599);
        for (text, expected) in [
            ("400", Ok("400")),
            ("599", Ok("599")),
            (
                "399",
                Err("must be a whole number from 400 to 599, not \"399\""),
            ),
            (
                "600",
                Err("must be a whole number from 400 to 599, not \"600\""),
            ),
            (
                "-1",
                Err("must be a whole number from 400 to 599, not \"-1\""),
            ),
            ("", Err("must be a whole number from 400 to 599, not \"\"")),
            (
                "99999999999999999999",
                Err("must be a whole number from 400 to 599, not \"9999999999999999\"…"),
            ),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(from_text(&kind, text), expected, "{text}");
        }
    }

    #[test]
    fn counts_in_toml_are_integers_in_any_radix() {
        let kind = count::<usize>(1..=100_000);
        for (toml, expected) in [
            ("1", Ok("1")),
            ("1_000", Ok("1000")),
            ("0x40", Ok("64")),
            ("0", Err("must be a whole number from 1 to 100000, not 0")),
            ("-5", Err("must be a whole number from 1 to 100000, not -5")),
            (
                "100001",
                Err("must be a whole number from 1 to 100000, not 100001"),
            ),
            (
                "\"7\"",
                Err("must be a whole number from 1 to 100000, without quotes"),
            ),
            (
                "\"x\"",
                Err("must be a whole number from 1 to 100000, not a string"),
            ),
            (
                "1.0",
                Err("must be a whole number from 1 to 100000, not a float"),
            ),
            (
                "[]",
                Err("must be a whole number from 1 to 100000, not an array"),
            ),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(from_toml(&kind, toml), expected, "{toml}");
        }
    }

    #[test]
    fn switches_are_true_or_false() {
        assert_eq!(from_text(&Switch, "true"), Ok("true".to_owned()));
        assert_eq!(from_toml(&Switch, "false"), Ok("false".to_owned()));
        for (toml, expected) in [
            ("\"true\"", "must be true or false, without quotes"),
            ("\"on\"", "must be true or false, not \"on\""),
            ("1", "must be true or false, not an integer"),
        ] {
            assert_eq!(from_toml(&Switch, toml), Err(expected.to_owned()));
        }
        for text in ["1", "yes", "TRUE", ""] {
            let expected = format!("must be true or false, not {text:?}");
            assert_eq!(from_text(&Switch, text), Err(expected));
        }
    }

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

    #[test]
    fn a_number_or_a_word() {
        let slots = or(count::<usize>(1..=10_000), "adaptive");
        let threads = or(count::<usize>(1..=1_024), "auto");
        for (toml, expected) in [
            ("1", Ok("1")),
            ("10000", Ok("10000")),
            ("\"adaptive\"", Ok("\"adaptive\"")),
            (
                "0",
                Err("must be a whole number from 1 to 10000, not 0; or \"adaptive\""),
            ),
            (
                "\"auto\"",
                Err("must be a whole number from 1 to 10000, not \"auto\"; or \"adaptive\""),
            ),
            (
                "\"7\"",
                Err("must be a whole number from 1 to 10000, without quotes; or \"adaptive\""),
            ),
            (
                "true",
                Err("must be a whole number from 1 to 10000, not a boolean; or \"adaptive\""),
            ),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(from_toml(&slots, toml), expected, "{toml}");
        }
        let wrong = "must be a whole number from 1 to 10000, not \"many\"; or \"adaptive\"";
        assert_eq!(from_text(&slots, "many"), Err(wrong.to_owned()));
        round_trips(&slots, "12");
        round_trips(&slots, "adaptive");
        round_trips(&threads, "8");
        round_trips(&threads, "auto");
        let wrong = "must be a whole number from 1 to 1024, not \"0\"; or \"auto\"";
        assert_eq!(from_text(&threads, "0"), Err(wrong.to_owned()));
    }
}
