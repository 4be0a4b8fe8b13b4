//! The kind for spans of time: `"5ms"`, `"1m 30s"`, or 0.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;

use super::kind::{Kind, Wrong, from_to, must_be, quoted, shown, shown_number, type_of};
use super::number::written;

/// A span of time within a range, written with its unit.
pub(crate) struct Time(pub RangeInclusive<Duration>);

/// No time at all, the lower end of a range.
pub(crate) const ZERO: Duration = Duration::ZERO;
/// A millisecond, the lower end where zero makes no sense.
pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);
/// An hour, the upper end of most ranges.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
/// A day.
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

impl Time {
    fn range(&self) -> String {
        from_to(&self.0, |time| spelled(*time))
    }
}

impl Kind for Time {
    type Value = Duration;

    fn allowed(&self) -> String {
        format!("a duration {}", self.range())
    }

    fn expected(&self) -> String {
        "a duration such as \"5ms\", or 0".to_owned()
    }

    fn text(&self, text: &str) -> Result<Duration, Wrong> {
        let text = text.trim();
        let time = match text {
            "0" => ZERO,
            _ if text.parse::<f64>().is_ok_and(|number| number >= 0.0) => {
                return Err(needs_unit(text));
            }
            _ => humantime::parse_duration(text).map_err(|_| {
                format!(
                    "{} is not a duration; write a number and a unit, such as \"5ms\", \"10s\", \
                     \"1m 30s\", or 0",
                    shown(text)
                )
            })?,
        };
        match self.0.contains(&time) {
            true => Ok(time),
            false => Err(must_be(&self.range(), spelled(time))),
        }
    }

    fn toml(&self, value: &DeValue<'_>) -> Result<Duration, Wrong> {
        match value {
            DeValue::String(text) => self.text(text),
            DeValue::Integer(number) if number.as_str() == "0" => self.text("0"),
            DeValue::Integer(_) | DeValue::Float(_) => Err(needs_unit(&written(value))),
            other => Err(must_be(&self.expected(), type_of(other))),
        }
    }

    fn print(&self, value: &Duration) -> String {
        match value.is_zero() {
            true => "0".to_owned(),
            false => quoted(&spelled(*value)),
        }
    }
}

/// Reads a span of time as the configuration does, for flags that are no setting.
///
/// # Errors
///
/// A text that says what is wrong with `text` and what is allowed (1ms to 1h, with a unit).
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let kind = Time(MILLISECOND..=HOUR);
    kind.text(text).map_err(|wrong| wrong.to_string())
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
        let kind = Time(ZERO..=HOUR);
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
        let kind = Time(ZERO..=HOUR);
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
        let kind = Time(MILLISECOND..=DAY);
        let expected = Err("must be from 1ms to 1day, not 0".to_owned());
        assert_eq!(from_text(&kind, "0"), expected);
        assert_eq!(from_toml(&kind, "0"), expected);
    }

    #[test]
    fn what_is_printed_reads_back() {
        for text in ["0", "1ns", "5ms", "1500us", "90s", "59m 59s 999ms", "1day"] {
            round_trips(&Time(ZERO..=DAY), text);
        }
    }
}
