//! The kind for spans of time: `"5ms"`, `"1m 30s"`, or 0.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::json;

use super::kind::{Kind, Raw, Wrong, from_to, must_be, quoted, shown_number};
use crate::printable::shown;

/// No time at all, the lower end of a range.
pub(crate) const ZERO: Duration = Duration::ZERO;
/// A millisecond, the lower end where zero makes no sense.
pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);
/// An hour, the upper end of most ranges.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
/// A day.
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);
/// Thirty days.
pub(crate) const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

/// Zero, or numbers with units as [`humantime`] knows them, perhaps with spaces around.
const WRITTEN: &str = concat!(
    r"^\s*(0|([0-9][0-9.\s]*(nanos|nsec|ns|usec|us|µs|millis|msec|ms|seconds?|secs?|s|minutes?|mins?|m|",
    r"hours?|hrs?|h|days?|d|weeks?|wks?|w|months?|M|years?|yrs?|y)\s*)+)\s*$",
);

/// A span of time within `range`, written with its unit.
pub(crate) fn time(range: RangeInclusive<Duration>) -> Kind<Duration> {
    let from_to = from_to(&range, |time| spelled(*time));
    let allowed = format!("a duration {from_to}");
    let from_zero = range.start().is_zero();
    let read = move |raw: Raw<'_>| {
        let time = parsed(raw)?;
        match range.contains(&time) {
            true => Ok(time),
            false => Err(must_be(&from_to, spelled(time))),
        }
    };
    let print = |time: &Duration| match time.is_zero() {
        true => "0".to_owned(),
        false => quoted(&spelled(*time)),
    };
    let takes =
        |value: &toml::de::DeValue<'_>| value.is_str() || value.is_integer() || value.is_float();
    let zero = from_zero.then(|| json!({ "const": 0 }));
    let schema = move || {
        let text = json!({ "type": "string", "pattern": WRITTEN, "examples": ["5ms", "1m 30s"] });
        match &zero {
            Some(zero) => json!({ "anyOf": [text, zero] }),
            None => text,
        }
    };
    Kind::new(allowed, takes, read, print)
        .expecting("a duration such as \"5ms\", or 0")
        .described(schema)
}

fn parsed(raw: Raw<'_>) -> Result<Duration, Wrong> {
    let text = raw.text();
    let text = text.trim();
    if text == "0" {
        return Ok(ZERO);
    }
    if raw.is_number() || text.parse::<f64>().is_ok_and(|number| number >= 0.0) {
        let number = shown_number(raw.written().trim());
        return Err(format!("{number} has no unit; write \"{number}ms\" or \"{number}s\"").into());
    }
    let wrong = |_| {
        format!(
            "{} is not a duration; write a number and a unit, such as \"5ms\", \"10s\", \
             \"1m 30s\", or 0",
            shown(text)
        )
    };
    Ok(humantime::parse_duration(text).map_err(wrong)?)
}

/// Reads a span of time as the configuration does, for flags that are no setting.
///
/// # Errors
///
/// A text that says what is wrong with `text` and what is allowed (1ms to 1h, with a unit).
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let read = time(MILLISECOND..=HOUR).read(Raw::Text(text));
    read.map_err(|wrong| wrong.to_string())
}

/// A span of time as people write it: `5ms`, `1m 30s`, `0`.
pub(crate) fn spelled(time: Duration) -> String {
    if time.is_zero() {
        return "0".to_owned();
    }
    humantime::format_duration(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::kind::testing::{from_text, from_toml, round_trips};
    use super::*;

    const NOT_A_DURATION: &str =
        "is not a duration; write a number and a unit, such as \"5ms\", \"10s\", \"1m 30s\", or 0";

    #[test]
    fn durations_carry_a_unit() {
        let kind = time(ZERO..=HOUR);
        for (text, expected) in [
            ("5ms", Ok("\"5ms\"")),
            ("0", Ok("0")),
            ("0ms", Ok("0")),
            ("1500us", Ok("\"1ms 500us\"")),
            ("90s", Ok("\"1m 30s\"")),
            ("1m 30s", Ok("\"1m 30s\"")),
            (" 2 sec ", Ok("\"2s\"")),
            ("1h", Ok("\"1h\"")),
            (
                "5",
                Err("5 has no unit; write \"5ms\" or \"5s\"".to_owned()),
            ),
            (
                "0.5",
                Err("0.5 has no unit; write \"0.5ms\" or \"0.5s\"".to_owned()),
            ),
            ("2h", Err("must be from 0 to 1h, not 2h".to_owned())),
            ("-5ms", Err(format!("\"-5ms\" {NOT_A_DURATION}"))),
            ("-5", Err(format!("\"-5\" {NOT_A_DURATION}"))),
            ("fast", Err(format!("\"fast\" {NOT_A_DURATION}"))),
            ("5 parsecs", Err(format!("\"5 parsecs\" {NOT_A_DURATION}"))),
            ("", Err(format!("\"\" {NOT_A_DURATION}"))),
        ] {
            assert_eq!(
                from_text(&kind, text),
                expected.map(str::to_owned),
                "{text}"
            );
        }
    }

    #[test]
    fn in_toml_zero_alone_is_bare() {
        let kind = time(ZERO..=HOUR);
        for (toml, expected) in [
            ("\"5ms\"", Ok("\"5ms\"")),
            ("0", Ok("0")),
            ("5", Err("5 has no unit; write \"5ms\" or \"5s\"")),
            ("1.5", Err("1.5 has no unit; write \"1.5ms\" or \"1.5s\"")),
            (
                "true",
                Err("must be a duration such as \"5ms\", or 0, not a boolean"),
            ),
            (
                "[1]",
                Err("must be a duration such as \"5ms\", or 0, not an array"),
            ),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(from_toml(&kind, toml), expected, "{toml}");
        }
    }

    #[test]
    fn zero_is_refused_where_it_makes_no_sense() {
        let kind = time(MILLISECOND..=DAY);
        let expected = Err("must be from 1ms to 1day, not 0".to_owned());
        assert_eq!(from_text(&kind, "0"), expected);
        assert_eq!(from_toml(&kind, "0"), expected);
    }

    #[test]
    fn what_is_printed_reads_back() {
        for text in ["0", "1ns", "5ms", "1500us", "90s", "59m 59s 999ms", "1day"] {
            round_trips(&time(ZERO..=DAY), text);
        }
    }
}
