//! When a batch leaves: a pure function of what waits, the time and the rules.
//!
//! The batcher asks it whenever something changed while a slot is free: [`decide`] for
//! each frame whose turn it may be, and [`Gate::pass`] for what goes for all of them.
//! The answer is an action, and nothing sleeps in here.

use std::time::Duration;

use tokio::time::Instant;

use crate::settings::Wait;

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

/// What the policy looks at: the batch at the front of one frame's queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// When the oldest item arrived; `None` while nothing waits.
    pub oldest: Option<Instant>,
    /// When the first of those has waited enough that wait less than `max_wait`,
    /// their deadlines being that near.
    pub hurried: Option<Instant>,
    /// Whether the batch can't grow.
    pub full: bool,
    /// The oldest item was there when somebody asked for a flush.
    pub flushing: bool,
    /// The batcher is closing.
    pub closing: bool,
    /// The longest any item waits for company.
    pub max_wait: Duration,
    pub wait: Wait,
    pub company: Company,
}

/// Who else may still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Company {
    /// Whether anybody is known who could submit and has nothing submitted.
    pub anybody_left: bool,
    /// The usual time until company came lately, if anything is known of that.
    pub gap: Option<Duration>,
    /// When the last item arrived.
    pub last_arrival: Instant,
}

/// What to do while a slot is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing waits.
    Nothing,
    /// A batch that is parked gets the slot.
    Resume,
    /// A batch leaves that is full, of items or of bytes.
    LeaveFull,
    /// A batch leaves, for this reason.
    Leave(FlushReason),
    /// Nothing before this time, unless something changes.
    Until(Instant),
}

impl Action {
    /// When there is something to do; at once, if it is there already.
    pub fn due(self, now: Instant) -> Option<Instant> {
        match self {
            Self::Nothing => None,
            Self::Until(time) => Some(time),
            Self::Resume | Self::LeaveFull | Self::Leave(_) => Some(now),
        }
    }
}

/// After a silence of this many usual gaps, the stream of arrivals that the
/// estimate speaks of has evidently stopped. A Poisson stream is silent that
/// long by chance once in e⁴ ≈ 55 times.
const SILENCE_IN_GAPS: u32 = 4;

/// How long an item waits for company at most: half of the time until its deadline
/// where that is less than `max_wait`, so that the other half is left to its processing.
pub(crate) fn longest_wait(
    arrived: Instant,
    deadline: Option<Instant>,
    max_wait: Duration,
) -> Duration {
    match deadline {
        Some(deadline) if deadline < arrived + max_wait * 2 => {
            deadline.saturating_duration_since(arrived) / 2
        }
        _ => max_wait,
    }
}

/// Decides about one frame. Of several reasons that hold the first is told, in the order
/// of [`FlushReason::ALL`], but that `Drain` goes first: from then on size and wait no
/// longer matter.
pub(crate) fn decide(view: &View, now: Instant) -> Action {
    let Some(oldest) = view.oldest else {
        return Action::Nothing;
    };
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

/// What goes for all frames alike.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gate {
    /// Whether a batch that is parked wants to leave again.
    pub ready_to_resume: bool,
    /// The earliest time for the next batch to leave.
    pub not_before: Option<Instant>,
}

impl Gate {
    /// What is to be done in the place of `next`, the frames' own choice. A parked batch
    /// goes before what waits for the first time: its items are older.
    pub fn pass(self, next: Action, now: Instant) -> Action {
        let action = match self.ready_to_resume {
            true => Action::Resume,
            false => next,
        };
        match self.not_before {
            Some(earliest) if now < earliest && action != Action::Nothing => {
                Action::Until(earliest)
            }
            _ => action,
        }
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
#[path = "policy_tests.rs"]
mod tests;
