//! When a batch leaves: a pure function of what waits, the time and the rules.
//!
//! The batcher asks it whenever something changed while a slot is free; the
//! answer is an action, and nothing sleeps in here.

use std::time::Duration;

use tokio::time::Instant;

use super::settings::Wait;

/// Why a batch left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlushReason {
    /// As many items as fit a batch were waiting.
    Size,
    /// The next item would have exceeded the batch's bytes.
    Bytes,
    /// The oldest item had waited as long as any may, or some item half of the
    /// time until its deadline.
    Wait,
    /// Nobody was worth waiting for.
    Idle,
    /// Somebody asked for it.
    Flush,
    /// The batcher is closing.
    Drain,
}

impl FlushReason {
    /// Every reason there is, in the order of their checks but for the last.
    pub const ALL: [Self; 6] = [
        Self::Size,
        Self::Bytes,
        Self::Wait,
        Self::Idle,
        Self::Flush,
        Self::Drain,
    ];

    /// The reason's name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Bytes => "bytes",
            Self::Wait => "wait",
            Self::Idle => "idle",
            Self::Flush => "flush",
            Self::Drain => "drain",
        }
    }
}

/// What the policy looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    /// Whether a batch that has rested wants to leave again.
    pub returning: bool,
    /// When the oldest item arrived; `None` while nothing waits.
    pub oldest: Option<Instant>,
    /// When the first of those has waited enough that wait less than `max_wait`,
    /// their deadlines being that near.
    pub hurried: Option<Instant>,
    /// Whether the batch at the front can't grow.
    pub full: bool,
    /// The oldest item was there when somebody asked for a flush.
    pub flushing: bool,
    /// The batcher is closing.
    pub closing: bool,
    /// The earliest time for the next batch to leave.
    pub not_before: Option<Instant>,
    /// The longest any item waits for company.
    pub max_wait: Duration,
    pub wait: Wait,
    pub company: Company,
}

/// Who else may still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Company {
    /// Whether anybody is known who could submit and has nothing submitted.
    pub anybody_left: bool,
    /// The usual time until company came lately, if anything is known of that.
    pub gap: Option<Duration>,
    /// When the last item arrived.
    pub last_arrival: Instant,
}

/// What to do while a slot is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing waits.
    Rest,
    /// A batch that has rested leaves again.
    Return,
    /// A batch leaves that is full, of items or of bytes.
    LeaveFull,
    /// A batch leaves, for this reason.
    Leave(FlushReason),
    /// Nothing before this time, unless something changes.
    Until(Instant),
}

/// After a silence of this many usual gaps, the stream of arrivals that the
/// estimate speaks of has evidently stopped. A Poisson stream is silent that
/// long by chance once in e⁴ ≈ 55 times.
const SILENCE_IN_GAPS: u32 = 4;

/// How long an item waits for company at most: half of the time until its deadline
/// where that is less than `max_wait`, so that the other half is the upstream's.
pub(super) fn longest_wait(
    arrived: Instant,
    deadline: Option<Instant>,
    max_wait: Duration,
) -> Duration {
    let half = deadline.map(|it| it.saturating_duration_since(arrived) / 2);
    half.map_or(max_wait, |half| half.min(max_wait))
}

/// Decides. The order of the checks is the order of the contract's table, but
/// that `Drain` goes first: from then on size and wait no longer matter.
///
/// Who returns goes before who waits for the first time: its items are older.
pub(super) fn decide(view: &View, now: Instant) -> Action {
    let action = if view.returning {
        Action::Return
    } else if let Some(oldest) = view.oldest {
        next_batch(view, oldest, now)
    } else {
        return Action::Rest;
    };
    match view.not_before {
        Some(earliest) if now < earliest => Action::Until(earliest),
        _ => action,
    }
}

/// What is to be done about what waits since `oldest`.
fn next_batch(view: &View, oldest: Instant, now: Instant) -> Action {
    let latest = oldest + view.max_wait;
    let latest = view.hurried.map_or(latest, |hurried| latest.min(hurried));
    let action = if view.closing {
        Action::Leave(FlushReason::Drain)
    } else if view.full {
        Action::LeaveFull
    } else if now >= latest {
        Action::Leave(FlushReason::Wait)
    } else if view.wait == Wait::Adaptive
        && let leave_at = view.company.worth_waiting_until(now, latest)
        && leave_at < latest
    {
        if now >= leave_at {
            Action::Leave(FlushReason::Idle)
        } else {
            Action::Until(leave_at)
        }
    } else {
        Action::Until(latest)
    };
    match action {
        Action::Until(_) if view.flushing => Action::Leave(FlushReason::Flush),
        other => other,
    }
}

