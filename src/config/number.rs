//! Kinds for whole numbers in a range and for switches.

use std::marker::PhantomData;
use std::ops::RangeInclusive;

use toml::de::DeValue;

use super::kind::{Kind, Wrong, shown, shown_number, string, type_of};

/// A whole number within a range, without a unit.
pub(crate) struct Count<T> {
    range: RangeInclusive<u64>,
    value: PhantomData<T>,
}

/// A whole number within `range`.
pub(crate) fn count<T>(range: RangeInclusive<u64>) -> Count<T> {
    Count {
        range,
        value: PhantomData,
    }
}

impl<T: TryFrom<u64> + ToString> Kind for Count<T> {
    type Value = T;

    fn allowed(&self) -> String {
        let (min, max) = (self.range.start(), self.range.end());
        format!("a whole number from {min} to {max}")
    }

    fn text(&self, text: &str) -> Result<T, Wrong> {
        text.parse::<u64>()
            .ok()
            .filter(|number| self.range.contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| format!("must be {}, not {}", self.allowed(), shown(text)).into())
    }

    fn toml(&self, value: &DeValue<'_>) -> Result<T, Wrong> {
        let Some(integer) = value.as_integer() else {
            let allowed = self.allowed();
            return Err(match value.as_str() {
                Some(text) if self.text(text).is_ok() => {
                    format!("must be {allowed}, without quotes").into()
                }
                _ => format!("must be {allowed}, not {}", type_of(value)).into(),
            });
        };
        u64::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .filter(|number| self.range.contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| {
                format!(
                    "must be {}, not {}",
                    self.allowed(),
                    shown_number(&integer.to_string())
                )
                .into()
            })
    }

    fn print(&self, value: &T) -> String {
        value.to_string()
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
        text.parse()
            .map_err(|_| format!("must be true or false, not {}", shown(text)).into())
    }

    fn toml(&self, value: &DeValue<'_>) -> Result<bool, Wrong> {
        match value.as_bool() {
            Some(on) => Ok(on),
            None => Err(match string(value, "true or false")? {
                "true" | "false" => "must be true or false, without quotes".to_owned().into(),
                text => format!("must be true or false, not {}", shown(text)).into(),
            }),
        }
    }

    fn print(&self, value: &bool) -> String {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind::testing::{from_text, from_toml};
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
    fn a_count_that_its_type_cannot_hold_is_refused() {
        let kind = count::<u16>(1..=100_000);
        assert!(from_text(&kind, "65535").is_ok());
        assert!(from_text(&kind, "65536").is_err());
        assert!(from_toml(&kind, "65536").is_err());
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
}
