//! What differs from the options in force, and what of that can't change while they are.
//!
//! `app` loads the configuration again, and has it say what has changed. Values are compared as
//! they are and not as they are printed, so that a changed secret is a change, and what is told
//! of it is redacted.

use std::collections::BTreeSet;

use serde::Serialize;

use super::mistake::full;
use super::options::{KeyInfo, Options, keys};
use super::routes::{self, RouteOf};
use super::shape::ShapeOptions;

/// What can't change while the process runs: keys, and sections, which end in a dot.
const NEEDS_RESTART: &[&str] = &[
    "server.listen",
    "server.threads",
    "server.socket_mode",
    "admin.listen",
    "admin.socket_mode",
    "later.store",
    "later.prefix",
    "later.lease",
    "later.timeout",
    "later.ca",
    "later.allow_volatile",
    "log.format",
    "telemetry.",
];

/// What no route is made of. Whatever is in neither list makes another route of it.
const OF_NO_ROUTE: &[&str] = &[
    "server.max_body",
    "server.idle_timeout",
    "server.write_timeout",
    "server.timing",
    "server.hosts",
    "server.tls.",
    "server.auth.",
    "server.max_connections",
    "server.max_buffered",
    "admin.",
    "later.max_jobs",
    "later.max_bytes",
    "later.keep",
    "later.job_timeout",
    "later.max_attempts",
    "log.level",
    "log.access",
    "passthrough.",
    "shutdown.",
];

fn is_in(key: &KeyInfo, list: &[&str]) -> bool {
    let within = |it: &&str| match it.ends_with('.') {
        true => key.key.starts_with(it),
        false => key.key == *it,
    };
    list.iter().any(within)
}

/// One setting that has changed, as TOML, secrets redacted. Without a value there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its key.
    pub key: String,
    /// What it was.
    pub old: Option<String>,
    /// What it is to be.
    pub new: Option<String>,
}

/// What becomes of routes, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RouteChanges {
    /// Those that there were not.
    pub added: Vec<String>,
    /// Those whose settings differ.
    pub changed: Vec<String>,
    /// Those that there are no longer.
    pub removed: Vec<String>,
}

/// What has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// The settings that differ and may.
    pub applied: Vec<Change>,
    /// What that makes of the routes.
    pub routes: RouteChanges,
    /// The settings that differ and stay as they are.
    pub needs_restart: Vec<Change>,
    /// Whether requests of no route are passed on in another way.
    #[serde(skip)]
    pub passthrough: bool,
}

impl Changes {
    /// Whether anything is applied.
    pub fn is_none(&self) -> bool {
        self.applied.is_empty() && self.routes == RouteChanges::default()
    }
}

/// Has what can't change while the process runs be as it is in `before`, and says what has
/// changed.
pub(super) fn follow(options: &mut Options, before: &Options) -> Changes {
    let mut changes = Changes::default();
    for key in keys().iter().filter(|key| is_in(key, NEEDS_RESTART)) {
        if let Some(change) = change(key, None, before, options) {
            changes.needs_restart.push(change);
            (key.keep)(options, before);
        }
    }
    let (old, new) = (before, &*options);
    let none = Options::default();
    changes.applied = of_keys(None, old, new);
    let names: BTreeSet<_> = old.routes.keys().chain(new.routes.keys()).collect();
    for name in names {
        let own = |it: &Options| it.routes.get(name).unwrap_or(&none).clone();
        let own = of_keys(Some(name), &own(old), &own(new));
        changes.applied.extend(own);
    }
    changes.routes = of_routes(&routes::all(old), &routes::all(new));
    let mut passthrough = keys().iter().filter(|key| key.section() == "passthrough");
    let same = passthrough.all(|key| (key.same)(old, new));
    changes.passthrough = !same || !makes_the_same(old, new);
    changes
}