impl Company {
    /// Until when waiting can pay: `latest` at most, and `now` or earlier if it
    /// can't.
    fn worth_waiting_until(&self, now: Instant, latest: Instant) -> Instant {
        match self.gap {
            _ if !self.anybody_left => now,
            // Nothing speaks against company before the second arrival.
            None => latest,
            // From a gap before the end on, the next is not expected in time.
            Some(gap) => (latest - gap).min(self.last_arrival + gap * SILENCE_IN_GAPS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Half of a wait of 10 ms has passed; nobody asked for anything.
    fn view(now: Instant) -> View {
        View {
            returning: false,
            oldest: Some(now - 5 * MS),
            hurried: None,
            full: false,
            flushing: false,
            closing: false,
            not_before: None,
            max_wait: 10 * MS,
            wait: Wait::Fixed,
            company: Company {
                anybody_left: true,
                gap: None,
                last_arrival: now,
            },
        }
    }

    #[test]
    fn the_table_of_reasons() {
        use Action::{Leave, LeaveFull, Rest, Return, Until};
        let now = Instant::now();
        let base = view(now);
        let overdue = Some(now - 10 * MS);
        let later = now + 3 * MS;
        for (what, view, action) in [
            (
                "nothing waits",
                View {
                    oldest: None,
                    closing: true,
                    flushing: true,
                    ..base
                },
                Rest,
            ),
            ("there is time", base, Until(now + 5 * MS)),
            ("full", View { full: true, ..base }, LeaveFull),
            (
                "waited",
                View {
                    oldest: overdue,
                    ..base
                },
                Leave(FlushReason::Wait),
            ),
            (
                "another's deadline is near",
                View {
                    hurried: Some(later),
                    ..base
                },
                Until(later),
            ),
            (
                "another's deadline is as near as it may be",
                View {
                    hurried: Some(now),
                    ..base
                },
                Leave(FlushReason::Wait),
            ),
            (
                "another's deadline is near, but the oldest waits no longer for it",
                View {
                    hurried: Some(now + 8 * MS),
                    ..base
                },
                Until(now + 5 * MS),
            ),
            (
                "no wait at all",
                View {
                    oldest: Some(now),
                    max_wait: Duration::ZERO,
                    ..base
                },
                Leave(FlushReason::Wait),
            ),
            (
                "flush",
                View {
                    flushing: true,
                    ..base
                },
                Leave(FlushReason::Flush),
            ),
            (
                "closing",
                View {
                    closing: true,
                    ..base
                },
                Leave(FlushReason::Drain),
            ),
            (
                "full goes before waited",
                View {
                    full: true,
                    oldest: overdue,
                    ..base
                },
                LeaveFull,
            ),
            (
                "waited goes before flush",
                View {
                    oldest: overdue,
                    flushing: true,
                    ..base
                },
                Leave(FlushReason::Wait),
            ),
            (
                "closing goes before full",
                View {
                    closing: true,
                    full: true,
                    ..base
                },
                Leave(FlushReason::Drain),
            ),
            (
                "who returns goes first",
                View {
                    returning: true,
                    full: true,
                    closing: true,
                    ..base
                },
                Return,
            ),
            (
                "who returns does so alone",
                View {
                    returning: true,
                    oldest: None,
                    ..base
                },
                Return,
            ),
            (
                "an interval holds up who returns",
                View {
                    returning: true,
                    not_before: Some(later),
                    ..base
                },
                Until(later),
            ),
            (
                "an interval holds all up",
                View {
                    not_before: Some(later),
                    closing: true,
                    oldest: overdue,
                    ..base
                },
                Until(later),
            ),
            (
                "an interval that is over",
                View {
                    not_before: Some(now),
                    ..base
                },
                Until(now + 5 * MS),
            ),
        ] {
            assert_eq!(decide(&view, now), action, "{what}");
        }
    }

    #[test]
    fn half_of_a_short_time_is_the_upstreams() {
        let now = Instant::now();
        for (time, waits) in [(0, 0), (1, 0), (10, 5), (19, 9), (20, 10), (1_000, 10)] {
            let micros = Duration::from_micros;
            let longest = longest_wait(now, Some(now + micros(time)), micros(10));
            let half = micros(time) / 2;
            assert_eq!(longest, half.min(micros(10)), "{time} µs");
            assert_eq!(longest.as_micros(), waits);
        }
        assert_eq!(longest_wait(now, Some(now - MS), MS), Duration::ZERO);
        assert_eq!(longest_wait(now, None, MS), MS);
    }

    #[test]
    fn the_adaptive_wait() {
        use Action::{Leave, LeaveFull, Until};
        let now = Instant::now();
        let adaptive = View {
            wait: Wait::Adaptive,
            ..view(now)
        };
        let company = |anybody_left, gap: Option<u32>, silent: u32| View {
            company: Company {
                anybody_left,
                gap: gap.map(|ms| ms * MS),
                last_arrival: now - silent * MS,
            },
            ..adaptive
        };
        let idle = Leave(FlushReason::Idle);
        for (what, view, action) in [
            ("nobody left to wait for", company(false, Some(1), 0), idle),
            (
                "nothing known of arrivals",
                company(true, None, 0),
                Until(now + 5 * MS),
            ),
            ("the next comes too late", company(true, Some(5), 0), idle),
            (
                "the next may come",
                company(true, Some(1), 0),
                Until(now + 4 * MS),
            ),
            (
                "the next is late",
                company(true, Some(1), 3),
                Until(now + MS),
            ),
            ("the next is not coming", company(true, Some(1), 4), idle),
            (
                "no longer than the next is expected in time",
                company(true, Some(3), 0),
                Until(now + 2 * MS),
            ),
            (
                "nor than a deadline allows",
                View {
                    hurried: Some(now + MS),
                    ..company(true, None, 0)
                },
                Until(now + MS),
            ),
            (
                "full goes first",
                View {
                    full: true,
                    ..company(false, None, 0)
                },
                LeaveFull,
            ),
            (
                "waited goes first",
                View {
                    oldest: Some(now - 10 * MS),
                    ..company(false, None, 0)
                },
                Leave(FlushReason::Wait),
            ),
            (
                "idle goes before flush",
                View {
                    flushing: true,
                    ..company(false, None, 0)
                },
                idle,
            ),
            (
                "flush goes before waiting",
                View {
                    flushing: true,
                    ..company(true, Some(1), 0)
                },
                Leave(FlushReason::Flush),
            ),
        ] {
            assert_eq!(decide(&view, now), action, "{what}");
        }
    }
}
