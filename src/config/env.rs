//! The layer of the environment: `MICROBATCH_BATCH__MAX_SIZE=64`.
//!
//! Only a variable that names one of our sections is ours. Kubernetes sets
//! `MICROBATCH_SERVICE_HOST` and the like for a service called `microbatch`. One that is a key of
//! ours with one underscore too few is not read either, but told of.

use std::ffi::{OsStr, OsString};

use super::kind::Raw;
use super::layer::Layer;
use super::mistake::Origin;
use super::options::{KeyInfo, SECTIONS, keys};
use super::suggest::unknown_key;

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
            let Some((section, key)) = parts(name) else {
                continue;
            };
            let origin = Origin::Env(name.to_string_lossy().into_owned());
            let known = keys().iter().find(|known| *name == *known.env());
            match (known, value.to_str()) {
                (Some(known), Some(text)) => {
                    layer.read(known, Raw::Text(text), |_| origin.clone());
                }
                (Some(known), None) => layer.wrong(origin, known.key, "the value is not UTF-8"),
                (None, _) => {
                    let key = key.to_lowercase();
                    let what = unknown_key(section, &key, KeyInfo::env);
                    layer.wrong(origin, format!("{section}.{key}"), what);
                }
            }
        }
        layer
    }
}

/// The section and the key of `MICROBATCH_<SECTION>__<KEY>`, where the section is one of ours.
fn parts(name: &OsStr) -> Option<(&'static str, String)> {
    let name = name.to_string_lossy();
    let (section, key) = name.strip_prefix(PREFIX)?.split_once("__")?;
    let mut ours = SECTIONS.iter();
    let ours = ours.find(|ours| ours.to_uppercase() == section)?;
    Some((ours, key.to_owned()))
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