fn of_routes(old: &[RouteOf], new: &[RouteOf]) -> RouteChanges {
    let mut changes = RouteChanges::default();
    let find = |all: &[RouteOf], it: &RouteOf| all.iter().position(|one| one.name == it.name);
    let name = |it: &RouteOf| it.name.as_str().to_owned();
    for it in new {
        match find(old, it) {
            None => changes.added.push(name(it)),
            Some(at) if !makes_the_same(&old[at].options, &it.options) => {
                changes.changed.push(name(it));
            }
            Some(_) => {}
        }
    }
    let gone = old.iter().filter(|it| find(new, it).is_none());
    changes.removed = gone.map(name).collect();
    changes
}

fn change(key: &KeyInfo, route: Option<&str>, old: &Options, new: &Options) -> Option<Change> {
    (!(key.same)(old, new)).then(|| Change {
        key: full(route, key.key),
        old: (key.printed)(old),
        new: (key.printed)(new),
    })
}

/// The keys that differ of the top level, or of what a route has of its own.
fn of_keys(route: Option<&str>, old: &Options, new: &Options) -> Vec<Change> {
    let differ = keys().iter().filter_map(|key| change(key, route, old, new));
    let mut differ: Vec<_> = differ.collect();
    let (old, new) = (&old.route.shape, &new.route.shape);
    if !old.is_same(new) {
        let said = |it: &ShapeOptions| match it.printed() {
            _ if !it.is_given() => None,
            Ok(name) => Some(name),
            Err(table) => {
                let keys = table.into_iter();
                let keys = keys.map(|(key, value)| format!("{key} = {value}"));
                Some(format!("{{ {} }}", keys.collect::<Vec<_>>().join(", ")))
            }
        };
        differ.push(Change {
            key: full(route, "shape"),
            old: said(old),
            new: said(new),
        });
    }
    differ
}

/// Whether the same route comes of these options.
fn makes_the_same(one: &Options, other: &Options) -> bool {
    let mut keys = keys().iter().filter(|key| !is_in(key, OF_NO_ROUTE));
    let same = keys.all(|key| (key.same)(one, other));
    same && one.route.shape.is_same(&other.route.shape)
}

#[cfg(test)]
mod tests {
    use super::super::{Flags, Loaded, Mistakes, NeedUpstream, load};
    use super::*;

    /// What these variables come to, after those.
    fn changes(before: &[(&str, &str)], after: &[(&str, &str)]) -> (Loaded, Changes) {
        following(before, after).unwrap()
    }

    /// The same, or what does not go together.
    fn following(
        before: &[(&str, &str)],
        after: &[(&str, &str)],
    ) -> Result<(Loaded, Changes), Mistakes> {
        let load = |given: &[(&str, &str)]| {
            let given = given.iter();
            let given =
                given.map(|(key, value)| (format!("MICROBATCH_{key}").into(), value.into()));
            let given: Vec<_> = given.collect();
            load(&Flags::default(), given.into_iter(), NeedUpstream::Yes).unwrap()
        };
        load(after).following(&load(before))
    }

    const UPSTREAM: (&str, &str) = ("UPSTREAM__URL", "http://localhost:1/");
    const OTHER: [(&str, &str); 2] = [
        ("ROUTES__OTHER__PATH", "/other"),
        ("ROUTES__OTHER__UPSTREAM__URL", "http://localhost:2/"),
    ];

    #[test]
    fn every_place_in_the_lists_is_one() {
        for place in NEEDS_RESTART.iter().chain(OF_NO_ROUTE) {
            assert!(keys().iter().any(|key| is_in(key, &[place])), "{place}");
        }
    }

    #[test]
    fn nothing_has_changed_where_all_is_the_same() {
        let all = [&[UPSTREAM][..], &OTHER].concat();
        let (_, changes) = changes(&all, &all);
        assert_eq!(changes, Changes::default());
        assert!(changes.is_none());
    }

