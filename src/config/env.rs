//! The layer of the environment: `MICROBATCH_BATCH__MAX_SIZE=64`.
//!
//! Only a variable that names one of our sections is ours. Kubernetes sets
//! `MICROBATCH_SERVICE_HOST` and the like for a service called `microbatch`. One that is a key of
//! ours with one underscore too few is not read either, but told of.

use std::ffi::{OsStr, OsString};

use super::kind::Raw;
use super::layer::Layer;
use super::mistake::{Origin, full};
use super::options::{KeyInfo, keys, known, sections};
use super::suggest::Scope;
use super::table::variable;

/// Names the configuration file where no `--config` does.
const FILE: &str = "MICROBATCH_CONFIG";

const PREFIX: &str = "MICROBATCH_";

/// What the environment has of ours.
pub(crate) struct Environment {
    /// The variables that are ours, by name.
    ours: Vec<(OsString, OsString)>,
    /// The variables that only seem to be, with the keys that may be meant.
    near: Vec<(OsString, &'static KeyInfo)>,
}

impl Environment {
    pub(crate) fn new(variables: impl Iterator<Item = (OsString, OsString)>) -> Self {
        let (mut ours, mut near) = (Vec::new(), Vec::new());
        for (name, value) in variables {
            if name == FILE || parts(&name).is_some() {
                ours.push((name, value));
            } else if let Some(key) = meant(&name) {
                near.push((name, key));
            }
        }
        ours.sort();
        near.sort_by_key(|(_, key)| key.env());
        Environment { ours, near }
    }

    /// What is not read, though it was surely meant to be, with the key that is.
    pub(crate) fn doubtful(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        self.near.iter().map(|(name, key)| {
            let (name, env) = (name.display(), key.env());
            let what = format!("{name} is not read: did you mean {env}, with two underscores?");
            (key.key, what)
        })
    }

    /// The file that [`FILE`] names.
    pub(crate) fn file(&self) -> Option<&OsStr> {
        let named = self.ours.iter().find(|(name, _)| name == FILE);
        named.map(|(_, value)| value.as_os_str())
    }

