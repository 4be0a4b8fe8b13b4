//! By when a connection has to get on, and what becomes of it if it does not: a
//! pure state machine, one for each connection.
//!
//! [`super::drive`] tells it what was seen whenever the connection was polled, and
//! asks when to look again. No time is measured while a request is served.

use std::time::Duration;

use tokio::time::Instant;

use super::life::Phase;
use super::limits::Limits;

/// The time to say goodbye to a caller that is overdue, and for HTTP/2 to end in
/// order.
const GOODBYE: Duration = Duration::from_millis(100);

/// How long a head may take to come in before its connection has to make room, where
/// places are short: half a head must not hold a place that others need.
const SLOW_HEAD: Duration = Duration::from_secs(1);

/// At the end of the process: the time for the next request of a caller that was
/// idle, or amid a head.
const GRACE: Duration = Duration::from_millis(500);

/// What a connection is doing. The counts tell one from the next of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// No byte has come.
    New,
    /// A head is coming in, after so many others.
    Head(u32),
    /// A request is being read or served.
    Busy,
    /// It is silent after so many requests.
    Idle(u32),
    /// The socket is full, after so many writes.
    Writing(u32),
}

/// What to do about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing yet.
    Wait,
    /// Close it in order.
    Close,
    /// Drop it.
    End,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Guard {
    limits: Limits,
    stage: Stage,
    /// Since when.
    since: Instant,
    /// It was told to close: if it is not busy, it ends then.
    goodbye: Option<Instant>,
    /// By when it is told so, since the process ends.
    closing: Option<Instant>,
    /// How far the end of the process is known to the connection.
    phase: Phase,
}

