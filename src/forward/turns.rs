//! Whose turn it is until the head of an answer is there, and since when: the upstream's,
//! which has all that there is of the request; or the caller's, whose body is awaited.
//!
//! The upstream has a time of its own for each turn. The caller has one for all of its turns,
//! which what it sends gives back to it, a second for each [`RATE`] bytes: a body of any
//! length may be on its way for as long as it flows, and one that trickles is given up.
//!
//! The body that is on its way notes the turns, wherever it is polled; the call waits by them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Slower than so many bytes a second no body comes for long: what Apache's
/// `RequestReadTimeout` has by default.
const RATE: u64 = 500;

/// The turns of one call.
#[derive(Debug)]
pub(super) struct Turns(Mutex<Turn>);

#[derive(Clone, Copy, Debug)]
struct Turn {
    of: Party,
    since: Instant,
    /// What of its time the caller had used up then.
    used: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Party {
    Caller,
    Upstream,
}

/// The longest that a turn of the upstream may take, and the most that the caller has at any
/// time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub caller: Duration,
    pub upstream: Duration,
}

impl Turn {
    /// When the turn has taken too long, and the earliest that any may have after it.
    fn due(self, times: Times, now: Instant) -> (Instant, Instant) {
        let left = times.caller.saturating_sub(self.used);
        match self.of {
            Party::Caller => (self.since + left, now + times.upstream),
            Party::Upstream => (self.since + times.upstream, now + left),
        }
    }
}

impl Turns {
    /// The upstream has the first, with the head.
    pub fn new() -> Self {
        Self(Mutex::new(Turn {
            of: Party::Upstream,
            since: Instant::now(),
            used: Duration::ZERO,
        }))
    }

    /// The body is awaited.
    pub fn awaits_caller(&self) {
        let mut turn = self.turn();
        if turn.of != Party::Caller {
            *turn = Turn {
                of: Party::Caller,
                since: Instant::now(),
                ..*turn
            };
        }
    }

    /// The upstream was given a piece of so many bytes, or the end.
    pub fn gave(&self, bytes: usize) {
        let now = Instant::now();
        let mut turn = self.turn();
        let waited = match turn.of {
            Party::Caller => now - turn.since,
            Party::Upstream => Duration::ZERO,
        };
        let given_back = Duration::from_millis(bytes as u64 * 1_000 / RATE);
        *turn = Turn {
            of: Party::Upstream,
            since: now,
            used: (turn.used + waited).saturating_sub(given_back),
        };
    }

    /// Resolves when a turn has taken too long, with whose it was.
    pub async fn overdue(&self, times: Times) -> Party {
        loop {
            let turn = *self.turn();
            let now = Instant::now();
            let (due, next) = turn.due(times, now);
            if now >= due {
                return turn.of;
            }
            // Turns may change while this sleeps.
            sleep_until(due.min(next)).await;
        }
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// When it is overdue, and whose turn it is, after a body did that: each a time and
    /// how many bytes were given then, if any were.
    async fn overdue(caller: u32, upstream: u32, steps: &[(u32, Option<usize>)]) -> (u64, Party) {
        let turns = Turns::new();
        let start = Instant::now();
        let body = async {
            for &(at, gave) in steps {
                sleep((start + at * SECOND) - Instant::now()).await;
                match gave {
                    Some(bytes) => turns.gave(bytes),
                    None => turns.awaits_caller(),
                }
            }
            std::future::pending().await
        };
        let times = Times {
            caller: caller * SECOND,
            upstream: upstream * SECOND,
        };
        tokio::select! {
            party = turns.overdue(times) => (start.elapsed().as_secs(), party),
            never = body => never,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_turn_has_a_time_of_its_own() {
        use Party::*;
        const MUCH: Option<usize> = Some(1_000_000);
        for (caller, upstream, steps, expected) in [
            (7, 10, &[][..], (10, Upstream)),
            (7, 10, &[(0, None)], (7, Caller)),
            (7, 10, &[(0, None), (6, None)], (7, Caller)),
            (7, 10, &[(5, None)], (12, Caller)),
            (7, 10, &[(0, None), (6, MUCH)], (16, Upstream)),
            (
                7,
                10,
                &[(0, None), (6, MUCH), (6, None), (12, MUCH)],
                (22, Upstream),
            ),
            // One that begins while a longer one would still last.
            (30, 2, &[(0, None), (5, MUCH)], (7, Upstream)),
            (2, 30, &[(5, None)], (7, Caller)),
        ] {
            assert_eq!(
                overdue(caller, upstream, steps).await,
                expected,
                "{steps:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_has_the_time_that_its_bytes_give_back() {
        use Party::*;
        let pieces = |bytes: usize| {
            let piece = |n: u32| [(n * 4, Some(bytes)), (n * 4, None)];
            let all = (1..=100).flat_map(piece);
            [(0, None)].into_iter().chain(all).collect::<Vec<_>>()
        };
        for (bytes, expected) in [
            // A trickle gives nothing back worth speaking of.
            (1, (11, Caller)),
            // Of four seconds two.
            (1_000, (19, Caller)),
            // As much as it takes, and more than that gives no more.
            (2_000, (411, Caller)),
            (1_000_000, (411, Caller)),
        ] {
            let found = overdue(11, 60, &pieces(bytes)).await;
            assert_eq!(found, expected, "{bytes} bytes every four seconds");
        }
        // While the upstream takes a piece the caller's time stands still.
        let steps = [(0, None), (6, Some(0)), (20, None)];
        assert_eq!(overdue(10, 60, &steps).await, (24, Caller));
    }
}
