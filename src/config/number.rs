//! Kinds for numbers in a range, for those that may be left to the proxy, and for switches.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde_json::{Number, Value, json};
use toml::de::DeValue;

use super::kind::{Kind, Raw, Wrong, from_to, must_be, quoted};

/// A whole number within `range`, without a unit.
pub(crate) fn count<T>(range: RangeInclusive<T>) -> Kind<T>
where
    T: FromStr + PartialOrd + Display + 'static,
{
    let takes = |value: &DeValue<'_>| value.is_integer() || value.is_str();
    let schema = within("integer", &range);
    let kind = number("a whole number", range, takes, |raw| {
        raw.text().parse().ok()
    });
    kind.described(schema)
}

/// A share within `range`.
pub(crate) fn fraction(range: RangeInclusive<f64>) -> Kind<f64> {
    let takes = |value: &DeValue<'_>| match value {
        DeValue::Integer(number) => number.radix() == 10,
        other => other.is_float() || other.is_str(),
    };
    let schema = within("number", &range);
    let kind = number("a number", range, takes, |raw| {
        let text = raw.text();
        // What TOML does not call a number (`inf`, `.5`, `1e`) is none here either.
        let digit = text.starts_with(|first: char| first.is_ascii_digit());
        let number = text
            .parse::<f64>()
            .ok()
            .filter(|_| digit || raw.is_number())?;
        // Minus zero is within the range, and would be printed as such.
        Some(number + 0.0)
    });
    kind.described(schema)
}

/// The schema of a number of this type within `range`.
fn within<T: Display>(
    name: &'static str,
    range: &RangeInclusive<T>,
) -> impl Fn() -> Value + use<T> + 'static {
    let ends = [range.start(), range.end()].map(|end| end.to_string().parse::<Number>().ok());
    move || {
        let [least, most] = &ends;
        json!({ "type": name, "minimum": least, "maximum": most })
    }
}

fn number<T>(
    what: &str,
    range: RangeInclusive<T>,
    takes: fn(&DeValue<'_>) -> bool,
    parse: fn(Raw<'_>) -> Option<T>,
) -> Kind<T>
where
    T: PartialOrd + Display + 'static,
{
    let allowed = format!("{what} {}", from_to(&range, T::to_string));
    let told = allowed.clone();
    let read = move |raw: Raw<'_>| {
        let number = parse(raw).filter(|number| range.contains(number));
        match (number, raw.is_quoted()) {
            (Some(number), false) => Ok(number),
            (Some(_), true) => Err(without_quotes(&told)),
            (None, false) => Err(must_be(&told, raw)),
            (None, true) => Err(must_be(&told, "a string")),
        }
    };
    Kind::new(allowed, takes, read, T::to_string)
}

fn without_quotes(allowed: &str) -> Wrong {
    format!("must be {allowed}, without quotes").into()
}

/// A `number`, or a `word` that leaves it to the proxy: `None`.
pub(crate) fn or<T: Display + 'static>(number: Kind<T>, word: &'static str) -> Kind<Option<T>> {
    let of_number = number.schema();
    let allowed = format!("{}, or {word:?}", number.allowed);
    let read = move |raw: Raw<'_>| {
        let read = match raw {
            _ if raw.text() == word => return Ok(None),
            // What is no number, nor the word, is shown.
            Raw::Toml(DeValue::String(text)) => {
                let unquoted = number.read(Raw::Text(text));
                unquoted.and_then(|_| number.read(raw))
            }
            _ => number.read(raw),
        };
        read.map(Some)
            .map_err(|wrong| format!("{wrong}; or {word:?}").into())
    };
    let print = move |value: &Option<T>| match value {
        Some(number) => number.to_string(),
        None => quoted(word),
    };
    let schema = move || json!({ "anyOf": [of_number, { "const": word }] });
    Kind::new(allowed, |_| true, read, print).described(schema)
}

/// `true` or `false`.
pub(crate) fn switch() -> Kind<bool> {
    const ALLOWED: &str = "true or false";
    let takes = |value: &DeValue<'_>| value.is_bool() || value.is_str();
    let read = |raw: Raw<'_>| match (raw.text().parse(), raw.is_quoted()) {
        (Ok(on), false) => Ok(on),
        (Ok(_), true) => Err(without_quotes(ALLOWED)),
        (Err(_), _) => Err(must_be(ALLOWED, raw)),
    };
    Kind::new(ALLOWED, takes, read, bool::to_string).described(|| json!({ "type": "boolean" }))
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
        assert_eq!(from_text(&switch(), "true"), Ok("true".to_owned()));
        assert_eq!(from_toml(&switch(), "false"), Ok("false".to_owned()));
        for (toml, expected) in [
            ("\"true\"", "must be true or false, without quotes"),
            ("\"on\"", "must be true or false, not \"on\""),
            ("1", "must be true or false, not an integer"),
        ] {
            assert_eq!(from_toml(&switch(), toml), Err(expected.to_owned()));
        }
        for text in ["1", "yes", "TRUE", ""] {
            let expected = format!("must be true or false, not {text:?}");
            assert_eq!(from_text(&switch(), text), Err(expected));
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
