//! A route: a path with a shape, a batcher, an engine and an upstream of its own; and the
//! table of all.
//!
//! `app` makes them from the settings, and `http` finds a request's. Routes have nothing in
//! common but what is handed to several: no batch, no slot, no budget.
//!
//! | file | what it is |
//! |---|---|
//! | [`paths`] | patterns to routes: what conflicts, and which one a path is |

pub mod paths;

use std::sync::Arc;

use http::HeaderName;

use self::paths::{Found, Paths};
use crate::batcher::Batcher;
use crate::engine::circuit::Circuit;
use crate::engine::outcome::JobResult;
use crate::job::{Job, RouteName};
use crate::observe::Observer;
use crate::shape::{Limits, Shape};

/// One route. It never changes.
#[derive(Debug)]
pub struct Route {
    /// What it is called, in labels, lines and settings.
    pub name: RouteName,
    /// How calls become a batch, and its answer replies.
    pub shape: Arc<Shape>,
    /// What may be merged.
    pub limits: Limits,
    /// The headers of callers that travel with a batch.
    pub forward_headers: Box<[HeaderName]>,
    /// Where its jobs wait.
    pub batcher: Batcher<Job, JobResult>,
    /// Whether its upstream is worth asking.
    pub circuit: Arc<Circuit>,
    /// Who is told what happens on it.
    pub observer: Arc<Observer>,
    /// Whether doing a job twice does no harm.
    pub idempotent: bool,
}

/// All routes, at least one. Clones share them.
#[derive(Clone, Debug)]
pub struct Routes(Arc<Table>);

#[derive(Debug)]
struct Table {
    routes: Box<[Arc<Route>]>,
    paths: Paths,
}

impl Routes {
    /// These routes, each at the pattern of `paths` with its number.
    pub fn new(routes: impl IntoIterator<Item = Route>, paths: Paths) -> Self {
        let routes = routes.into_iter().map(Arc::new).collect();
        Self(Arc::new(Table { routes, paths }))
    }

    /// All of them, in the order of the settings.
    pub fn all(&self) -> &[Arc<Route>] {
        &self.0.routes
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
