//! What is told without asking the store's thread: counts, what waits, and which jobs are
//! claimed; all of it as it is committed. And the bounds, as the thread is told them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::row::Rows;
use crate::job::{Handle, RouteName, State};
use crate::later::backlog::Waiting;
use crate::later::record::Millis;
use crate::later::records::{Counts, Route};
use crate::later::settings::Settings;
use crate::observe::CountsByRoute;

#[derive(Debug, Default)]
pub(super) struct Published {
    routes: Mutex<BTreeMap<RouteName, OfRoute>>,
    claimed: Mutex<HashMap<Handle, Standing>>,
    /// Bounds that the thread has not heard of.
    set: Mutex<Option<Settings>>,
    /// There may be something to claim.
    news: Notify,
}

#[derive(Debug)]
struct OfRoute {
    counts: Counts,
    oldest_queued: Option<Millis>,
    waiting: Waiting,
}

/// How far a job has come that is claimed here and has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It may be sent.
    Sent,
    /// It waits for its next attempt, and has to be sent again by then.
    Paused,
}

impl Published {
    /// What there is at the start.
    pub fn opened(&self, records: &Rows) {
        let mut routes = self.routes();
        routes.extend(records.routes().map(of_route));
        drop(routes);
        self.news.notify_one();
    }

    /// What has changed is committed.
    pub fn committed(&self, records: &Rows) {
        let mut claimed = self.claimed();
        for change in records.changes() {
            let unfinished = change.after.filter(|it| it.answer.is_none());
            let is_claimed = unfinished.filter(|it| it.job.claimable.claim > 0);
            match is_claimed.map(|it| it.state) {
                Some(State::Sent) => drop(claimed.insert(*change.handle, Standing::Sent)),
                Some(_) => drop(claimed.insert(*change.handle, Standing::Paused)),
                None => drop(claimed.remove(change.handle)),
            }
        }
        drop(claimed);
        let (mut routes, mut more) = (self.routes(), false);
        for (name, now) in records.changed_routes().map(|it| of_route(it.0)) {
            let waits = now.waiting.jobs;
            let waited = routes.insert(name, now).map_or(0, |it| it.waiting.jobs);
            more |= waits > waited;
        }
        drop(routes);
        if more {
            self.news.notify_one();
        }
    }

    /// The bounds hold from the next step on.
    pub fn set(&self, settings: Settings) {
        *self.unheard() = Some(settings);
    }

    /// Bounds that hold from here on.
    pub fn heard(&self) -> Option<Settings> {
        self.unheard().take()
    }

    pub fn counts(&self, now: Millis) -> CountsByRoute {
        let routes = self.routes();
        let counted = routes.iter().filter(|it| it.1.counts.ever.accepted > 0);
        let counts = counted.map(|(name, it)| (name.text(), it.counts.at(it.oldest_queued, now)));
        counts.collect()
    }

    pub fn waiting(&self, route: &RouteName) -> Waiting {
        let routes = self.routes();
        routes.get(route).map(|it| it.waiting).unwrap_or_default()
    }

    /// The routes of which something waits.
    pub fn waited_for(&self) -> Vec<RouteName> {
        let routes = self.routes();
        let waited_for = routes.iter().filter(|it| it.1.waiting.jobs > 0);
        waited_for.map(|it| it.0.clone()).collect()
    }

    /// Those of these that may not be sent, since they are not claimed; `None` where one of
    /// them has to be sent again first.
    pub fn gone(&self, handles: &[Handle]) -> Option<Vec<Handle>> {
        let claimed = self.claimed();
        let standing = |it| claimed.get(it);
        if handles
            .iter()
            .any(|it| standing(it) == Some(&Standing::Paused))
        {
            return None;
        }
        let gone = handles.iter().filter(|it| standing(it).is_none());
        Some(gone.copied().collect())
    }

    /// Returns as soon as something may be to be claimed.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    fn routes(&self) -> MutexGuard<'_, BTreeMap<RouteName, OfRoute>> {
        // Nothing panics while it is held.
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unheard(&self) -> MutexGuard<'_, Option<Settings>> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn claimed(&self) -> MutexGuard<'_, HashMap<Handle, Standing>> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of_route(route: &Route) -> (RouteName, OfRoute) {
    let of_route = OfRoute {
        counts: route.counts.clone(),
        oldest_queued: route.oldest_queued().map(|it| it.millis()),
        waiting: route.waiting(),
    };
    (route.name.clone(), of_route)
}
