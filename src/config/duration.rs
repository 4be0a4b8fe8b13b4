//! The kind for spans of time: `"5ms"`, `"1m 30s"`, or 0.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;

use super::kind::{Kind, Wrong, quoted, shown, shown_number, type_of};

/// A span of time within a range, written with its unit.
pub(crate) struct Time(RangeInclusive<Duration>);

/// A span of time within `range`.
pub(crate) fn time(range: RangeInclusive<Duration>) -> Time {
    Time(range)
}

/// No time at all, the lower end of a range.
pub(crate) const ZERO: Duration = Duration::ZERO;
/// A millisecond, the lower end where zero makes no sense.
pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);
/// An hour, the upper end of most ranges.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
/// A day.
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

impl Time {
    fn in_range(&self, time: Duration) -> Result<Duration, Wrong> {
        if self.0.contains(&time) {
            return Ok(time);
        }
        let (min, max) = (spelled(*self.0.start()), spelled(*self.0.end()));
        Err(format!("must be from {min} to {max}, not {}", spelled(time)).into())
    }
}

impl Kind for Time {
    type Value = Duration;

    fn allowed(&self) -> String {
        let (min, max) = (spelled(*self.0.start()), spelled(*self.0.end()));
        format!("a duration from {min} to {max}")
    }

    fn text(&self, text: &str) -> Result<Duration, Wrong> {
        let text = text.trim();
        if text == "0" {
            return self.in_range(Duration::ZERO);
        }
        if text.parse::<f64>().is_ok_and(|number| number >= 0.0) {
            return Err(needs_unit(text));
        }
        match humantime::parse_duration(text) {
            Ok(time) => self.in_range(time),
            Err(_) => Err(format!(
                "{} is not a duration; write a number and a unit, such as \"5ms\", \"10s\", \
                 \"1m 30s\", or 0",
                shown(text)
            )
            .into()),
        }
    }

    fn toml(&self, value: &DeValue<'_>) -> Result<Duration, Wrong> {
        match value {
            DeValue::String(text) => self.text(text),
            DeValue::Integer(number) if number.as_str() == "0" => self.in_range(Duration::ZERO),
            DeValue::Integer(number) => Err(needs_unit(&number.to_string())),
            DeValue::Float(number) => Err(needs_unit(&number.to_string())),
            other => Err(format!(
                "must be a duration such as \"5ms\", or 0, not {}",
                type_of(other)
            )
            .into()),
        }
    }

    fn print(&self, value: &Duration) -> String {
        if value.is_zero() {
            return "0".to_owned();
        }
        quoted(&spelled(*value))
    }
}

/// A span of time as people write it: `5ms`, `1m 30s`, `0`.
pub(crate) fn spelled(time: Duration) -> String {
    if time.is_zero() {
        return "0".to_owned();
    }
    humantime::format_duration(time).to_string()
}

fn needs_unit(number: &str) -> Wrong {
    let number = shown_number(number);
    format!("{number} has no unit; write \"{number}ms\" or \"{number}s\"").into()
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
