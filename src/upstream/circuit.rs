//! Whether the upstream is worth asking: after so many failed batches in a row
//! it is left alone for a while, then one batch probes.
//!
//! ```text
//! closed ──failures in a row──▶ open ──open_for──▶ half-open, one batch on its way
//!    ▲                           ▲                      │ answered │ failed
//!    └───────────────────────────┴──────────────────────┴──────────┘
//! ```
//!
//! `http` asks before a job is queued, the processor before a batch is sent. A
//! batch has a [`Pass`] while it is on its way; a pass dropped without a verdict
//! (everybody left, a panic) is as if it had never been given, so that a probe
//! can't be lost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

/// One upstream's circuit breaker.
#[derive(Debug)]
pub struct Circuit {
    /// How many failures in a row open it; 0 for never.
    failures: u32,
    open_for: Duration,
    /// Spares the lock while there is nothing to refuse.
    closed: AtomicBool,
    /// How often it has opened, changed under the lock: tells old passes from new.
    openings: AtomicU64,
    state: Mutex<State>,
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

/// What a batch tells of the upstream's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
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
    pub fn enter(self: &Arc<Self>, now: Instant) -> Result<Pass, Open> {
        self.admit(now)?;
        let mut state = self.lock();
        let probe = match *state {
            State::Closed(_) => false,
            State::Open { until } if until <= now => {
                *state = State::Probing;
                info!("circuit probing: one batch is let through");
                true
            }
            State::Open { until } => return Err(Open::until(until, now)),
            State::Probing => return Err(Open { retry_after: 1 }),
        };
        Ok(Pass {
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

    /// Whether a batch that has its pass already may be sent once more.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

/// That a batch may be sent.
#[derive(Debug)]
#[must_use = "a pass without a verdict teaches the circuit nothing"]
pub struct Pass {
    circuit: Arc<Circuit>,
    /// The circuit's when it was given.
    openings: u64,
    probe: bool,
    told: bool,
}

impl Pass {
    /// Whether this batch decides on an open circuit.
    pub fn is_probe(&self) -> bool {
        self.probe
    }

    /// What the batch came to. Of batches that were on their way before the
    /// circuit opened nothing is learned any more, even once it is closed again.
    pub fn tell(mut self, verdict: Verdict, now: Instant) {
        self.told = true;
        let circuit = &self.circuit;
        let mut state = circuit.lock();
        if self.openings != circuit.openings.load(Ordering::Relaxed) {
            return;
        }
        match (*state, verdict) {
            (State::Closed(_), Verdict::Answered) => *state = State::Closed(0),
            (State::Closed(failed), Verdict::Failed) => {
                let failed = failed.saturating_add(1);
                *state = State::Closed(failed);
                if circuit.failures > 0 && failed >= circuit.failures {
                    circuit.open(&mut state, now);
                    let open_for = humantime::format_duration(circuit.open_for);
                    warn!(failures = failed, %open_for, "circuit open");
                }
            }
            (State::Probing, Verdict::Answered) if self.probe => {
                circuit.close(&mut state);
                info!("circuit closed");
            }
            (State::Probing, Verdict::Failed) if self.probe => {
                circuit.open(&mut state, now);
                let open_for = humantime::format_duration(circuit.open_for);
                warn!(%open_for, "circuit stays open: the probe failed");
            }
            (State::Open { .. } | State::Probing, _) => {}
        }
    }
}

impl Drop for Pass {
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
    use super::Verdict::{Answered, Failed};
    use super::*;

    const OPEN_FOR: Duration = Duration::from_millis(4500);

    fn circuit(failures: u32) -> Arc<Circuit> {
        Arc::new(Circuit::new(failures, OPEN_FOR))
    }

    fn batch(circuit: &Arc<Circuit>, verdict: Verdict, now: Instant) {
        circuit.enter(now).unwrap().tell(verdict, now);
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
        for (verdict, is_open) in [(Answered, false), (Failed, true)] {
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
            probe.tell(verdict, later);
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