    /// What the variables give.
    pub(crate) fn read(&self) -> Layer {
        let mut layer = Layer::default();
        for (name, value) in &self.ours {
            let Some(place) = parts(name) else {
                continue;
            };
            let origin = Origin::Env(name.to_string_lossy().into_owned());
            let route = place.route.as_deref();
            if let Some(name) = route {
                layer.route(name, origin.clone());
            }
            let key = full(route, &place.key);
            let Some(text) = value.to_str() else {
                layer.wrong(origin, key, "the value is not UTF-8");
                continue;
            };
            let is_known = *name == *variable(&key)
                && read(&mut layer, route, &place.key, text, origin.clone());
            if !is_known {
                layer.wrong(origin, key, place.unknown());
            }
        }
        layer
    }
}

/// Reads the value of a key, if there is such a one.
fn read(layer: &mut Layer, route: Option<&str>, key: &str, text: &str, from: Origin) -> bool {
    let raw = Raw::Text(text);
    match key.split_once('.') {
        _ if key == "shape" => layer.read_shape(route, None, raw, from),
        Some(("shape", key)) => layer.read_shape(route, Some(key), raw, from),
        _ => match known(route.is_some()).find(|known| known.key == key) {
            Some(known) => {
                layer.read(route, known, raw, |_| from.clone());
                true
            }
            None => false,
        },
    }
}

/// What a variable names.
struct Place {
    route: Option<String>,
    /// `batch.max_size`, whether or not there is such a key.
    key: String,
}

impl Place {
    fn unknown(&self) -> String {
        let scope = Scope {
            route: self.route.as_deref(),
            is_variable: true,
        };
        match self.key.split_once('.') {
            Some((section, key)) if is_section(scope.route, section) => {
                scope.unknown_key(section, key)
            }
            Some((name, _)) => scope.unknown_section(name),
            None if self.key.is_empty() => "names a route, and nothing of it".to_owned(),
            None => scope.unknown_section(&self.key),
        }
    }
}

/// What of ours `MICROBATCH_<SECTION>__<KEY>` and `MICROBATCH_ROUTES__<NAME>__<SECTION>__<KEY>` name,
/// where the section is one of ours; and what `MICROBATCH_<KEY>` does, which is in no section.
fn parts(name: &OsStr) -> Option<Place> {
    let name = name.to_string_lossy();
    let rest = name.strip_prefix(PREFIX)?;
    if let Some(rest) = rest.strip_prefix("ROUTES__") {
        return Some(of_route(rest));
    }
    let key = match rest.split_once("__") {
        Some((section, key)) => {
            let small = section.to_lowercase();
            let ours = is_section(None, &small) && small.to_uppercase() == section;
            ours.then(|| format!("{small}.{}", key.to_lowercase().replace("__", ".")))
        }
        None => {
            let small = rest.to_lowercase();
            let ours = is_alone(None, &small) && small.to_uppercase() == rest;
            ours.then_some(small)
        }
    };
    Some(Place {
        route: None,
        key: key?,
    })
}

/// What `<NAME>__<SECTION>__<KEY>` or `<NAME>__<KEY>` names. A route's name may have two underscores
/// itself, so it ends where a section or a key that there is begins.
fn of_route(rest: &str) -> Place {
    let rest = rest.to_lowercase();
    let splits = rest.match_indices("__");
    let splits = splits.map(|(at, _)| (&rest[..at], &rest[at + 2..]));
    let begins = |key: &str| match key.split_once("__") {
        Some((section, _)) => is_section(Some(""), section),
        None => is_alone(Some(""), key),
    };
    let known = splits.clone().find(|(_, key)| begins(key));
    let (name, key) = known
        .or_else(|| splits.clone().next())
        .unwrap_or((&rest, ""));
    Place {
        route: Some(name.to_owned()),
        key: key.replace("__", "."),
    }
}

fn is_section(route: Option<&str>, name: &str) -> bool {
    name == "shape" || sections(route.is_some()).any(|section| section == name)
}

/// Whether a key of that name is in no section.
fn is_alone(route: Option<&str>, name: &str) -> bool {
    name == "shape" || known(route.is_some()).any(|key| key.key == name)
}

/// The key whose variable this would be with one underscore more.
fn meant(name: &OsStr) -> Option<&'static KeyInfo> {
    let slip = |key: &&KeyInfo| *name == *key.env().replace("__", "_");
    keys().iter().find(slip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_variables_of_our_sections_are_ours() {
        for (name, ours) in [
            ("MICROBATCH_BATCH__MAX_SIZE", true),
            ("MICROBATCH_BATCH__ANYTHING", true),
            ("MICROBATCH_BATCH__", true),
            ("MICROBATCH_SERVICE_HOST", false),
            ("MICROBATCH_SERVER_PORT_80_TCP", false),
            ("MICROBATCH_BATCH_MAX_SIZE", false),
            ("MICROBATCH_batch__MAX_SIZE", false),
            ("MICROBATCH_OTHER__KEY", false),
            ("BATCH__MAX_SIZE", false),
            ("microbatch_BATCH__MAX_SIZE", false),
        ] {
            assert_eq!(parts(OsStr::new(name)).is_some(), ours, "{name}");
        }
    }

    #[test]
    fn one_underscore_too_few_is_told_of() {
        let names = [
            "MICROBATCH_UPSTREAM_URL",
            "MICROBATCH_BATCH_MAX_SIZE",
            "MICROBATCH_BATCH__MAX_SIZE",
            "MICROBATCH_SERVICE_HOST",
            "MICROBATCH_SERVER_PORT_80_TCP",
            "MICROBATCH_BATCH_MAX__SIZE",
        ];
        let variables = names.iter().map(|name| ((*name).into(), "s3cret".into()));
        let environment = Environment::new(variables);
        let doubtful: Vec<_> = environment.doubtful().map(|(_, what)| what).collect();
        let expected = [
            "MICROBATCH_BATCH_MAX_SIZE is not read: did you mean MICROBATCH_BATCH__MAX_SIZE, with two underscores?",
            "MICROBATCH_UPSTREAM_URL is not read: did you mean MICROBATCH_UPSTREAM__URL, with two underscores?",
        ];
        assert_eq!(doubtful, expected);
    }
}
