//! What is kept of all records together, and follows from each of them: where it is found,
//! and what it counts for.

use std::collections::BTreeMap;

use super::backlog::Waits;
use super::entry::{Entry, Job};
use super::routes::Routes;
use super::streams::Streams;
use crate::job::{Handle, State};
use crate::later::record::Millis;
use crate::later::store::Position;

#[derive(Debug)]
pub(super) struct Indexes {
    /// How long what finishes now is kept.
    pub keep: Millis,
    /// Those that are finished, in the order of expiring, and then of finishing.
    pub finished: BTreeMap<(Millis, Position), Handle>,
    /// The bytes of all that are present.
    pub bytes: usize,
    pub routes: Routes,
    pub streams: Streams,
}

impl Indexes {
    /// A record has come into this state.
    pub fn insert<J: Job, A: Clone>(&mut self, handle: Handle, entry: &Entry<J, A>) {
        let waits = waits(handle, entry);
        let route = self.routes.of_mut(entry.route);
        route.counts.present[entry.state as usize] += 1;
        route.counts.bytes += entry.bytes;
        self.bytes += entry.bytes;
        match (&entry.answer, waits) {
            (Some((position, _)), _) => {
                self.finished.insert((entry.until, *position), handle);
            }
            (None, Some(waits)) => route.backlog.insert(&waits),
            (None, None) if entry.state == State::Queued => drop(route.queued.insert(handle)),
            (None, None) => {}
        }
    }

    /// A record goes out of this state.
    pub fn remove<J: Job, A: Clone>(&mut self, handle: Handle, entry: &Entry<J, A>) {
        let waits = waits(handle, entry);
        let route = self.routes.of_mut(entry.route);
        route.counts.present[entry.state as usize] -= 1;
        route.counts.bytes -= entry.bytes;
        self.bytes -= entry.bytes;
        match (&entry.answer, waits) {
            (Some((position, _)), _) => {
                self.finished.remove(&(entry.until, *position));
            }
            (None, Some(waits)) => route.backlog.remove(&waits),
            (None, None) if entry.state == State::Queued => drop(route.queued.remove(&handle)),
            (None, None) => {}
        }
    }
}

fn waits<J: Job, A: Clone>(handle: Handle, entry: &Entry<J, A>) -> Option<Waits> {
    entry.waiting().map(|it| Waits {
        handle,
        frame: it.frame,
        items: u64::from(it.items),
        bytes: entry.bytes as u64,
        deadline: entry.until,
        interrupted: it.interrupted > 0,
    })
}
