//! Whether the upstream is worth asking: after so many failed calls in a row it is
//! left alone for a while, then one call probes.
//!
//! ```text
//! closed ──failures in a row──▶ open ──open_for──▶ half-open, one call on its way
//!    ▲                           ▲                      │ answered │ failed
//!    └───────────────────────────┴──────────────────────┴──────────┘
//! ```
//!
//! A pure value, told the time. Each call has a [`Ticket`] while it is under way; one
//! that ends without a signal (its callers departed, a panic) is as if it had never
//! been let through, so that a probe can't be lost.

use std::time::Duration;

use tokio::time::Instant;

/// How long a probe is expected to take.
const PROBING: Duration = Duration::from_secs(1);

/// One upstream's circuit breaker.
#[derive(Debug)]
pub struct Breaker {
    /// How many failures in a row open it; 0 for never.
    failures: u32,
    open_for: Duration,
    state: State,
    /// How often it has opened: tells old calls from new.
    openings: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// With the number of failures in a row.
    Closed(u32),
    Open {
        until: Instant,
    },
    /// One call is on its way to find out.
    Probing,
}

/// The circuit is open: nothing is sent for as many seconds, at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// The seconds until a probe may have decided, rounded up.
    pub retry_after: u64,
}

/// What a call tells of the upstream's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// It answered, be it with a refusal of its own.
    Answered,
    /// It did not, or with a failure.
    Failed,
}

/// A call that was let through.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    /// The breaker's when it was let through.
    openings: u64,
    /// Whether it decides on an open circuit.
    pub probe: bool,
}

/// What became of the circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It opened, after so many failures in a row.
    Opened(u32),
    /// The probe failed.
    StaysOpen,
    /// The probe was answered.
    Closed,
}

impl Breaker {
    /// A closed circuit that `failures` in a row open for `open_for`; with 0 it
    /// never opens.
    pub fn new(failures: u32, open_for: Duration) -> Self {
        Self {
            failures,
            open_for,
            state: State::Closed(0),
            openings: 0,
        }
    }

    /// How long it stays open.
    pub fn open_for(&self) -> Duration {
        self.open_for
    }

    /// What it is: `closed`, `open`, or `probing`.
    pub fn state(&self) -> &'static str {
        match self.state {
            State::Closed(_) => "closed",
            State::Open { .. } => "open",
            State::Probing => "probing",
        }
    }

    /// Whether everything may be sent.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed(_))
    }

    /// Whether a call could be let through.
    ///
    /// # Errors
    /// [`Open`], while the circuit is open, and while a probe is on its way.
    pub fn admit(&self, now: Instant) -> Result<(), Open> {
        match self.state {
            State::Closed(_) => Ok(()),
            State::Open { until } if until <= now => Ok(()),
            State::Open { until } => Err(Open::until(until, now)),
            State::Probing => Err(Open {
                retry_after: PROBING.as_secs(),
            }),
        }
    }

    /// When a call could be the probe, as it looks at this time: while one is on its way,
    /// in a second.
    pub fn next_probe(&self, now: Instant) -> Instant {
        match self.state {
            State::Closed(_) => now,
            State::Open { until } => until.max(now),
            State::Probing => now + PROBING,
        }
    }

    /// Lets a call through; the first after `open_for` is the probe.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub fn enter(&mut self, now: Instant) -> Result<Ticket, Open> {
        self.admit(now)?;
        let probe = !self.is_closed();
        if probe {
            self.state = State::Probing;
        }
        Ok(Ticket {
            openings: self.openings,
            probe,
        })
    }

    /// What a call came to. Of calls that were under way before the circuit opened
    /// nothing is learned any more, even once it is closed again.
    pub fn tell(&mut self, ticket: Ticket, signal: Signal, now: Instant) -> Option<Change> {
        if self.openings != ticket.openings {
            return None;
        }
        match (self.state, signal) {
            (State::Closed(_), Signal::Answered) => {
                self.state = State::Closed(0);
                None
            }
            (State::Closed(failed), Signal::Failed) => {
                let failed = failed.saturating_add(1);
                self.state = State::Closed(failed);
                let opens = self.failures > 0 && failed >= self.failures;
                opens.then(|| {
                    self.open(now);
                    Change::Opened(failed)
                })
            }
            (State::Probing, Signal::Answered) if ticket.probe => {
                self.state = State::Closed(0);
                Some(Change::Closed)
            }
            (State::Probing, Signal::Failed) if ticket.probe => {
                self.open(now);
                Some(Change::StaysOpen)
            }
            (State::Open { .. } | State::Probing, _) => None,
        }
    }

    /// A call ended without a signal. Where it was the probe, the next call probes,
    /// and that at once.
    pub fn forget(&mut self, ticket: Ticket, now: Instant) {
        if ticket.probe && self.state == State::Probing {
            self.state = State::Open { until: now };
        }
    }

    fn open(&mut self, now: Instant) {
        self.openings += 1;
        self.state = State::Open {
            until: now + self.open_for,
        };
    }
}

