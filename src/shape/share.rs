//! A number of an answer, divided among the calls of its batch.

/// A whole number that stands in an answer for all calls together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Total {
    is_negative: bool,
    size: u64,
}

/// Where a call's items stand among those of its batch, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    /// What the items of earlier calls have.
    pub before: usize,
    /// What its own have.
    pub own: usize,
    /// What all have.
    pub all: usize,
}

/// The greatest number below which all whole ones have a floating point number.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl Total {
    /// Reads a number as JSON writes it; nothing where it is none that can be divided into
    /// whole ones.
    pub fn parse(written: &str) -> Option<Self> {
        let (is_negative, digits) = match written.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, written),
        };
        let size = match digits.parse() {
            Ok(size) => size,
            Err(_) => {
                // As in 12.0 or 1e3.
                let number: f64 = digits.parse().ok()?;
                let is_whole = number.fract() == 0.0 && (0.0..EXACT).contains(&number);
                is_whole.then_some(number as u64)?
            }
        };
        Some(Self { is_negative, size })
    }

    /// What falls to a stretch, as it is written. Those that make up the whole make up the
    /// total, and none is further than 1 from what it should be exactly.
    pub fn share(self, of: Stretch) -> String {
        let up_to = |bytes: usize| {
            let all = (of.all as u128).max(1);
            u128::from(self.size) * (bytes as u128) / all
        };
        let share = up_to(of.before + of.own) - up_to(of.before);
        let sign = if self.is_negative && share > 0 {
            "-"
        } else {
            ""
        };
        format!("{sign}{share}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shares(total: Total, lengths: &[usize]) -> Vec<i128> {
        let all = lengths.iter().sum();
        let mut before = 0;
        let each = lengths.iter().map(|&own| {
            let share = total.share(Stretch { before, own, all });
            before += own;
            share.parse().unwrap()
        });
        each.collect()
    }

    #[test]
    fn what_is_whole_can_be_divided() {
        for (written, total) in [
            ("0", Some(0)),
            ("12", Some(12)),
            ("-12", Some(-12)),
            ("12.0", Some(12)),
            ("1e3", Some(1_000)),
            ("18446744073709551615", Some(i128::from(u64::MAX))),
            ("1.5", None),
            ("1e300", None),
            ("null", None),
            ("\"1\"", None),
            ("inf", None),
            ("", None),
        ] {
            let all = Total::parse(written).map(|it| shares(it, &[1])[0]);
            assert_eq!(all, total, "{written}");
        }
    }

    proptest! {
        #[test]
        fn shares_are_in_proportion_and_their_sum_is_the_total(
            size in any::<u64>(),
            lengths in prop::collection::vec(1..10_000_usize, 1..40),
        ) {
            let total = Total { is_negative: false, size };
            let shares = shares(total, &lengths);
            prop_assert_eq!(shares.iter().sum::<i128>(), i128::from(size));
            let all: usize = lengths.iter().sum();
            for (share, own) in shares.iter().zip(&lengths) {
                let exact = i128::from(size) * (*own as i128) / (all as i128);
                prop_assert!((share - exact).abs() <= 1);
            }
        }
    }
}
