//! The runtimes that batchers are at: what serves all batchers of one is there once.
//!
//! A *clock*, one task, sleeps until the next time that any batcher has asked for. A
//! *wake queue*, another, wakes callers whose answers were given on other runtimes. A
//! batcher [registers](Registration) at each runtime that it serves; both tasks come
//! with the first that does and end with the last. So a batcher more is no task more.
//!
//! While no batcher waits for a time and nobody is to be woken, neither task runs.

mod alarms;
mod clock;
mod registration;
mod registrations;
mod registry;
mod runtime;
#[cfg(all(feature = "precise", target_os = "linux", not(shuttle)))]
mod system_timer;
mod timer;
mod wakes;

pub(crate) use alarms::Served;
pub(crate) use registration::{Registration, UnderWay};
pub(crate) use registrations::{PRIMARY, Registrations};

#[cfg(test)]
mod tests;
