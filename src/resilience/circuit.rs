//! Whether the upstream is worth asking: after so many failed batches in a row
//! it is left alone for a while, then one batch probes.
//!
//! ```text
//! closed ──failures in a row──▶ open ──open_for──▶ half-open, one batch on its way
//!    ▲                           ▲                      │ answered │ failed
//!    └───────────────────────────┴──────────────────────┴──────────┘
//! ```
//!
//! `http` asks before a job is queued, the processor before each call. A call has a
//! [`Permit`] while it is under way; a permit dropped without a signal
//! (everybody left, a panic) is as if it had never been given, so that a probe
//! can't be lost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::throttle::{Admission, Throttle};

/// How many changes of state are told one by one …
const LINES: u32 = 10;

/// … within this time.
const SPAN: Duration = Duration::from_secs(10);

/// One upstream's circuit breaker.
#[derive(Debug)]
pub struct Circuit {
    /// How many failures in a row open it; 0 for never.
    failures: u32,
    open_for: Duration,
    /// Spares the lock while there is nothing to refuse.
    closed: AtomicBool,
    /// How often it has opened, changed under the lock: tells old permits from new.
    openings: AtomicU64,
    state: Mutex<State>,
    changes: Mutex<Throttle<()>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// With the number of failures in a row.
    Closed(u32),
    Open {
        until: Instant,
    },
    /// One batch is on its way to find out.
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

impl Circuit {
    /// A closed circuit that `failures` in a row open for `open_for`; with 0 it
    /// never opens.
    pub fn new(failures: u32, open_for: Duration) -> Self {
        Self {
            failures,
            open_for,
            closed: AtomicBool::new(true),
            openings: AtomicU64::new(0),
            state: Mutex::new(State::Closed(0)),
            changes: Mutex::new(Throttle::new(LINES, SPAN)),
        }
    }

    /// Whether a job may be queued.
    ///
    /// # Errors
    /// [`Open`], where it could not be sent: while the circuit is open, and while
    /// a probe is on its way.
    pub fn admit(&self, now: Instant) -> Result<(), Open> {
        if self.closed.load(Ordering::Relaxed) {
            return Ok(());
        }
        match *self.lock() {
            State::Closed(_) => Ok(()),
            State::Open { until } if until <= now => Ok(()),
            State::Open { until } => Err(Open::until(until, now)),
            State::Probing => Err(Open { retry_after: 1 }),
        }
    }

    /// Whether a batch may be sent; the first after `open_for` is the probe.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub fn enter(self: &Arc<Self>, now: Instant) -> Result<Permit, Open> {
        self.admit(now)?;
        let mut state = self.lock();
        let probe = match *state {
            State::Closed(_) => false,
            State::Open { until } if until <= now => {
                *state = State::Probing;
                if let Some(untold) = self.is_told(now) {
                    info!(
                        changes_not_told = untold,
                        "circuit probing: one batch is let through"
                    );
                }
                true
            }
            State::Open { until } => return Err(Open::until(until, now)),
            State::Probing => return Err(Open { retry_after: 1 }),
        };
        Ok(Permit {
            circuit: Arc::clone(self),
            openings: self.openings.load(Ordering::Relaxed),
            probe,
            told: false,
        })
    }

