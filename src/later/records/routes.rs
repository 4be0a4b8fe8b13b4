//! The routes that records were ever made of: what is kept and counted of each by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::backlog::Backlog;
use crate::code::Code;
use crate::job::{Handle, RouteName, State};
use crate::later::backlog::Waiting;
use crate::later::record::{IdempotencyKey, Millis};
use crate::observe::RecordCounts;

/// All of them: as many as there are in the settings, since no other has jobs.
#[derive(Debug, Default)]
pub(super) struct Routes(Vec<Route>);

/// Which one, in less room than its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::later) struct RouteNumber(pub u16);

/// One of them.
#[derive(Debug)]
pub(in crate::later) struct Route {
    pub number: RouteNumber,
    pub name: RouteName,
    pub keys: BTreeMap<IdempotencyKey, Handle>,
    /// Its records that are queued and can't be claimed, the oldest first.
    pub queued: BTreeSet<Handle>,
    /// Its jobs that can be claimed.
    pub backlog: Backlog,
    pub counts: Counts,
}

/// What there is and what there was.
#[derive(Clone, Debug, Default)]
pub(in crate::later) struct Counts {
    pub present: [u64; State::ALL.len()],
    pub bytes: usize,
    pub ever: Ever,
}

/// What there was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::later) struct Ever {
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
                number: RouteNumber(number),
                name: name.clone(),
                keys: BTreeMap::new(),
                queued: BTreeSet::new(),
                backlog: Backlog::default(),
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

    /// The route of this name, if there ever was a record of it.
    pub fn named(&self, name: &RouteName) -> Option<&Route> {
        self.0.iter().find(|it| it.name == *name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.iter()
    }
}

impl Route {
    /// The oldest of those that are queued.
    pub fn oldest_queued(&self) -> Option<Handle> {
        let both = [self.queued.first().copied(), self.backlog.oldest()];
        both.into_iter().flatten().min()
    }

    /// What waits of it.
    pub fn waiting(&self) -> Waiting {
        self.backlog.waiting()
    }

    pub fn counts(&self, now: Millis) -> RecordCounts {
        let oldest = self.oldest_queued().map(|it| it.millis());
        self.counts.at(oldest, now)
    }
}

impl Counts {
    /// As they are told, where the oldest that is queued is of this time.
    pub fn at(&self, oldest_queued: Option<Millis>, now: Millis) -> RecordCounts {
        let ever = &self.ever;
        RecordCounts {
            present: self.present,
            bytes: self.bytes as u64,
            oldest_queued: oldest_queued.map(|it| {
                let waited = now.saturating_sub(it);
                Duration::from_millis(waited)
            }),
            accepted: ever.accepted,
            finished: ever.finished.iter().map(|it| (*it.0, *it.1)).collect(),
            deleted: ever.deleted,
            expired_read: ever.expired_read,
            expired_unread: ever.expired_unread,
        }
    }
}
