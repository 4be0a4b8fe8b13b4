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
/// In the order of their numbers, of which some may be missing: those of routes whose first
/// records were taken back in a process that is gone.
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
        if let Some(known) = self.named(name) {
            return Some(known.number);
        }
        let number = match self.0.last() {
            Some(last) => last.number.0.checked_add(1)?,
            None => 0,
        };
        self.0.push(Route::new(RouteNumber(number), name));
        Some(RouteNumber(number))
    }

    /// A route had this number; nothing, if another has it or one has its name.
    pub fn restore(&mut self, number: RouteNumber, name: &RouteName, ever: Ever) -> bool {
        let Err(at) = self.at(number) else {
            return false;
        };
        if self.named(name).is_some() {
            return false;
        }
        let mut route = Route::new(number, name);
        route.counts.ever = ever;
        self.0.insert(at, route);
        true
    }

    fn at(&self, number: RouteNumber) -> Result<usize, usize> {
        self.0.binary_search_by_key(&number, |it| it.number)
    }

    /// The route that has this number, of those that were given or restored here.
    pub fn of(&self, number: RouteNumber) -> &Route {
        let (Ok(at) | Err(at)) = self.at(number);
        &self.0[at]
    }

    /// The same, to be changed.
    pub fn of_mut(&mut self, number: RouteNumber) -> &mut Route {
        let (Ok(at) | Err(at)) = self.at(number);
        &mut self.0[at]
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
    fn new(number: RouteNumber, name: &RouteName) -> Self {
        Self {
            number,
            name: name.clone(),
            keys: BTreeMap::new(),
            queued: BTreeSet::new(),
            backlog: Backlog::default(),
            counts: Counts::default(),
        }
    }

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