    /// What it is now: `closed`, `open`, or `probing`.
    pub fn state(&self) -> &'static str {
        match *self.lock() {
            State::Closed(_) => "closed",
            State::Open { .. } => "open",
            State::Probing => "probing",
        }
    }

    /// A permit for a batch that was sent before, which goes no further where the
    /// circuit has opened since.
    pub fn enter_closed(self: &Arc<Self>, now: Instant) -> Option<Permit> {
        self.is_closed().then(|| self.enter(now).ok()).flatten()
    }

    /// Whether everything may be sent.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a change of state is told now, and how many were not; an upstream that
    /// has it change without end would flood the log.
    fn is_told(&self, now: Instant) -> Option<u64> {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        match changes.admit((), now) {
            Admission::Told(untold) => Some(untold.total()),
            Admission::Counted(_) => None,
        }
    }

    fn open(&self, state: &mut State, now: Instant) {
        *state = State::Open {
            until: now + self.open_for,
        };
        self.closed.store(false, Ordering::Relaxed);
        self.openings.fetch_add(1, Ordering::Relaxed);
    }

    fn close(&self, state: &mut State) {
        *state = State::Closed(0);
        self.closed.store(true, Ordering::Relaxed);
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

/// That a call may be made.
#[derive(Debug)]
#[must_use = "a permit without a signal teaches the circuit nothing"]
pub struct Permit {
    circuit: Arc<Circuit>,
    /// The circuit's when it was given.
    openings: u64,
    probe: bool,
    told: bool,
}

impl Permit {
    /// Whether this call decides on an open circuit.
    pub fn is_probe(&self) -> bool {
        self.probe
    }

    /// What the call came to. Of calls that were under way before the
    /// circuit opened nothing is learned any more, even once it is closed again.
    pub fn tell(mut self, signal: Signal, now: Instant) {
        self.told = true;
        let circuit = &self.circuit;
        let mut state = circuit.lock();
        if self.openings != circuit.openings.load(Ordering::Relaxed) {
            return;
        }
        match (*state, signal) {
            (State::Closed(_), Signal::Answered) => *state = State::Closed(0),
            (State::Closed(failed), Signal::Failed) => {
                let failed = failed.saturating_add(1);
                *state = State::Closed(failed);
                if circuit.failures > 0 && failed >= circuit.failures {
                    circuit.open(&mut state, now);
                    if let Some(untold) = circuit.is_told(now) {
                        let open_for = humantime::format_duration(circuit.open_for);
                        warn!(failures = failed, %open_for, changes_not_told = untold, "circuit open");
                    }
                }
            }
            (State::Probing, Signal::Answered) if self.probe => {
                circuit.close(&mut state);
                if let Some(untold) = circuit.is_told(now) {
                    info!(changes_not_told = untold, "circuit closed");
                }
            }
            (State::Probing, Signal::Failed) if self.probe => {
                circuit.open(&mut state, now);
                if let Some(untold) = circuit.is_told(now) {
                    let open_for = humantime::format_duration(circuit.open_for);
                    warn!(%open_for, changes_not_told = untold, "circuit stays open: the probe failed");
                }
            }
            (State::Open { .. } | State::Probing, _) => {}
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.probe && !self.told {
            let mut state = self.circuit.lock();
            if *state == State::Probing {
                // The next batch probes, and that at once.
                *state = State::Open {
                    until: Instant::now(),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Signal::{Answered, Failed};
    use super::*;

    const OPEN_FOR: Duration = Duration::from_millis(4500);

    fn circuit(failures: u32) -> Arc<Circuit> {
        Arc::new(Circuit::new(failures, OPEN_FOR))
    }

    fn batch(circuit: &Arc<Circuit>, signal: Signal, now: Instant) {
        circuit.enter(now).unwrap().tell(signal, now);
    }

    fn open(failures: u32, now: Instant) -> Arc<Circuit> {
        let circuit = circuit(failures);
        (0..failures).for_each(|_| batch(&circuit, Failed, now));
        assert!(!circuit.is_closed());
        circuit
    }

    #[test]
    fn so_many_failures_in_a_row_open_it() {
        let now = Instant::now();
        for (failures, batches, is_open) in [
            (3, &[Failed, Failed][..], false),
            (3, &[Failed, Failed, Failed], true),
            (3, &[Failed, Failed, Answered, Failed, Failed], false),
            (1, &[Answered, Failed], true),
            (0, &[Failed; 100], false),
        ] {
            let circuit = circuit(failures);
            batches.iter().for_each(|it| batch(&circuit, *it, now));
            assert_eq!(circuit.admit(now).is_err(), is_open, "{batches:?}");
        }
    }

    #[test]
    fn while_open_everything_is_refused_with_the_time_that_is_left() {
        let now = Instant::now();
        let circuit = open(2, now);
        for (later, retry_after) in [(0, 5), (500, 4), (501, 4), (4400, 1), (4499, 1)] {
            let then = now + Duration::from_millis(later);
            let refused = Open { retry_after };
            assert_eq!(circuit.admit(then), Err(refused), "{later}");
            assert_eq!(circuit.enter(then).err(), Some(refused), "{later}");
        }
    }

    #[test]
    fn one_probe_decides() {
        for (signal, is_open) in [(Answered, false), (Failed, true)] {
            let now = Instant::now();
            let circuit = open(2, now);
            let later = now + OPEN_FOR;
            // Jobs gather for the probe.
            assert_eq!(circuit.admit(later), Ok(()));
            let probe = circuit.enter(later).unwrap();
            assert!(probe.is_probe());
            let busy = Some(Open { retry_after: 1 });
            assert_eq!(circuit.enter(later).err(), busy);
            assert_eq!(circuit.admit(later).err(), busy);
            probe.tell(signal, later);
            assert_eq!(circuit.admit(later).is_err(), is_open);
            if !is_open {
                // It starts to count anew.
                batch(&circuit, Failed, later);
                assert!(circuit.is_closed());
            }
        }
    }

    #[test]
    fn a_probe_that_is_dropped_leaves_its_place_to_the_next() {
        let now = Instant::now() - 2 * OPEN_FOR;
        let circuit = open(1, now);
        let later = Instant::now();
        drop(circuit.enter(later).unwrap());
        let probe = circuit.enter(Instant::now()).unwrap();
        assert!(probe.is_probe());
        probe.tell(Answered, later);
        assert!(circuit.is_closed());
    }

    #[test]
    fn late_news_of_earlier_batches_does_not_decide() {
        let now = Instant::now();
        let circuit = circuit(1);
        let [early, late, later] = [(); 3].map(|()| circuit.enter(now).unwrap());
        batch(&circuit, Failed, now);
        early.tell(Answered, now);
        assert!(!circuit.is_closed());
        let probe = circuit.enter(now + OPEN_FOR).unwrap();
        late.tell(Answered, now + OPEN_FOR);
        assert!(!circuit.is_closed());
        // Nor does it put the probe's word off.
        later.tell(Failed, now + OPEN_FOR);
        probe.tell(Answered, now + OPEN_FOR);
        assert!(circuit.is_closed());
    }

    #[test]
    fn late_news_does_not_open_it_again() {
        let now = Instant::now();
        let circuit = circuit(1);
        let late = circuit.enter(now).unwrap();
        batch(&circuit, Failed, now);
        batch(&circuit, Answered, now + OPEN_FOR);
        assert!(circuit.is_closed());
        late.tell(Failed, now + OPEN_FOR);
        assert!(circuit.is_closed());
    }

    #[test]
    fn a_closed_circuit_forgets_a_pass_without_a_verdict() {
        let now = Instant::now();
        let circuit = circuit(1);
        drop(circuit.enter(now).unwrap());
        assert!(circuit.is_closed());
    }
}
