//! The layer of the environment: `MICROBATCH_BATCH__MAX_SIZE=64`.
//!
//! Only a variable that names one of our sections is ours. Kubernetes sets
//! `MICROBATCH_SERVICE_HOST` and the like for a service called `microbatch`. One that is a key of
//! ours with one underscore too few is not read either, but told of.

use std::ffi::{OsStr, OsString};

use super::kind::Raw;
use super::mistake::{Mistake, Origin};
use super::schema::{Draft, SECTIONS, keys};
use super::suggest::unknown_key;
use super::table::KeyInfo;

/// Names the configuration file where no `--config` does.
pub(crate) const FILE: &str = "MICROBATCH_CONFIG";

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
        near.sort_by_key(|(_, key)| key.env);
        Environment { ours, near }
    }

    /// What is not read, though it was surely meant to be.
    pub(crate) fn doubtful(&self) -> impl Iterator<Item = String> + '_ {
        self.near.iter().map(|(name, key)| not_read(name, key))
    }

    /// The same of one key.
    pub(crate) fn doubtful_of(&self, key: &str) -> Option<String> {
        let mut near = self.near.iter();
        let (name, key) = near.find(|(_, near)| near.key == key)?;
        Some(not_read(name, key))
    }

    /// The file that [`FILE`] names.
    pub(crate) fn file(&self) -> Option<&OsStr> {
        let named = self.ours.iter().find(|(name, _)| name == FILE);
        named.map(|(_, value)| value.as_os_str())
    }

    /// Lays the variables over the draft.
    pub(crate) fn lay(&self, draft: &mut Draft, mistakes: &mut Vec<Mistake>) {
        for (name, value) in &self.ours {
            let Some((section, key)) = parts(name) else {
                continue;
            };
            let origin = Origin::Env(name.to_string_lossy().into_owned());
            let mut wrong = |key: String, what: String| {
                let origin = Some(origin.clone());
                mistakes.push(Mistake { origin, key, what });
            };
            let Some(known) = keys().iter().find(|known| name == known.env) else {
                let key = key.to_lowercase();
                let what = unknown_key(&section, &key, |key| key.env.to_owned());
                wrong(format!("{section}.{key}"), what);
                continue;
            };
            let Some(text) = value.to_str() else {
                wrong(known.key.to_owned(), "the value is not UTF-8".to_owned());
                continue;
            };
            let read = draft.read(known, Raw::Text(text), origin.clone());
            for part in read.err().into_iter().flat_map(|wrong| wrong.0) {
                let member = part.member.map(|(name, _)| format!(".{name}"));
                let key = format!("{}{}", known.key, member.unwrap_or_default());
                wrong(key, part.what);
            }
        }
    }
}

fn not_read(name: &OsStr, key: &KeyInfo) -> String {
    let (name, env) = (name.display(), key.env);
    format!("{name} is not read: did you mean {env}, with two underscores?")
}

/// The section and the key of `MICROBATCH_<SECTION>__<KEY>`, where the section is one of ours.
fn parts(name: &OsStr) -> Option<(String, String)> {
    let name = name.to_string_lossy();
    let (section, key) = name.strip_prefix(PREFIX)?.split_once("__")?;
    let ours = SECTIONS
        .iter()
        .find(|ours| ours.to_uppercase() == section)?;
    Some(((*ours).to_owned(), key.to_owned()))
}

/// The key whose variable this would be with one underscore more.
fn meant(name: &OsStr) -> Option<&'static KeyInfo> {
    let slip = |key: &&KeyInfo| name == key.env.replace("__", "_").as_str();
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
        let doubtful: Vec<_> = Environment::new(variables).doubtful().collect();
        let expected = [
            "MICROBATCH_BATCH_MAX_SIZE is not read: did you mean MICROBATCH_BATCH__MAX_SIZE, with two underscores?",
            "MICROBATCH_UPSTREAM_URL is not read: did you mean MICROBATCH_UPSTREAM__URL, with two underscores?",
        ];
        assert_eq!(doubtful, expected);
    }
}
