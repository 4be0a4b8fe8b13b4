//! Which route is tried, and at which path.

use http::Uri;
use thiserror::Error;

use crate::config::settings::Route;
use crate::route::paths::Paths;

/// A route, and a path that is its.
#[derive(Debug)]
pub(super) struct Chosen {
    /// Its number.
    pub number: usize,
    /// The path with its query.
    pub uri: Uri,
    /// The names of what the path captures.
    pub names: Vec<String>,
    /// What they stand for, percent-encoded as it came.
    pub captures: Box<[Box<str>]>,
}

/// Why there is nothing to try.
#[derive(Debug, Error)]
pub enum ChoiceError {
    /// No route at all.
    #[error("there is no route: give upstream.url, or [routes.NAME] with one of its own")]
    NoRoute,
    /// None of this name.
    #[error("there is no route {name}; {}", listed(.known))]
    Unknown {
        /// The name.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Nobody says which.
    #[error("which route? Say --route NAME; {}", listed(.0))]
    Several(Vec<String>),
    /// Its path is a pattern.
    #[error("the route {route} is at {pattern}: say --path with a path such as clients call")]
    Pattern {
        /// The route.
        route: String,
        /// Its path.
        pattern: String,
    },
    /// The path is not the route's.
    #[error("{path} is no path of the route {route}, which is at {pattern}")]
    Elsewhere {
        /// The path.
        path: String,
        /// The route.
        route: String,
        /// Its path.
        pattern: String,
    },
}

fn listed(names: &[String]) -> String {
    format!("there are {}", names.join(", "))
}

impl Chosen {
    /// The route of this name, or the only one, and the path, or the only one that it has.
    ///
    /// # Errors
    /// [`ChoiceError`].
    pub fn of(
        routes: &[Route],
        name: Option<&str>,
        path: Option<&str>,
    ) -> Result<Self, ChoiceError> {
        let names = || routes.iter().map(|it| it.name.to_string()).collect();
        let number = match (name, routes) {
            (_, []) => return Err(ChoiceError::NoRoute),
            (Some(name), _) => {
                let found = routes.iter().position(|it| it.name.as_str() == name);
                found.ok_or_else(|| ChoiceError::Unknown {
                    name: name.to_owned(),
                    known: names(),
                })?
            }
            (None, [_]) => 0,
            (None, _) => return Err(ChoiceError::Several(names())),
        };
        let (route, pattern) = (routes[number].name.to_string(), &routes[number].path);
        if path.is_none() && pattern.contains('{') {
            let pattern = pattern.clone();
            return Err(ChoiceError::Pattern { route, pattern });
        }
        let path = path.unwrap_or(pattern);
        let elsewhere = || ChoiceError::Elsewhere {
            path: path.to_owned(),
            route: route.clone(),
            pattern: pattern.clone(),
        };
        let uri: Uri = path.parse().map_err(|_| elsewhere())?;
        let mut paths = Paths::default();
        // The settings have found no fault with any.
        let names = routes.iter().enumerate();
        let names = names.map(|(at, route)| paths.add(&route.path, at).unwrap_or_default());
        let names = names.collect::<Vec<_>>().swap_remove(number);
        let found = paths.at(uri.path());
        let found = found.filter(|it| it.route == number && !it.walks());
        let found = found.ok_or_else(elsewhere)?;
        let captures = found.captures.into_iter().map(Box::from).collect();
        Ok(Self {
            number,
            names,
            captures,
            uri,
        })
    }
}
