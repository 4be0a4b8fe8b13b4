//! A route that does nothing, for the tests of others.

use std::sync::Arc;
use std::time::Duration;

use super::held::Held;
use super::paths::Paths;
use super::{Route, Routes};
use crate::batcher::{Batcher, Settings};
use crate::engine::circuit::Circuit;
use crate::job::RouteName;
use crate::observe::{Bounds, Observer};
use crate::shape::{Limits, Shape};

/// A route of this name, which drops what it is given.
pub(crate) fn route(name: &str) -> Route {
    let bounds = Bounds {
        max_size: 1,
        max_bytes: 1,
    };
    Route {
        name: name.parse::<RouteName>().unwrap(),
        shape: Arc::clone(Shape::jobs()),
        limits: Limits {
            max_depth: 1,
            max_items: 1,
            max_bytes: 1,
        },
        target: "http://localhost/".parse().unwrap(),
        forward_headers: Box::default(),
        batcher: Batcher::with_batches(Settings::default(), async |_| ()),
        circuit: Arc::new(Circuit::new(0, Duration::ZERO)),
        observer: Arc::new(Observer::new(bounds)),
        described: Arc::default(),
        idempotent: false,
        alone: None,
        held: Held::default(),
    }
}

/// The route `jobs` alone, at `/jobs`.
pub(crate) fn jobs() -> Routes {
    let mut paths = Paths::default();
    paths.add(super::JOBS, 0).unwrap();
    Routes::new([route("jobs")], paths)
}

#[tokio::test]
async fn what_is_a_job_and_nothing_else_needs_no_table() {
    let at = |path: &str, change: fn(&mut Route)| {
        let mut paths = Paths::default();
        paths.add("/other", 0).unwrap();
        paths.add(path, 1).unwrap();
        let mut routes = [route("other"), route("jobs")];
        change(&mut routes[1]);
        Routes::new(routes, paths).plain_jobs()
    };
    assert_eq!(jobs().plain_jobs(), Some(0));
    assert_eq!(at("/jobs", |_| ()), Some(1));
    assert_eq!(at("/{any}", |_| ()), None);
    let changes: [fn(&mut Route); 3] = [
        |it| it.name = "another".parse().unwrap(),
        |it| it.forward_headers = Box::new([http::header::AUTHORIZATION]),
        |it| it.shape = shape("call = 'item'"),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        assert_eq!(at("/jobs", change), None, "{n}");
    }
}

fn shape(keys: &str) -> Arc<Shape> {
    Arc::new(Shape::compile(&toml::from_str(keys).unwrap(), &[]).unwrap())
}
