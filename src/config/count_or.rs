//! The kinds for a number that may be left to the proxy: a number, or a word.

use std::ops::RangeInclusive;

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

/// How many threads serve callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// This many.
    Fixed(usize),
    /// As many as the process may use cores.
    Auto,
}

/// How many connections callers may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxConnections {
    /// This many.
    Fixed(usize),
    /// As many as the process may have open files, less what it needs itself.
    Auto,
}

/// A whole number from 1 to 10,000,000, or `"auto"`.
pub(crate) const CONNECTIONS: CountOr<MaxConnections> = CountOr {
    range: 1..=10_000_000,
    word: "auto",
    fixed: MaxConnections::Fixed,
    other: MaxConnections::Auto,
    number: |value| match value {
        MaxConnections::Fixed(connections) => Some(*connections),
        MaxConnections::Auto => None,
    },
};

/// A whole number from 1 to 10,000, or `"adaptive"`.
pub(crate) const SLOTS: CountOr<MaxInFlight> = CountOr {
    range: 1..=10_000,
    word: "adaptive",
    fixed: MaxInFlight::Fixed,
    other: MaxInFlight::Adaptive,
    number: |value| match value {
        MaxInFlight::Fixed(slots) => Some(*slots),
        MaxInFlight::Adaptive => None,
    },
};

/// A whole number from 1 to 1,024, or `"auto"`.
pub(crate) const THREADS: CountOr<Threads> = CountOr {
    range: 1..=1_024,
    word: "auto",
    fixed: Threads::Fixed,
    other: Threads::Auto,
    number: |value| match value {
        Threads::Fixed(threads) => Some(*threads),
        Threads::Auto => None,
    },
};

/// A whole number in a range, or a word.
pub(crate) struct CountOr<V> {
    range: RangeInclusive<u64>,
    word: &'static str,
    fixed: fn(usize) -> V,
    other: V,
    number: fn(&V) -> Option<usize>,
}

impl<V: Copy> CountOr<V> {
    fn count(&self) -> Count<usize> {
        count(self.range.clone())
    }

    fn or_word(&self, wrong: &Wrong) -> Wrong {
        format!("{wrong}; or {:?}", self.word).into()
    }
}

impl<V: Copy> Kind for CountOr<V> {
    type Value = V;

    fn allowed(&self) -> String {
        format!("{}, or {:?}", self.count().allowed(), self.word)
    }

    fn text(&self, text: &str) -> Result<V, Wrong> {
        if text == self.word {
            return Ok(self.other);
        }
        let fixed = self.count().text(text).map(self.fixed);
        fixed.map_err(|wrong| self.or_word(&wrong))
    }

    fn toml(&self, value: &DeValue<'_>) -> Result<V, Wrong> {
        let (least, most) = (self.range.start(), self.range.end());
        match value.as_str() {
            Some(text) if text == self.word => Ok(self.other),
            Some(text) if self.count().text(text).is_err() => Err(self.or_word(
                &format!(
                    "must be a whole number from {least} to {most}, not {}",
                    shown(text)
                )
                .into(),
            )),
            _ => {
                let fixed = self.count().toml(value).map(self.fixed);
                fixed.map_err(|wrong| self.or_word(&wrong))
            }
        }
    }

    fn print(&self, value: &V) -> String {
        match (self.number)(value) {
            Some(number) => number.to_string(),
            None => quoted(self.word),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind::testing::{from_text, from_toml, round_trips};
    use super::*;

    #[test]
    fn a_number_or_a_word() {
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
            assert_eq!(from_toml(&SLOTS, toml), expected, "{toml}");
        }
        let wrong = "must be a whole number from 1 to 10000, not \"many\"; or \"adaptive\"";
        assert_eq!(from_text(&SLOTS, "many"), Err(wrong.to_owned()));
        round_trips(&SLOTS, "12");
        round_trips(&SLOTS, "adaptive");
        round_trips(&THREADS, "8");
        round_trips(&THREADS, "auto");
        round_trips(&CONNECTIONS, "1000");
        round_trips(&CONNECTIONS, "auto");
        let wrong = "must be a whole number from 1 to 1024, not \"0\"; or \"auto\"";
        assert_eq!(from_text(&THREADS, "0"), Err(wrong.to_owned()));
    }
}
