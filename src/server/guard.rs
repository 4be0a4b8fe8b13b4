//! By when a connection has to get on, and what becomes of it if it does not: a
//! pure state machine, one for each connection.
//!
//! [`super::drive`] tells it what was seen whenever the connection was polled, and
//! asks when to look again. No time is measured while a request is served.

use std::time::Duration;

use tokio::time::Instant;

use super::life::Ending;
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
pub(super) enum Activity {
    /// No byte has come.
    New,
    /// Keys are agreed on, since it was new.
    Handshake,
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
pub(super) enum Action {
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
    activity: Activity,
    /// Since when.
    since: Instant,
    /// It was told to close: if it is not busy, it ends then.
    goodbye: Option<Instant>,
    /// By when it is told so, since the process ends.
    closing: Option<Instant>,
    /// How far the end of the process is known to the connection.
    ending: Ending,
}

impl Guard {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            activity: Activity::New,
            since: Instant::now(),
            goodbye: None,
            closing: None,
            ending: Ending::NotBegun,
        }
    }

    /// Takes in what was seen; whether that is another activity than before.
    pub fn saw(&mut self, activity: Activity, now: impl FnOnce() -> Instant) -> bool {
        if activity == self.activity {
            return false;
        }
        self.activity = activity;
        // A handshake has its time from when the connection came.
        if !matches!(activity, Activity::Busy | Activity::Handshake) {
            self.since = now();
        }
        true
    }

    /// Whether nothing of a request has come, so that closing it harms nobody.
    pub fn is_idle(&self) -> bool {
        matches!(self.activity, Activity::New | Activity::Idle(_))
    }

    /// Until when it keeps its place though others need it; none for as long as its
    /// activity lasts.
    pub fn keeps_place_until(&self) -> Option<Instant> {
        match self.activity {
            Activity::New | Activity::Idle(_) => Some(self.since),
            Activity::Handshake | Activity::Head(_) => Some(self.since + SLOW_HEAD),
            Activity::Busy | Activity::Writing(_) => None,
        }
    }

    /// How far the end of the process has come.
    pub fn ending(
        &mut self,
        ending: Ending,
        multiplexed: bool,
        now: impl FnOnce() -> Instant,
    ) -> Action {
        if ending == self.ending {
            return Action::Wait;
        }
        if ending == Ending::AllAnswered && self.closing.is_none() {
            self.closing = Some(now() + GRACE);
        }
        // HTTP/2 hears of it at once; HTTP/1 with its next answer. What has not said
        // which it is will be told when it has.
        let tells = multiplexed && self.ending == Ending::NotBegun;
        if multiplexed || ending == Ending::AllAnswered {
            self.ending = ending;
        }
        match tells {
            true => Action::Close,
            false => Action::Wait,
        }
    }

    /// When to look again.
    pub fn due(&self) -> Option<Instant> {
        let limit = match self.activity {
            Activity::Busy => return None,
            Activity::New | Activity::Handshake | Activity::Head(_) => self.limits.read_timeout,
            Activity::Idle(_) => self.limits.idle_timeout,
            Activity::Writing(_) => return Some(self.since + self.limits.write_timeout),
        };
        if self.goodbye.is_some() {
            return self.goodbye;
        }
        let due = self.since + limit;
        Some(self.closing.map_or(due, |closing| closing.min(due)))
    }

    /// What to do at this time.
    pub fn at(&mut self, now: Instant) -> Action {
        if self.due().is_none_or(|due| now < due) {
            return Action::Wait;
        }
        match self.activity {
            Activity::Writing(_) => Action::End,
            _ if self.goodbye.is_some() => Action::End,
            _ => self.say_goodbye(now),
        }
    }

    /// Its place is needed.
    pub fn evict(&mut self, now: Instant) -> Action {
        match self.keeps_place_until() {
            Some(until) if now >= until && self.goodbye.is_none() => self.say_goodbye(now),
            _ => Action::Wait,
        }
    }

    fn say_goodbye(&mut self, now: Instant) -> Action {
        self.goodbye = Some(now + GOODBYE);
        Action::Close
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
    fn each_activity_has_its_time() {
        for (activity, limit) in [
            (Activity::New, Some(10)),
            (Activity::Handshake, Some(10)),
            (Activity::Head(0), Some(10)),
            (Activity::Head(7), Some(10)),
            (Activity::Busy, None),
            (Activity::Idle(1), Some(75)),
            (Activity::Writing(3), Some(30)),
        ] {
            let mut guard = Guard::new(LIMITS);
            let start = guard.since;
            guard.saw(activity, || start);
            let due = guard.due().map(|due| (due - start).as_secs());
            assert_eq!(due, limit, "{activity:?}");
        }
    }

    #[test]
    fn the_time_runs_from_the_change_not_from_the_last_look() {
        let mut guard = Guard::new(LIMITS);
        let start = guard.since;
        assert!(guard.saw(Activity::Head(0), || after(start, 1_000)));
        assert!(!guard.saw(Activity::Head(0), || after(start, 9_000)));
        assert_eq!(guard.at(after(start, 10_999)), Action::Wait);
        assert_eq!(guard.at(after(start, 11_000)), Action::Close);
        // A handshake has what is left of the time since the connection came.
        let mut guard = Guard::new(LIMITS);
        let start = guard.since;
        assert!(guard.saw(Activity::Handshake, || after(start, 9_000)));
        assert_eq!(guard.at(after(start, 10_000)), Action::Close);
        // The next head has a time of its own, and so has each write.
        let mut guard = Guard::new(LIMITS);
        guard.saw(Activity::Writing(1), || start);
        guard.saw(Activity::Writing(2), || after(start, 29_000));
        assert_eq!(guard.at(after(start, 30_000)), Action::Wait);
        assert_eq!(guard.at(after(start, 59_000)), Action::End);
    }

    #[test]
    fn overdue_is_told_first_and_dropped_then() {
        let mut guard = Guard::new(LIMITS);
        let start = guard.since;
        guard.saw(Activity::Idle(1), || start);
        assert_eq!(guard.at(after(start, 75_000)), Action::Close);
        assert_eq!(guard.at(after(start, 75_050)), Action::Wait);
        assert_eq!(guard.at(after(start, 75_100)), Action::End);
    }

    #[test]
    fn a_request_that_comes_at_the_last_moment_is_served() {
        let mut guard = Guard::new(LIMITS);
        let start = guard.since;
        guard.saw(Activity::Idle(1), || start);
        assert_eq!(guard.at(after(start, 75_000)), Action::Close);
        guard.saw(Activity::Busy, || start);
        assert_eq!(guard.due(), None);
        assert_eq!(guard.at(after(start, 99_000)), Action::Wait);
    }

    #[test]
    fn at_the_end_only_the_busy_are_waited_for() {
        for activity in [
            Activity::New,
            Activity::Handshake,
            Activity::Head(0),
            Activity::Idle(1),
        ] {
            let mut guard = Guard::new(LIMITS);
            let start = guard.since;
            guard.saw(activity, || start);
            guard.ending(Ending::AllAnswered, false, || start);
            guard.ending(Ending::AllAnswered, false, || after(start, 400));
            assert_eq!(guard.at(after(start, 499)), Action::Wait);
            assert_eq!(guard.at(after(start, 500)), Action::Close);
            assert_eq!(guard.at(after(start, 600)), Action::End);
        }
        let mut guard = Guard::new(LIMITS);
        guard.saw(Activity::Busy, Instant::now);
        guard.ending(Ending::AllAnswered, false, Instant::now);
        assert_eq!(guard.due(), None);
    }

    #[test]
    fn http2_is_told_of_the_end_once_and_http1_is_not() {
        use Ending::{AllAnswered, LastAnswers, NotBegun};
        for (multiplexed, endings, told) in [
            (
                true,
                &[NotBegun, LastAnswers, LastAnswers, AllAnswered][..],
                1,
            ),
            (true, &[AllAnswered, AllAnswered], 1),
            (false, &[LastAnswers, AllAnswered], 0),
        ] {
            let mut guard = Guard::new(LIMITS);
            let told_to_close = |&&ending: &&Ending| {
                guard.ending(ending, multiplexed, Instant::now) == Action::Close
            };
            assert_eq!(
                endings.iter().filter(told_to_close).count(),
                told,
                "{endings:?}"
            );
        }
        // One that has not said yet which it is.
        let mut guard = Guard::new(LIMITS);
        assert_eq!(guard.ending(LastAnswers, false, Instant::now), Action::Wait);
        assert_eq!(guard.ending(LastAnswers, true, Instant::now), Action::Close);
    }

    #[test]
    fn only_idle_connections_and_slow_heads_make_room() {
        for (activity, millis, action) in [
            (Activity::New, 0, Action::Close),
            (Activity::Handshake, 999, Action::Wait),
            (Activity::Handshake, 1_000, Action::Close),
            (Activity::Idle(1), 0, Action::Close),
            (Activity::Head(0), 999, Action::Wait),
            (Activity::Head(0), 1_000, Action::Close),
            (Activity::Busy, 99_000, Action::Wait),
            (Activity::Writing(1), 99_000, Action::Wait),
        ] {
            let mut guard = Guard::new(LIMITS);
            let start = guard.since;
            guard.saw(activity, || start);
            let then = after(start, millis);
            assert_eq!(guard.evict(then), action, "{activity:?}");
            assert_eq!(guard.evict(then), Action::Wait, "told once: {activity:?}");
        }
    }
}
