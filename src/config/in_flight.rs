//! The kind for the number of slots: fixed, or found out.

use toml::de::DeValue;

use super::kind::{Kind, Wrong, quoted, shown};
use super::number::{Count, count};

/// How many batches may be in flight at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxInFlight {
    /// This many.
    Fixed(usize),
    /// As many as the upstream answers without getting slower or refusing.
    Adaptive,
}

const ADAPTIVE: &str = "adaptive";

/// A whole number from 1 to 10,000, or `"adaptive"`.
pub(crate) struct Slots;

fn number() -> Count<usize> {
    count(1..=10_000)
}

fn or_adaptive(wrong: &Wrong) -> Wrong {
    format!("{wrong}; or {ADAPTIVE:?}").into()
}

impl Kind for Slots {
    type Value = MaxInFlight;

    fn text(&self, text: &str) -> Result<MaxInFlight, Wrong> {
        if text == ADAPTIVE {
            return Ok(MaxInFlight::Adaptive);
        }
        let fixed = number().text(text).map(MaxInFlight::Fixed);
        fixed.map_err(|wrong| or_adaptive(&wrong))
    }

    fn toml(&self, value: &DeValue<'_>) -> Result<MaxInFlight, Wrong> {
        match value.as_str() {
            Some(ADAPTIVE) => Ok(MaxInFlight::Adaptive),
            Some(text) if number().text(text).is_err() => Err(or_adaptive(
                &format!(
                    "must be a whole number from 1 to 10000, not {}",
                    shown(text)
                )
                .into(),
            )),
            _ => {
                let fixed = number().toml(value).map(MaxInFlight::Fixed);
                fixed.map_err(|wrong| or_adaptive(&wrong))
            }
        }
    }

    fn print(&self, value: &MaxInFlight) -> String {
        match value {
            MaxInFlight::Fixed(slots) => slots.to_string(),
            MaxInFlight::Adaptive => quoted(ADAPTIVE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind::testing::{from_text, from_toml, round_trips};
    use super::*;

    #[test]
    fn slots_are_a_number_or_adaptive() {
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
            assert_eq!(from_toml(&Slots, toml), expected, "{toml}");
        }
        let wrong = "must be a whole number from 1 to 10000, not \"many\"; or \"adaptive\"";
        assert_eq!(from_text(&Slots, "many"), Err(wrong.to_owned()));
        round_trips(&Slots, "12");
        round_trips(&Slots, "adaptive");
    }
}
