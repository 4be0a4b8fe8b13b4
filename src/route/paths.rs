//! The patterns of routes' paths, as axum has them: `/a/{name}/b`, and `/a/{*rest}` for all
//! that follows.
//!
//! Pure. The settings are checked by it, and requests find their route by it.

use matchit::{InsertError, Router};
use thiserror::Error;

use crate::upstream;

/// Patterns, each with its route's number.
#[derive(Clone, Debug, Default)]
pub struct Paths {
    router: Router<usize>,
    patterns: Vec<(usize, String)>,
}

/// Why a pattern can't be a route's.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PathError {
    /// It does not begin with a slash.
    #[error("a path is absolute: it begins with /")]
    NotAbsolute,
    /// It is one of the proxy's own.
    #[error("{0} is a path of the proxy itself")]
    Ours(&'static str),
    /// It would match what another one matches.
    #[error("would match what the path {with} of another route does")]
    Conflict {
        /// The other one.
        with: String,
    },
    /// It is no pattern.
    #[error(
        "{0}; a placeholder ends its segment, such as {{model}}, or the path, such as {{*rest}}"
    )]
    Pattern(String),
}

/// The route of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// Its number.
    pub route: usize,
    /// What the pattern's placeholders stand for, percent-encoded as it came, in their
    /// order.
    pub captures: Vec<&'a str>,
}

impl Found<'_> {
    /// Whether something captured would walk up the paths of whoever it is filled in for.
    pub fn walks(&self) -> bool {
        self.captures.iter().any(|it| upstream::walks(it))
    }
}

impl Paths {
    /// Adds the pattern of a route, and gives the names of its placeholders in their order.
    ///
    /// # Errors
    /// Why it can't be one.
    pub fn add(&mut self, pattern: &str, route: usize) -> Result<Vec<String>, PathError> {
        if !pattern.starts_with('/') {
            return Err(PathError::NotAbsolute);
        }
        if let Some(ours) = ours(pattern) {
            return Err(PathError::Ours(ours));
        }
        match self.router.insert(pattern, route) {
            Ok(()) => {
                self.patterns.push((route, pattern.to_owned()));
                Ok(names(pattern))
            }
            Err(InsertError::Conflict { with }) => Err(PathError::Conflict { with }),
            Err(error) => Err(PathError::Pattern(error.to_string())),
        }
    }

    /// The pattern that was added for this route.
    pub fn pattern(&self, route: usize) -> Option<&str> {
        let mut all = self.patterns.iter();
        let found = all.find(|(number, _)| *number == route);
        found.map(|(_, pattern)| &**pattern)
    }

    /// The route that the path is of.
    pub fn at<'a>(&self, path: &'a str) -> Option<Found<'a>> {
        let found = self.router.at(path).ok()?;
        Some(Found {
            route: *found.value,
            captures: found.params.iter().map(|(_, value)| value).collect(),
        })
    }
}

fn ours(pattern: &str) -> Option<&'static str> {
    let below = |own: &str| pattern.starts_with(own);
    match pattern {
        "/healthz" => Some("/healthz"),
        "/openapi.json" => Some("/openapi.json"),
        _ if below("/jobs/") => Some("/jobs/…"),
        _ if below("/streams/") => Some("/streams/…"),
        _ => None,
    }
}

/// The names of a pattern that was taken: `{{` and `}}` in it are braces themselves.
fn names(pattern: &str) -> Vec<String> {
    let pattern = pattern.replace("{{", "").replace("}}", "");
    let placeholders = pattern.split('{').skip(1);
    let names = placeholders.filter_map(|it| it.split_once('}'));
    names
        .map(|(name, _)| name.trim_start_matches('*').to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_taken_or_told_why_not() {
        let mut paths = Paths::default();
        for (pattern, expected) in [
            ("/jobs", Ok(&[][..])),
            ("/v1/models/{model}", Ok(&["model"])),
            ("/{index}/_doc/{*id}", Ok(&["index", "id"])),
            ("/a-{{{b}/c-{d}", Ok(&["b", "d"])),
            ("v1", Err(PathError::NotAbsolute)),
            ("/healthz", Err(PathError::Ours("/healthz"))),
            ("/openapi.json", Err(PathError::Ours("/openapi.json"))),
            ("/jobs/{a}", Err(PathError::Ours("/jobs/…"))),
            ("/streams/a", Err(PathError::Ours("/streams/…"))),
            (
                "/v1/models/{other}",
                Err(PathError::Conflict {
                    with: "/v1/models/{model}".to_owned(),
                }),
            ),
        ] {
            let found = paths.add(pattern, 0);
            let names: Result<Vec<&str>, _> = match &found {
                Ok(names) => Ok(names.iter().map(String::as_str).collect()),
                Err(error) => Err(error.clone()),
            };
            assert_eq!(names, expected.map(<[&str]>::to_vec), "{pattern}");
        }
        for pattern in ["/a{b}c", "/{", "/{}", "/{*a}/b"] {
            let found = Paths::default().add(pattern, 0);
            assert!(
                matches!(found, Err(PathError::Pattern(_))),
                "{pattern}: {found:?}"
            );
        }
    }

    #[test]
    fn a_path_finds_its_route_and_what_it_captures() {
        let mut paths = Paths::default();
        paths.add("/v1/models/{model}", 3).unwrap();
        paths.add("/{index}/_doc", 4).unwrap();
        let found = paths.at("/v1/models/m%20n:predict");
        let expected = Found {
            route: 3,
            captures: vec!["m%20n:predict"],
        };
        assert_eq!(found, Some(expected));
        assert_eq!(paths.at("/a/_doc").map(|it| it.route), Some(4));
        assert_eq!(paths.at("/v1/models/"), None);
    }
}
