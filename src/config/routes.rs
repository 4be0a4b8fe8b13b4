//! The routes that the options come to, and what is wrong with them as a set.

use super::mistake::{Mistake, Origin, full};
use super::options::Options;
use crate::job::RouteName;
use crate::route::paths::{PathError, Paths};
use crate::upstream::Target;

/// The most routes that there may be.
const MOST: usize = 64;

/// The path of the route of the top level.
pub(crate) const JOBS_PATH: &str = "/jobs";

/// A route as it is set.
pub(crate) struct RouteOf {
    pub name: RouteName,
    /// All options as the route has them, inherited ones included.
    pub options: Options,
    /// Its own part of them, unless it is the top level's.
    pub own: Option<Options>,
}

/// Every route: that of the top level, if that says where to call, and the others by name. One whose
/// name is none is left out, since that is told where it is read.
pub(crate) fn all(options: &Options) -> Vec<RouteOf> {
    let jobs = options.route.upstream.url.origin();
    let jobs = jobs.map(|_| RouteOf::jobs(options));
    let others = options.routes.iter().filter_map(|(name, own)| {
        let name: RouteName = name.parse().ok()?;
        (name != RouteName::jobs()).then(|| RouteOf {
            name,
            options: options.of_route(own),
            own: Some(own.clone()),
        })
    });
    jobs.into_iter().chain(others).collect()
}

impl RouteOf {
    /// That of the top level.
    pub(crate) fn jobs(options: &Options) -> Self {
        Self {
            name: RouteName::jobs(),
            options: options.clone(),
            own: None,
        }
    }

    /// What it is called in keys; nothing for the top level's.
    pub(crate) fn key(&self) -> Option<&str> {
        self.own.as_ref().map(|_| self.name.as_str())
    }

    /// The path that it answers to.
    pub(crate) fn path(&self) -> Option<String> {
        match self.own {
            None => Some(JOBS_PATH.to_owned()),
            Some(_) => self.options.route.own.path.get(),
        }
    }
}

/// What is wrong with each route and between them. Where a part of the file is `lost`, what seems to
/// be missing may stand there.
pub(crate) fn refused(routes: &[RouteOf], lost: bool) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let mut wrong = |origin: Option<&Origin>, key: String, what: String| {
        let origin = origin.cloned();
        mistakes.push(Mistake { origin, key, what });
    };
    if routes.len() > MOST {
        let what = format!("there are {}, and at most {MOST} may be", routes.len());
        wrong(None, "routes".to_owned(), what);
    }
    let mut paths = Paths::default();
    for (number, route) in routes.iter().enumerate() {
        let (key, place) = (route.key(), route.options.route.place.as_ref());
        let (own, upstream) = (&route.options.route.own, &route.options.route.upstream);
        if route.own.is_some() && !lost {
            if own.path.origin().is_none() {
                let what = "is required: the path that callers post to, such as \
                            \"/v1/models/{model}\"";
                wrong(place, full(key, "path"), what.to_owned());
            }
            if upstream.url.origin().is_none() {
                let what = "is required: no route inherits where another one calls";
                wrong(place, full(key, "upstream.url"), what.to_owned());
            }
        }
        let Some(path) = route.path() else {
            continue;
        };
        let captures = match paths.add(&path, number) {
            Ok(captures) => captures,
            Err(error) => {
                let what = told(&error, &routes[..number]);
                wrong(own.path.origin(), full(key, "path"), what);
                continue;
            }
        };
        let captures: Vec<&str> = captures.iter().map(String::as_str).collect();
        for (name, url) in [("url", &upstream.url), ("alone_url", &upstream.alone_url)] {
            let target = url.get().map(|it| Target::compile(it, &captures));
            if let Some(Err(error)) = target {
                let key = full(key, &format!("upstream.{name}"));
                wrong(url.origin(), key, error.to_string());
            }
        }
        if let Err(unfit) = route.options.route.shape.compile(&captures) {
            for (origin, part, what) in unfit {
                let part = full(key, &format!("shape.{part}"));
                wrong(origin.as_ref(), part, what);
            }
        }
    }
    mistakes
}

/// What is wrong with where requests go that are no route's: nothing is captured there.
pub(crate) fn refused_passthrough(options: &Options) -> Option<Mistake> {
    let url = &options.passthrough.url;
    let error = Target::compile(url.get()?, &[""; 0]).err()?;
    Some(Mistake {
        origin: url.origin().cloned(),
        key: "passthrough.url".to_owned(),
        what: error.to_string(),
    })
}

/// What is wrong with a path, beside those of the routes before it.
fn told(error: &PathError, before: &[RouteOf]) -> String {
    let PathError::Conflict { with } = error else {
        return error.to_string();
    };
    let other = before.iter().find(|it| it.path().as_ref() == Some(with));
    let name = other.map_or("another", |it| it.name.as_str());
    format!("would match what {with} does, the path of the route {name}")
}

/// What works, but cannot be what was meant, of a route.
pub(crate) fn doubtful(route: &RouteOf) -> Vec<String> {
    let key = |name| full(route.key(), name);
    let (own, upstream) = (&route.options.route.own, &route.options.route.upstream);
    let mut told = Vec::new();
    if let (Some(from), Some(true)) = (
        upstream.alone_url.origin(),
        route.options.route.shape.takes_jobs(),
    ) {
        let key = key("upstream.alone_url");
        told.push(format!(
            "{key} ({from}) is not used: jobs are refused rather than sent alone"
        ));
    }
    let headers = upstream.headers.get().unwrap_or_default();
    let names = own.forward_headers.get().unwrap_or_default();
    if let Some((name, from)) = names
        .iter()
        .find(|name| headers.contains_key(*name))
        .zip(own.forward_headers.origin())
    {
        let (key, wins) = (key("forward_headers"), key("upstream.headers"));
        told.push(format!(
            "{key} ({from}) has {name}, which {wins} has too: that is sent in place of a caller's"
        ));
    }
    told
}

/// What the top level says of the route `jobs` alone, where there is no such route.
pub(crate) fn unused(options: &Options) -> Vec<String> {
    let (route, tls) = (&options.route, &options.route.upstream_tls);
    if route.upstream.url.origin().is_some() || options.routes.is_empty() {
        return Vec::new();
    }
    let given = [
        ("shape", route.shape.place()),
        ("forward_headers", route.own.forward_headers.origin()),
        ("upstream.alone_url", route.upstream.alone_url.origin()),
        ("upstream.headers", route.upstream.headers.origin()),
        ("upstream.tls.ca", tls.ca.origin()),
        ("upstream.tls.cert", tls.cert.origin()),
        ("upstream.tls.key", tls.key.origin()),
        ("upstream.tls.server_name", tls.server_name.origin()),
    ];
    let given = given.into_iter().filter_map(|(key, from)| {
        let from = from.filter(|it| **it != Origin::Default)?;
        Some(format!(
            "{key} ({from}) is not used: without upstream.url there is no route jobs, and no other \
             inherits it"
        ))
    });
    given.collect()
}
