//! Whose turn it is until the head of an answer is there, and since when: the upstream's,
//! which has all that there is of the request; or the caller's, whose body is awaited.
//!
//! Each has a time of its own for each turn. The body that is on its way notes the turns,
//! wherever it is polled; the call waits by them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The turns of one call.
#[derive(Debug)]
pub(super) struct Turns(Mutex<Turn>);

#[derive(Clone, Copy, Debug)]
struct Turn {
    of: Party,
    since: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Party {
    Caller,
    Upstream,
}

/// The longest that a turn may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub caller: Duration,
    pub upstream: Duration,
}

impl Times {
    fn of(self, party: Party) -> Duration {
        match party {
            Party::Caller => self.caller,
            Party::Upstream => self.upstream,
        }
    }
}

impl Turns {
    /// The upstream has the first, with the head.
    pub fn new() -> Self {
        Self(Mutex::new(Turn {
            of: Party::Upstream,
            since: Instant::now(),
        }))
    }

    /// The body is awaited.
    pub fn awaits_caller(&self) {
        let mut turn = self.turn();
        if turn.of != Party::Caller {
            *turn = Turn {
                of: Party::Caller,
                since: Instant::now(),
            };
        }
    }

    /// The upstream was given a piece, or the end.
    pub fn gave(&self) {
        *self.turn() = Turn {
            of: Party::Upstream,
            since: Instant::now(),
        };
    }

    /// Resolves when a turn has taken too long, with whose it was.
    pub async fn overdue(&self, times: Times) -> Party {
        loop {
            let Turn { of, since } = *self.turn();
            let (now, due) = (Instant::now(), since + times.of(of));
            if now >= due {
                return of;
            }
            // A turn that begins while this sleeps is due no earlier than that.
            let shortest = now + times.caller.min(times.upstream);
            sleep_until(due.min(shortest)).await;
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
    /// whether a piece was given then.
    async fn overdue(caller: u32, upstream: u32, steps: &[(u32, bool)]) -> (u64, Party) {
        let turns = Turns::new();
        let start = Instant::now();
        let body = async {
            for &(at, gave) in steps {
                sleep((start + at * SECOND) - Instant::now()).await;
                match gave {
                    true => turns.gave(),
                    false => turns.awaits_caller(),
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
        for (caller, upstream, steps, expected) in [
            (7, 10, &[][..], (10, Upstream)),
            (7, 10, &[(0, false)], (7, Caller)),
            (7, 10, &[(0, false), (6, false)], (7, Caller)),
            (7, 10, &[(5, false)], (12, Caller)),
            (7, 10, &[(0, false), (6, true)], (16, Upstream)),
            (
                7,
                10,
                &[(0, false), (6, true), (6, false), (12, true)],
                (22, Upstream),
            ),
            // One that begins while a longer one would still last.
            (30, 2, &[(0, false), (5, true)], (7, Upstream)),
            (2, 30, &[(5, false)], (7, Caller)),
        ] {
            assert_eq!(
                overdue(caller, upstream, steps).await,
                expected,
                "{steps:?}"
            );
        }
    }
}
