//! A route: a path with a shape, a batcher, an engine and an upstream of its own; and the
//! table of all.
//!
//! `app` makes them from the settings, and `http` finds a request's. Routes have nothing in
//! common but what is handed to several: no batch, no slot, no budget.
//!
//! | file | what it is |
//! |---|---|
//! | [`held`] | that somebody may still use one |
//! | [`paths`] | patterns to routes: what conflicts, and which one a path is |

pub mod held;
pub mod paths;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use http::HeaderName;
use tokio::time::Instant;

use self::held::Held;
use self::paths::{Found, Paths};
use crate::batcher::Batcher;
use crate::code::Code;
use crate::engine::circuit::Circuit;
use crate::engine::outcome::JobResult;
use crate::forward::Forwarder;
use crate::job::{Job, RouteName};
use crate::observe::spans::Described;
use crate::observe::{Event, Observer};
use crate::shape::{Limits, Shape};
use crate::upstream::Target;

/// Where jobs are posted, unless a route has a path of its own.
pub const JOBS: &str = "/jobs";

/// One route. It never changes.
#[derive(Debug)]
pub struct Route {
    /// What it is called, in labels, lines and settings.
    pub name: RouteName,
    /// How calls become a batch, and its answer replies.
    pub shape: Arc<Shape>,
    /// What may be merged.
    pub limits: Limits,
    /// Where its batches go.
    pub target: Target,
    /// The headers of callers that travel with a batch.
    pub forward_headers: Box<[HeaderName]>,
    /// Where its jobs wait.
    pub batcher: Batcher<Job, JobResult>,
    /// Whether its upstream is worth asking.
    pub circuit: Arc<Circuit>,
    /// Who is told what happens on it.
    pub observer: Arc<Observer>,
    /// What its spans have in common.
    pub described: Arc<Described>,
    /// Whether doing a job twice does no harm.
    pub idempotent: bool,
    /// Where calls go by themselves that are not merged; none where there are no such calls.
    pub alone: Option<Forwarder>,
    /// Whoever may still call it has this.
    pub held: Held,
}

impl Route {
    /// Whether a call of it is a job of the route `jobs` and its body alone, of which
    /// nothing else travels: what most are.
    fn is_plain(&self) -> bool {
        self.name.is_jobs() && !self.shape.lets_alone() && self.forward_headers.is_empty()
    }

    /// Whether the query of a call travels with its batch. The route `jobs` ignores it.
    pub fn carries_query(&self) -> bool {
        !self.name.is_jobs()
    }

    /// Tells that a request was refused.
    pub fn refused(&self, code: Code) {
        let batcher = self.batcher.observe();
        self.observer.tell(Event::Refused { code, batcher });
    }

    /// Tells what a job that arrived then came to.
    pub fn answered(&self, outcome: Code, arrived: Instant) {
        let after = arrived.elapsed();
        self.observer.tell(Event::Answered { outcome, after });
    }
}

/// All routes, at least one. Clones share them.
#[derive(Clone, Debug)]
pub struct Routes(Arc<Table>);

#[derive(Debug)]
struct Table {
    routes: Box<[Arc<Route>]>,
    paths: Paths,
    jobs: Option<usize>,
}

impl Routes {
    /// These routes, each at the pattern of `paths` with its number.
    pub fn new(routes: impl IntoIterator<Item: Into<Arc<Route>>>, paths: Paths) -> Self {
        let routes: Box<[Arc<Route>]> = routes.into_iter().map(Into::into).collect();
        let jobs = paths.at(JOBS).filter(|found| found.captures.is_empty());
        let jobs = jobs.map(|found| found.route);
        Self(Arc::new(Table {
            jobs: jobs.filter(|&at| routes[at].is_plain()),
            routes,
            paths,
        }))
    }

    /// The pattern of the route of this number; empty where there is none.
    pub fn pattern(&self, route: usize) -> &str {
        self.0.paths.pattern(route).unwrap_or_default()
    }

    /// The number of the route that `POST /jobs` is of, where that takes jobs and nothing
    /// else of a request: those find it without a look at the table.
    pub fn plain_jobs(&self) -> Option<usize> {
        self.0.jobs
    }

    /// All of them, in the order of the settings.
    pub fn all(&self) -> &[Arc<Route>] {
        &self.0.routes
    }

    /// The first, with which is counted what comes to none.
    pub fn first(&self) -> &Arc<Route> {
        &self.0.routes[0]
    }

    /// The one of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Route>> {
        self.all().iter().find(|it| it.name.as_str() == name)
    }

    /// The one that a request's path is of.
    pub fn at<'a>(&self, path: &'a str) -> Option<Found<'a>> {
        self.0.paths.at(path)
    }
}
