//! What the driver remembers of every item, and what it holds everything against that it
//! hears of it later, from the proxies or at the upstream.
//!
//! An item is one job with an id that no other has. A fault is something that the contract
//! rules out; it is written down with the item's story, and the run goes on.

mod fault;
mod heard;
mod item;
mod reached;
mod state;
mod take;
mod told;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use self::item::Deleted;
use self::state::State;

pub use self::fault::Fault;
pub use self::item::{Way, id};
pub use self::state::Task;
pub use self::told::{Posted, code};

/// What goes for all items of a store.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// `upstream.idempotent`.
    pub idempotent: bool,
    /// `retry.max_attempts`.
    pub attempts: u32,
    /// How often an item may reach the upstream.
    pub most_calls: usize,
    /// Whether one process at a time has the store: what it did before its end is over then.
    pub single: bool,
    /// Whether the store may be away.
    pub away: bool,
}

/// The book of one store.
pub struct Ledger {
    pub terms: Terms,
    started: Instant,
    state: Mutex<State>,
    /// How many were accepted, for those who wait for the next.
    pub accepted: watch::Sender<u64>,
}

impl Ledger {
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            started: Instant::now(),
            state: Mutex::default(),
            accepted: watch::Sender::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process has ended, and the upstream has all that it sent.
    pub fn life_ended(&self) {
        self.state().life += 1;
    }

    /// How many records there are, at least and at most.
    pub fn present(&self) -> (u64, u64) {
        let state = self.state();
        let mut range = (0, 0);
        for item in state.items.iter().filter(|it| it.way != Way::Waiting) {
            let (least, most) = match (&item.handle, item.deleted) {
                (Some(_), Deleted::No) => (1, 1),
                (Some(_), Deleted::Perhaps) => (0, 1),
                (Some(_), Deleted::Certainly { .. }) => (0, 0),
                (None, _) => (0, u64::from(item.unknown.min(1))),
            };
            range.0 += least;
            range.1 += most;
        }
        range
    }

    /// What can be said when nothing happens any more.
    pub fn close(&self) {
        let mut state = self.state();
        for item in 0..state.items.len() {
            let it = &state.items[item];
            if it.way == Way::Waiting {
                continue;
            }
            let unfinished = it.deleted == Deleted::No && it.answer.is_none();
            if it.handle.is_some() && unfinished {
                state.fault(Fault::State, item, "it has not finished in the end");
                continue;
            }
            if it.handle.is_none() && it.unknown == 0 && !it.calls.is_empty() {
                state.fault(Fault::Sent, item, "it was never accepted");
            }
        }
    }

    pub fn fault(&self, fault: Fault, what: &str) {
        self.state().faults.push((fault, what.to_owned()));
    }

    /// The same of an item, with its story.
    pub fn fault_of(&self, fault: Fault, item: usize, why: &str) {
        self.state().fault(fault, item, why);
    }

    pub fn count(&self, what: &str) {
        self.state().count(what);
    }

    pub fn faults(&self) -> Vec<(Fault, String)> {
        self.state().faults.clone()
    }

    pub fn figures(&self) -> BTreeMap<String, u64> {
        self.state().figures.clone()
    }
}