impl Open {
    fn until(until: Instant, now: Instant) -> Self {
        let left = until.saturating_duration_since(now);
        let whole = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        Self {
            retry_after: whole.max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Signal::{Answered, Failed};
    use super::*;

    const OPEN_FOR: Duration = Duration::from_millis(4500);

    fn circuit(failures: u32) -> Breaker {
        Breaker::new(failures, OPEN_FOR)
    }

    fn call(circuit: &mut Breaker, signal: Signal, now: Instant) -> Option<Change> {
        let ticket = circuit.enter(now).unwrap();
        circuit.tell(ticket, signal, now)
    }

    fn open(failures: u32, now: Instant) -> Breaker {
        let mut circuit = circuit(failures);
        for _ in 0..failures {
            call(&mut circuit, Failed, now);
        }
        assert!(!circuit.is_closed());
        circuit
    }

    #[test]
    fn so_many_failures_in_a_row_open_it() {
        let now = Instant::now();
        for (failures, calls, opened) in [
            (3, &[Failed, Failed][..], None),
            (3, &[Failed, Failed, Failed], Some(Change::Opened(3))),
            (3, &[Failed, Failed, Answered, Failed, Failed], None),
            (1, &[Answered, Failed], Some(Change::Opened(1))),
            (0, &[Failed; 100], None),
        ] {
            let mut circuit = circuit(failures);
            let changes = calls.iter().map(|it| call(&mut circuit, *it, now));
            assert_eq!(changes.last(), Some(opened), "{calls:?}");
            assert_eq!(circuit.admit(now).is_err(), opened.is_some(), "{calls:?}");
        }
    }

    #[test]
    fn while_open_everything_is_refused_with_the_time_that_is_left() {
        let now = Instant::now();
        let mut circuit = open(2, now);
        for (later, retry_after) in [(0, 5), (500, 4), (501, 4), (4400, 1), (4499, 1)] {
            let then = now + Duration::from_millis(later);
            let refused = Open { retry_after };
            assert_eq!(circuit.admit(then), Err(refused), "{later}");
            assert_eq!(circuit.enter(then).err(), Some(refused), "{later}");
        }
    }

    #[test]
    fn one_probe_decides() {
        for (signal, change) in [(Answered, Change::Closed), (Failed, Change::StaysOpen)] {
            let now = Instant::now();
            let mut circuit = open(2, now);
            let later = now + OPEN_FOR;
            // Jobs gather for the probe.
            assert_eq!(circuit.admit(later), Ok(()));
            let probe = circuit.enter(later).unwrap();
            assert!(probe.probe);
            let busy = Some(Open { retry_after: 1 });
            assert_eq!(circuit.enter(later).err(), busy);
            assert_eq!(circuit.admit(later).err(), busy);
            assert_eq!(circuit.tell(probe, signal, later), Some(change));
            let is_open = change == Change::StaysOpen;
            assert_eq!(circuit.admit(later).is_err(), is_open);
            if !is_open {
                // It starts to count anew.
                call(&mut circuit, Failed, later);
                assert!(circuit.is_closed());
            }
        }
    }

    #[test]
    fn a_forgotten_probe_leaves_its_place_to_the_next() {
        let now = Instant::now();
        let mut circuit = open(1, now);
        let later = now + OPEN_FOR;
        let forgotten = circuit.enter(later).unwrap();
        circuit.forget(forgotten, later);
        let probe = circuit.enter(later).unwrap();
        assert!(probe.probe);
        circuit.tell(probe, Answered, later);
        assert!(circuit.is_closed());
    }

    #[test]
    fn late_news_of_earlier_calls_does_not_decide() {
        let now = Instant::now();
        let mut circuit = circuit(1);
        let [early, late, later] = [(); 3].map(|()| circuit.enter(now).unwrap());
        call(&mut circuit, Failed, now);
        circuit.tell(early, Answered, now);
        assert!(!circuit.is_closed());
        let then = now + OPEN_FOR;
        let probe = circuit.enter(then).unwrap();
        circuit.tell(late, Answered, then);
        assert!(!circuit.is_closed());
        // Nor does it put the probe's word off.
        circuit.tell(later, Failed, then);
        circuit.tell(probe, Answered, then);
        assert!(circuit.is_closed());
    }

    #[test]
    fn late_news_does_not_open_it_again() {
        let now = Instant::now();
        let mut circuit = circuit(1);
        let late = circuit.enter(now).unwrap();
        call(&mut circuit, Failed, now);
        call(&mut circuit, Answered, now + OPEN_FOR);
        assert!(circuit.is_closed());
        circuit.tell(late, Failed, now + OPEN_FOR);
        assert!(circuit.is_closed());
    }

    #[test]
    fn a_closed_circuit_forgets_a_call_without_a_signal() {
        let now = Instant::now();
        let mut circuit = circuit(1);
        let forgotten = circuit.enter(now).unwrap();
        circuit.forget(forgotten, now);
        assert!(circuit.is_closed());
    }
}