impl Guard {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            stage: Stage::New,
            since: Instant::now(),
            goodbye: None,
            closing: None,
            phase: Phase::Open,
        }
    }

    /// Takes in what was seen; whether it is another stage than before.
    pub fn saw(&mut self, stage: Stage, now: impl FnOnce() -> Instant) -> bool {
        if stage == self.stage {
            return false;
        }
        self.stage = stage;
        if stage != Stage::Busy {
            self.since = now();
        }
        true
    }

    /// Whether nothing of a request has come, so that closing it harms nobody.
    pub fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::New | Stage::Idle(_))
    }

    /// Until when it keeps its place in this stage though others need it; none for as
    /// long as the stage lasts.
    pub fn keeps_place_until(&self) -> Option<Instant> {
        match self.stage {
            Stage::New | Stage::Idle(_) => Some(self.since),
            Stage::Head(_) => Some(self.since + SLOW_HEAD),
            Stage::Busy | Stage::Writing(_) => None,
        }
    }

    /// How far the end of the process has come.
    pub fn phase(
        &mut self,
        phase: Phase,
        multiplexed: bool,
        now: impl FnOnce() -> Instant,
    ) -> Verdict {
        if phase == self.phase {
            return Verdict::Wait;
        }
        if phase == Phase::Ending && self.closing.is_none() {
            self.closing = Some(now() + GRACE);
        }
        // HTTP/2 hears of it at once; HTTP/1 with its next answer. What has not said
        // which it is will be told when it has.
        let tells = multiplexed && self.phase == Phase::Open;
        if multiplexed || phase == Phase::Ending {
            self.phase = phase;
        }
        match tells {
            true => Verdict::Close,
            false => Verdict::Wait,
        }
    }

    /// When to look again.
    pub fn due(&self) -> Option<Instant> {
        let limit = match self.stage {
            Stage::Busy => return None,
            Stage::New | Stage::Head(_) => self.limits.read_timeout,
            Stage::Idle(_) => self.limits.idle_timeout,
            Stage::Writing(_) => return Some(self.since + self.limits.write_timeout),
        };
        if self.goodbye.is_some() {
            return self.goodbye;
        }
        let due = self.since + limit;
        Some(self.closing.map_or(due, |closing| closing.min(due)))
    }

    /// What to do at this time.
    pub fn at(&mut self, now: Instant) -> Verdict {
        if self.due().is_none_or(|due| now < due) {
            return Verdict::Wait;
        }
        match self.stage {
            Stage::Writing(_) => Verdict::End,
            _ if self.goodbye.is_some() => Verdict::End,
            _ => self.say_goodbye(now),
        }
    }

    /// Its place is needed.
    pub fn evict(&mut self, now: Instant) -> Verdict {
        match self.keeps_place_until() {
            Some(until) if now >= until && self.goodbye.is_none() => self.say_goodbye(now),
            _ => Verdict::Wait,
        }
    }

    fn say_goodbye(&mut self, now: Instant) -> Verdict {
        self.goodbye = Some(now + GOODBYE);
        Verdict::Close
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        read_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(75),
        write_timeout: Duration::from_secs(30),
        max_body: 1,
        max_streams: 1,
    };

    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn each_stage_has_its_time() {
        for (stage, limit) in [
            (Stage::New, Some(10)),
            (Stage::Head(0), Some(10)),
            (Stage::Head(7), Some(10)),
            (Stage::Busy, None),
            (Stage::Idle(1), Some(75)),
            (Stage::Writing(3), Some(30)),
        ] {
            let mut guard = Guard::new(LIMITS);
            let start = guard.since;
            guard.saw(stage, || start);
            let due = guard.due().map(|due| (due - start).as_secs());
            assert_eq!(due, limit, "{stage:?}");
        }
    }

    #[test]
    fn the_time_runs_from_the_change_not_from_the_last_look() {
        let mut guard = Guard::new(LIMITS);
        let start = guard.since;
        assert!(guard.saw(Stage::Head(0), || after(start, 1_000)));
        assert!(!guard.saw(Stage::Head(0), || after(start, 9_000)));
        assert_eq!(guard.at(after(start, 10_999)), Verdict::Wait);
        assert_eq!(guard.at(after(start, 11_000)), Verdict::Close);
        // The next head has a time of its own, and so has each write.
        let mut guard = Guard::new(LIMITS);
        guard.saw(Stage::Writing(1), || start);
        guard.saw(Stage::Writing(2), || after(start, 29_000));
        assert_eq!(guard.at(after(start, 30_000)), Verdict::Wait);
        assert_eq!(guard.at(after(start, 59_000)), Verdict::End);
    }

    #[test]
    fn overdue_is_told_first_and_dropped_then() {
        let mut guard = Guard::new(LIMITS);
        let start = guard.since;
        guard.saw(Stage::Idle(1), || start);
        assert_eq!(guard.at(after(start, 75_000)), Verdict::Close);
        assert_eq!(guard.at(after(start, 75_050)), Verdict::Wait);
        assert_eq!(guard.at(after(start, 75_100)), Verdict::End);
    }

    #[test]
    fn a_request_that_comes_at_the_last_moment_is_served() {
        let mut guard = Guard::new(LIMITS);
        let start = guard.since;
        guard.saw(Stage::Idle(1), || start);
        assert_eq!(guard.at(after(start, 75_000)), Verdict::Close);
        guard.saw(Stage::Busy, || start);
        assert_eq!(guard.due(), None);
        assert_eq!(guard.at(after(start, 99_000)), Verdict::Wait);
    }

    #[test]
    fn at_the_end_only_the_busy_are_waited_for() {
        for stage in [Stage::New, Stage::Head(0), Stage::Idle(1)] {
            let mut guard = Guard::new(LIMITS);
            let start = guard.since;
            guard.saw(stage, || start);
            guard.phase(Phase::Ending, false, || start);
            guard.phase(Phase::Ending, false, || after(start, 400));
            assert_eq!(guard.at(after(start, 499)), Verdict::Wait);
            assert_eq!(guard.at(after(start, 500)), Verdict::Close);
            assert_eq!(guard.at(after(start, 600)), Verdict::End);
        }
        let mut guard = Guard::new(LIMITS);
        guard.saw(Stage::Busy, Instant::now);
        guard.phase(Phase::Ending, false, Instant::now);
        assert_eq!(guard.due(), None);
    }

    #[test]
    fn http2_is_told_of_the_end_once_and_http1_is_not() {
        use Phase::{Closing, Ending, Open};
        for (multiplexed, phases, told) in [
            (true, &[Open, Closing, Closing, Ending][..], 1),
            (true, &[Ending, Ending], 1),
            (false, &[Closing, Ending], 0),
        ] {
            let mut guard = Guard::new(LIMITS);
            let told_to_close =
                |&&phase: &&Phase| guard.phase(phase, multiplexed, Instant::now) == Verdict::Close;
            assert_eq!(
                phases.iter().filter(told_to_close).count(),
                told,
                "{phases:?}"
            );
        }
        // One that has not said yet which it is.
        let mut guard = Guard::new(LIMITS);
        assert_eq!(guard.phase(Closing, false, Instant::now), Verdict::Wait);
        assert_eq!(guard.phase(Closing, true, Instant::now), Verdict::Close);
    }

    #[test]
    fn only_idle_connections_and_slow_heads_make_room() {
        for (stage, millis, verdict) in [
            (Stage::New, 0, Verdict::Close),
            (Stage::Idle(1), 0, Verdict::Close),
            (Stage::Head(0), 999, Verdict::Wait),
            (Stage::Head(0), 1_000, Verdict::Close),
            (Stage::Busy, 99_000, Verdict::Wait),
            (Stage::Writing(1), 99_000, Verdict::Wait),
        ] {
            let mut guard = Guard::new(LIMITS);
            let start = guard.since;
            guard.saw(stage, || start);
            let then = after(start, millis);
            assert_eq!(guard.evict(then), verdict, "{stage:?}");
            assert_eq!(guard.evict(then), Verdict::Wait, "told once: {stage:?}");
        }
    }
}
