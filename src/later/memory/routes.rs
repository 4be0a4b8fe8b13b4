//! The routes that records were ever made of: what is kept and counted of each by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::code::Code;
use crate::job::{Handle, RouteName, State};
use crate::later::record::{IdempotencyKey, Millis};
use crate::observe::RecordCounts;

/// All of them: as many as there are in the settings, since no other has jobs.
#[derive(Debug, Default)]
pub(super) struct Routes(Vec<Route>);

/// Which one, in less room than its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RouteNumber(u16);

/// One of them.
#[derive(Debug)]
pub(super) struct Route {
    pub name: RouteName,
    pub keys: BTreeMap<IdempotencyKey, Handle>,
    /// Its records that are queued, the oldest first.
    pub queued: BTreeSet<Handle>,
    pub counts: Counts,
}

/// What there is and what there was.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub present: [u64; State::ALL.len()],
    pub bytes: usize,
    pub accepted: u64,
    pub finished: BTreeMap<Code, u64>,
    pub deleted: [u64; State::ALL.len()],
    pub expired_read: u64,
    pub expired_unread: u64,
}

impl Routes {
    /// The number of a route, which it has from then on; `None` where there are more than
    /// can be numbered.
    pub fn number_of(&mut self, name: &RouteName) -> Option<RouteNumber> {
        let known = self.0.iter().position(|it| it.name == *name);
        let number = u16::try_from(known.unwrap_or(self.0.len())).ok()?;
        if known.is_none() {
            self.0.push(Route {
                name: name.clone(),
                keys: BTreeMap::new(),
                queued: BTreeSet::new(),
                counts: Counts::default(),
            });
        }
        Some(RouteNumber(number))
    }

    /// The route that has this number, of those that were given here.
    pub fn of(&self, number: RouteNumber) -> &Route {
        &self.0[usize::from(number.0)]
    }

    /// The same, to be changed.
    pub fn of_mut(&mut self, number: RouteNumber) -> &mut Route {
        &mut self.0[usize::from(number.0)]
    }

    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.iter()
    }
}

impl Route {
    /// One of its records goes on from a state to another.
    pub fn goes_on(&mut self, from: State, to: State) {
        self.counts.present[from as usize] -= 1;
        self.counts.present[to as usize] += 1;
    }

    pub fn counts(&self, now: Millis) -> RecordCounts {
        let counts = &self.counts;
        RecordCounts {
            present: counts.present,
            bytes: counts.bytes as u64,
            oldest_queued: self.queued.first().map(|oldest| {
                let waited = now.saturating_sub(oldest.millis());
                Duration::from_millis(waited)
            }),
            accepted: counts.accepted,
            finished: counts.finished.iter().map(|it| (*it.0, *it.1)).collect(),
            deleted: counts.deleted,
            expired_read: counts.expired_read,
            expired_unread: counts.expired_unread,
        }
    }
}
