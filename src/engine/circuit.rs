//! The circuit of one upstream, shared by all that ask it.
//!
//! `http` asks before a job is queued, the engine before each call. A call has a
//! [`Permit`] while it is under way; one that is dropped without a signal is as if it
//! had never been given.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::observe::Observer;
use crate::resilience::circuit::{Breaker, Change, Open, Signal, Ticket};
use crate::throttle::LogThrottle;

/// How many changes of state are told one by one within
/// [`LogThrottle::SPAN`]. An upstream that has it change without end would flood the log.
const LINES: u32 = 10;

/// One upstream's circuit.
#[derive(Debug)]
pub struct Circuit {
    /// Spares the lock while there is nothing to refuse.
    closed: AtomicBool,
    breaker: Mutex<Breaker>,
    changes: LogThrottle,
    /// The route's name.
    route: Box<str>,
}

impl Circuit {
    /// A closed circuit that `failures` in a row open for `open_for`; with 0 it
    /// never opens.
    pub fn new(failures: u32, open_for: Duration) -> Self {
        Self {
            closed: AtomicBool::new(true),
            breaker: Mutex::new(Breaker::new(failures, open_for)),
            changes: LogThrottle::new(LINES),
            route: "jobs".into(),
        }
    }

    /// The same on the route that this observes: what is told of it says so.
    #[must_use]
    pub fn on_route_of(self, observer: &Observer) -> Self {
        Self {
            changes: observer.throttle(LINES),
            route: observer.route().into(),
            ..self
        }
    }

    /// Whether a job may be queued.
    ///
    /// # Errors
    /// [`Open`], where it could not be sent: while the circuit is open, and while
    /// a probe is on its way.
    pub fn admit(&self, now: Instant) -> Result<(), Open> {
        match self.is_closed() {
            true => Ok(()),
            false => self.lock().admit(now),
        }
    }

    /// Whether a batch may be sent; the first after the circuit was open is the probe.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub fn enter(self: &Arc<Self>, now: Instant) -> Result<Permit, Open> {
        let ticket = self.lock().enter(now)?;
        if ticket.probe
            && let Some(untold) = self.changes.admit()
        {
            info!(
                route = &*self.route,
                changes_not_told = untold,
                "circuit probing: one batch is let through"
            );
        }
        Ok(Permit {
            circuit: Arc::clone(self),
            ticket: Some(ticket),
        })
    }

    /// A permit for a batch that was sent before, which goes no further where the
    /// circuit has opened since.
    pub fn enter_closed(self: &Arc<Self>, now: Instant) -> Option<Permit> {
        self.is_closed().then(|| self.enter(now).ok()).flatten()
    }

    /// What it is now: `closed`, `open`, or `probing`.
    pub fn state(&self) -> &'static str {
        self.lock().state()
    }

    /// Whether everything may be sent.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        // Nothing panics while it is held.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the next call may be the probe: a guess, while one is on its way.
    pub fn next_probe(&self, now: Instant) -> Instant {
        self.lock().next_probe(now)
    }

    fn tell(&self, ticket: Ticket, signal: Signal, now: Instant) -> bool {
        let mut breaker = self.lock();
        let Some(change) = breaker.tell(ticket, signal, now) else {
            return false;
        };
        self.closed.store(breaker.is_closed(), Ordering::Relaxed);
        let open_for = humantime::format_duration(breaker.open_for());
        // Still under the lock, so that the log has the changes in their order.
        let closed = change == Change::Closed;
        let Some(untold) = self.changes.admit() else {
            return closed;
        };
        let route = &*self.route;
        match change {
            Change::Opened(failures) => {
                warn!(route, failures, %open_for, changes_not_told = untold, "circuit open");
            }
            Change::StaysOpen => {
                warn!(route, %open_for, changes_not_told = untold, "circuit stays open: the probe failed");
            }
            Change::Closed => info!(route, changes_not_told = untold, "circuit closed"),
        }
        closed
    }
}

/// That a call may be made.
#[derive(Debug)]
#[must_use = "a permit without a signal teaches the circuit nothing"]
pub struct Permit {
    circuit: Arc<Circuit>,
    /// `None` once its signal is told.
    ticket: Option<Ticket>,
}

impl Permit {
    /// What the call came to. Whether that has closed the circuit.
    pub fn tell(mut self, signal: Signal, now: Instant) -> bool {
        let ticket = self.ticket.take();
        ticket.is_some_and(|ticket| self.circuit.tell(ticket, signal, now))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take().filter(|it| it.probe) {
            self.circuit.lock().forget(ticket, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_dropped_probe_leaves_its_place_to_the_next() {
        let second = Duration::from_secs(1);
        let circuit = Arc::new(Circuit::new(1, second));
        let failing = circuit.enter(Instant::now()).unwrap();
        failing.tell(Signal::Failed, Instant::now());
        assert_eq!((circuit.state(), circuit.is_closed()), ("open", false));
        assert!(circuit.enter_closed(Instant::now()).is_none());
        tokio::time::advance(second).await;
        let probe = circuit.enter(Instant::now()).unwrap();
        assert!(circuit.admit(Instant::now()).is_err());
        drop(probe);
        let probe = circuit.enter(Instant::now()).unwrap();
        assert_eq!(circuit.state(), "probing");
        probe.tell(Signal::Answered, Instant::now());
        assert_eq!((circuit.state(), circuit.is_closed()), ("closed", true));
    }
}
