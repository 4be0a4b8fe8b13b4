//! The last five minutes as they are handed out.

use super::failures::Failures;
use super::second::Second;
use crate::observe::moment::Moment;
use crate::observe::records::Records;

/// The last five minutes, up to one moment.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    /// That moment, in seconds of Unix time.
    pub date: f64,
    /// What was counted until then.
    pub moment: Moment,
    /// The jobs for later just before it, if such are taken.
    pub records: Option<Records>,
    /// Those in which something happened, the oldest first.
    pub seconds: Vec<Second>,
    /// What failed last by its cause, the newest first.
    pub failures: Vec<Failures>,
}

impl Recent {
    /// The seconds after that one.
    pub fn after(&self, t: u64) -> &[Second] {
        let from = self.seconds.partition_point(|second| second.t <= t);
        &self.seconds[from..]
    }

    /// The last so many seconds, the running one included.
    pub fn last(&self, seconds: u64) -> &[Second] {
        self.after((self.date as u64).saturating_sub(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_told_from_the_end() {
        let recent = Recent {
            date: 100.9,
            seconds: [40, 41, 99, 100].map(Second::new).into(),
            ..Recent::default()
        };
        for (seconds, expected) in [(0, 0), (1, 1), (2, 2), (59, 2), (60, 3), (61, 4), (200, 4)] {
            assert_eq!(recent.last(seconds).len(), expected, "{seconds}");
        }
    }
}
