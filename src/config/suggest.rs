//! "Did you mean …?" for keys and sections that are not ours.

use super::mistake::full;
use super::nearest::nearest;
use super::options::{KeyInfo, known, sections};
use super::table::variable;
use crate::shape::Keys;

/// Where an unknown key stands: what there is, and how it is written there.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// The route it would be of; else it would be the top level's.
    pub route: Option<&'a str>,
    /// Whether it is a variable of the environment.
    pub is_variable: bool,
}

/// Keys that are written elsewhere: where, and how their values are.
const MOVED: [(&str, &str, &str); 2] = [
    (
        "upstream.results",
        "shape.results",
        "\"none\", or a pointer",
    ),
    (
        "upstream.job_error_status",
        "shape.error_status",
        "a status",
    ),
];

impl Scope<'_> {
    /// What is wrong with an unknown `section.name`: the nearest key, or what the section has.
    pub(crate) fn unknown_key(self, section: &str, name: &str) -> String {
        let spell = |key: &str| self.spell(key);
        let written = format!("{section}.{name}");
        if let Some((_, key, value)) = MOVED.iter().find(|(old, ..)| *old == written) {
            let key = spell(key);
            return format!("is said by the route's shape: {key}, {value}");
        }
        let here: Vec<(&str, String)> = match section {
            "shape" => Keys::names()
                .map(|name| (name, spell(&format!("shape.{name}"))))
                .collect(),
            _ => self
                .keys()
                .filter(|key| key.section() == section)
                .map(|key| (key.name(), spell(key.key)))
                .collect(),
        };
        let elsewhere = self.keys().find(|key| key.name() == name);
        let near = nearest(name, here.iter().map(|(name, key)| (*name, key.clone())));
        match near.or_else(|| Some(spell(elsewhere?.key))) {
            Some(key) => format!("unknown key; did you mean {key}?"),
            None => {
                let names: Vec<_> = here.into_iter().map(|(_, key)| key).collect();
                format!("unknown key; known are {}", names.join(", "))
            }
        }
    }

    /// What is wrong with an unknown `name` that stands where sections do: the nearest one, a key of
    /// that name in some section, or what sections there are.
    pub(crate) fn unknown_section(self, name: &str) -> String {
        if self.route.is_some() && sections(false).any(|section| section == name) {
            return format!(
                "is the whole proxy's, and no route has one of its own: {name} stands \
                            at the top level"
            );
        }
        if self.route.is_none() && name == "path" {
            return "is a route's, in [routes.NAME]; that of the top level's route is /jobs".into();
        }
        let others: &[_] = if self.route.is_none() {
            &["routes"]
        } else {
            &[]
        };
        let all = sections(self.route.is_some());
        let all = all.chain(["shape"]).chain(others.iter().copied());
        let spelled = |section| match self.is_variable {
            true => self.spell(&format!("{section}.…")),
            false => format!("[{}]", full(self.route, section)),
        };
        if let Some(section) = nearest(name, all.clone().map(|it| (it, it))) {
            return format!("unknown section; did you mean {}?", spelled(section));
        }
        match nearest(name, self.keys().map(|key| (key.name(), key))) {
            Some(key) => format!("unknown section; did you mean {}?", self.spell(key.key)),
            None => {
                let alone = self.keys().filter(|key| key.section().is_empty());
                let all: Vec<_> = alone.map(KeyInfo::name).chain(all).collect();
                format!("unknown section; known are {}", all.join(", "))
            }
        }
    }

    fn keys(self) -> impl Iterator<Item = &'static KeyInfo> {
        known(self.route.is_some())
    }

    fn spell(self, key: &str) -> String {
        let key = full(self.route, key);
        match self.is_variable {
            true => variable(&key),
            false => key,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOP: Scope<'_> = Scope {
        route: None,
        is_variable: false,
    };

    #[test]
    fn a_near_key_is_offered_and_a_far_one_is_not() {
        for (section, name, expected) in [
            (
                "batch",
                "max_siz",
                "unknown key; did you mean batch.max_size?",
            ),
            (
                "batch",
                "max-size",
                "unknown key; did you mean batch.max_size?",
            ),
            (
                "batch",
                "MAX_SIZE",
                "unknown key; did you mean batch.max_size?",
            ),
            ("batch", "wiat", "unknown key; did you mean batch.wait?"),
            (
                "batch",
                "max_jobs",
                "unknown key; did you mean queue.max_jobs?",
            ),
            (
                "batch",
                "timeout",
                "unknown key; did you mean upstream.timeout?",
            ),
            (
                "server",
                "tls.crt",
                "unknown key; did you mean server.tls.cert?",
            ),
            (
                "admin",
                "colour",
                "unknown key; known are admin.listen, admin.hosts, admin.socket_mode, admin.tls.cert, \
                 admin.tls.key, admin.tls.client_ca, admin.auth.tokens",
            ),
        ] {
            assert_eq!(TOP.unknown_key(section, name), expected);
        }
    }

    #[test]
    fn a_near_section_is_offered_and_a_key_without_its_section() {
        for (name, expected) in [
            ("bacth", "unknown section; did you mean [batch]?"),
            ("Server", "unknown section; did you mean [server]?"),
            ("max_size", "unknown section; did you mean batch.max_size?"),
            (
                "zebra",
                "unknown section; known are forward_headers, server, admin, batch, queue, upstream, passthrough, later, retry, circuit, shutdown, log, telemetry, shape, routes",
            ),
        ] {
            assert_eq!(TOP.unknown_section(name), expected);
        }
    }
}
