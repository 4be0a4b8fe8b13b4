//! How the proxy is: the worst that is true, in a few words.
//!
//! Pure. The live page judges by the same rules (`health` in `page.html`).

use super::wire::{Live, Second};
use super::words::percent;
use crate::ask::advice::Kind;
use crate::code::Code;

/// Seconds that "now" is the mean of.
pub(super) const NOW: u64 = 10;

/// The share of jobs from which their failing is a problem.
const MANY: f64 = 0.01;

/// The share of callers from which their leaving is one.
const MANY_DEPARTED: f64 = 0.1;

/// Jobs by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shares {
    pub ok: u64,
    /// Answered with an error of the job's own.
    pub errors: u64,
    /// Answered with any other.
    pub failed: u64,
    /// Not taken in.
    pub refused: u64,
    /// Left by their callers while the upstream had them.
    pub departed: u64,
}

impl Shares {
    pub(super) fn of<'a>(seconds: impl Iterator<Item = &'a Second>) -> Self {
        let own = [
            Code::JobError,
            Code::UpstreamRejectedJob,
            Code::UpstreamTooLarge,
        ];
        let mut shares = Self::default();
        for second in seconds {
            shares.refused += second.refused;
            shares.departed += second.departed;
            for (name, count) in &second.outcomes {
                if name == Code::Ok.as_str() {
                    shares.ok += count;
                } else if own.iter().any(|code| code.as_str() == name) {
                    shares.errors += count;
                } else {
                    shares.failed += count;
                }
            }
        }
        shares
    }

    fn all(self) -> u64 {
        self.ok + self.errors + self.failed + self.refused
    }

    /// The share of those that have their result; none without any.
    pub(super) fn success(self) -> Option<f64> {
        (self.all() > 0).then(|| self.ok as f64 / self.all() as f64)
    }
}

/// The worst that is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Health {
    pub kind: Kind,
    pub words: String,
}

impl Health {
    /// From the jobs of the last seconds, and from all that are known.
    pub(super) fn of<'a>(
        live: &Live,
        shares: Shares,
        known: impl Iterator<Item = &'a Second>,
    ) -> Self {
        let told = |kind, words: &str| Self {
            kind,
            words: words.to_owned(),
        };
        let current = &live.current;
        let all = shares.all();
        let failing = shares.failed + shares.refused;
        if live.circuit == "open" {
            return told(Kind::Problem, "circuit open, jobs are refused");
        }
        if all > 0 && shares.ok == 0 {
            let words = match (shares.errors, shares.failed) {
                (0, 0) => "every job is refused",
                (0, _) => "every job fails",
                _ => "no job succeeds",
            };
            return told(Kind::Problem, words);
        }
        let of = shares.departed + all;
        if shares.departed as f64 >= MANY_DEPARTED * of as f64 && shares.departed > 0 {
            let share = percent(shares.departed as f64, of as f64);
            return told(
                Kind::Problem,
                &format!("{share} of callers leave unanswered"),
            );
        }
        let end = match (shares.failed, shares.refused) {
            (_, 0) => "fail",
            (0, _) => "are refused",
            _ => "fail or are refused",
        };
        if failing as f64 >= MANY * all as f64 && failing > 0 {
            let share = percent(failing as f64, all as f64);
            return told(Kind::Problem, &format!("{share} of jobs {end}"));
        }
        match current.waiting_for_room {
            0 => {}
            1 => return told(Kind::Problem, "1 job waits for room"),
            jobs => return told(Kind::Problem, &format!("{jobs} jobs wait for room")),
        }
        if current.queue_jobs >= live.limits.queue_jobs {
            return told(Kind::Problem, "the queue is full");
        }
        if failing > 0 {
            return told(Kind::Hint, &format!("some jobs {end}"));
        }
        if all == 0 && current.in_flight > 0 && current.queue_jobs > 0 {
            return told(Kind::Problem, &format!("no job answered in {NOW} s"));
        }
        // Where little is going on, the last answers still stand.
        let last = known.filter(|it| !it.outcomes.is_empty()).last();
        if all == 0 && last.is_some_and(|last| Shares::of([last].into_iter()).failed > 0) {
            return told(Kind::Problem, "the last job failed, none answered since");
        }
        if live.circuit != "closed" {
            return told(Kind::Hint, &format!("circuit {}", live.circuit));
        }
        match live.ready {
            true => told(Kind::Good, "ready"),
            false => told(Kind::Hint, "draining"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::scenarios::{live, second};

    type Outcomes<'a> = &'a [(&'a str, u64)];
    type Change = fn(&mut Live);

    fn answered(outcomes: Outcomes<'_>, refused: u64) -> Second {
        let outcomes = outcomes.iter();
        Second {
            refused,
            outcomes: outcomes.map(|&(name, n)| (name.to_owned(), n)).collect(),
            ..second(999, 1)
        }
    }

    #[test]
    fn the_worst_is_said() {
        let queue_is_full = |live: &mut Live| live.current.queue_jobs = 10_000;
        let calm = |_: &mut Live| {};
        let table: [(Outcomes<'_>, u64, Change, Kind, &str); 12] = [
            (&[("ok", 9)], 0, calm, Kind::Good, "ready"),
            (
                &[("ok", 9)],
                0,
                |it| it.ready = false,
                Kind::Hint,
                "draining",
            ),
            (
                &[("ok", 9)],
                0,
                queue_is_full,
                Kind::Problem,
                "the queue is full",
            ),
            (
                &[],
                0,
                |it| (it.current.in_flight, it.current.queue_jobs) = (1, 1),
                Kind::Problem,
                "no job answered in 10 s",
            ),
            (
                &[("ok", 9)],
                0,
                |it| it.current.waiting_for_room = 1,
                Kind::Problem,
                "1 job waits for room",
            ),
            (
                &[("upstream-unreachable", 9)],
                0,
                queue_is_full,
                Kind::Problem,
                "every job fails",
            ),
            (
                &[("upstream-rejected-job", 9)],
                0,
                calm,
                Kind::Problem,
                "no job succeeds",
            ),
            (&[], 9, calm, Kind::Problem, "every job is refused"),
            (
                &[("ok", 1), ("result-missing", 1)],
                2,
                calm,
                Kind::Problem,
                "75 % of jobs fail or are refused",
            ),
            (
                &[("ok", 999), ("result-missing", 1)],
                0,
                |it| it.ready = false,
                Kind::Hint,
                "some jobs fail",
            ),
            (&[("ok", 9), ("job-error", 9)], 0, calm, Kind::Good, "ready"),
            (
                &[("ok", 9)],
                0,
                |it| it.circuit = "open".into(),
                Kind::Problem,
                "circuit open, jobs are refused",
            ),
        ];
        for (outcomes, refused, change, kind, words) in table {
            let mut live = live(1000, vec![]);
            change(&mut live);
            let second = answered(outcomes, refused);
            let shares = Shares::of([&second].into_iter());
            let health = Health::of(&live, shares, [&second].into_iter());
            assert_eq!((health.kind, &*health.words), (kind, words), "{outcomes:?}");
        }
    }

    #[test]
    fn a_failure_stands_until_a_job_is_answered_again() {
        let of = |known: &[Second]| {
            let live = live(1000, vec![]);
            Health::of(&live, Shares::default(), known.iter()).kind
        };
        let failed = answered(&[("upstream-timeout", 1)], 0);
        let ok = answered(&[("ok", 1)], 0);
        assert_eq!(of(&[ok.clone(), failed.clone()]), Kind::Problem);
        assert_eq!(of(&[failed, ok]), Kind::Good);
        assert_eq!(of(&[]), Kind::Good);
    }
}