    #[test]
    fn routes_appear_and_go_and_change() {
        let both = [&[UPSTREAM][..], &OTHER].concat();
        let added = changes(&[UPSTREAM], &both).1.routes;
        assert_eq!(
            (added.added, added.changed.len()),
            (vec!["other".to_owned()], 0)
        );
        let removed = changes(&both, &[UPSTREAM]).1.routes;
        assert_eq!(
            (removed.removed, removed.changed.len()),
            (vec!["other".to_owned()], 0)
        );
        for (key, value, changed) in [
            ("ROUTES__OTHER__BATCH__MAX_SIZE", "7", vec!["other"]),
            ("ROUTES__OTHER__SHAPE", "jobs", vec!["other"]),
            // Inherited.
            ("BATCH__MAX_SIZE", "7", vec!["jobs", "other"]),
            ("SERVER__REQUEST_TIMEOUT", "7s", vec!["jobs", "other"]),
            ("LOG__UPSTREAM_ERRORS", "false", vec!["jobs", "other"]),
            ("SERVER__TIMING", "false", vec![]),
            ("SERVER__HOSTS", "[\"a\"]", vec![]),
            ("SHUTDOWN__DELAY", "1s", vec![]),
            ("SERVER__AUTH__TOKENS", "tokens", vec![]),
            ("SERVER__MAX_CONNECTIONS", "7", vec![]),
            ("SERVER__MAX_BUFFERED", "70MiB", vec![]),
            ("ADMIN__AUTH__TOKENS", "tokens", vec![]),
            ("LATER__MAX_JOBS", "7", vec![]),
            ("LATER__MAX_BYTES", "7MiB", vec![]),
            ("LATER__KEEP", "7s", vec![]),
            ("LATER__JOB_TIMEOUT", "7m", vec![]),
            ("LATER__MAX_ATTEMPTS", "7", vec![]),
            // How long they gather.
            ("LATER__MAX_WAIT", "7s", vec!["jobs", "other"]),
            ("LOG__LEVEL", "warn", vec![]),
            ("LOG__ACCESS", "true", vec![]),
        ] {
            let after = [&both[..], &[(key, value)]].concat();
            let found = changes(&both, &after).1;
            assert_eq!(found.routes.changed, changed, "{key}");
            assert_eq!(found.applied.len(), 1, "{key}: {:?}", found.applied);
            assert!(found.needs_restart.is_empty(), "{key}");
        }
    }

    #[test]
    fn what_is_new_goes_with_what_stays() {
        let store = ("LATER__STORE", "redis://127.0.0.1:1");
        let (timeout, lease) = (("UPSTREAM__TIMEOUT", "50s"), ("LATER__LEASE", "2m"));
        let later = ("SERVER__REQUEST_TIMEOUT", "1m");
        let after = [UPSTREAM, store, later, timeout, lease];
        let refused = following(&[UPSTREAM, store, later], &after).unwrap_err();
        let refused = refused.to_string();
        assert!(refused.contains("later.lease = 30s (default)"), "{refused}");
        assert!(refused.contains("needs a restart"), "{refused}");
        // From the start they go together.
        assert!(following(&after, &after).is_ok());
    }

    #[test]
    fn another_secret_is_a_change_and_not_told() {
        let with = |secret| [UPSTREAM, ("UPSTREAM__HEADERS", secret)];
        let (_, found) = changes(&with("{ a = \"one\" }"), &with("{ a = \"two\" }"));
        assert_eq!(found.routes.changed, ["jobs"]);
        let redacted = Some("{ \"a\" = \"***\" }".to_owned());
        let [change] = &found.applied[..] else {
            panic!("{found:?}");
        };
        assert_eq!((&change.old, &change.new), (&redacted, &redacted));
    }

    #[test]
    fn what_needs_a_restart_stays_and_is_told() {
        let after = [
            UPSTREAM,
            ("SERVER__LISTEN", "127.0.0.1:7"),
            ("LATER__STORE", "redis://me:s3cret@localhost/"),
            ("BATCH__MAX_SIZE", "7"),
        ];
        let (loaded, found) = changes(&[UPSTREAM], &after);
        let keys: Vec<_> = found.needs_restart.iter().map(|it| &it.key[..]).collect();
        assert_eq!(keys, ["server.listen", "later.store"]);
        assert!(!format!("{found:?}").contains("s3cret"));
        assert_eq!(found.routes.changed, ["jobs"]);
        assert_eq!(loaded.settings.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(loaded.settings.routes[0].batcher.max_size, 7);
        let toml = loaded.options.to_toml();
        assert!(toml.contains("listen = \"127.0.0.1:8080\"") && toml.contains("max_size = 7"));
    }
}
