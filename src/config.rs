//! The configuration: flags over environment over TOML file over defaults.
//!
//! `main` calls [`load`] before anything is bound, and hands the [`Settings`] to `app`, which has a
//! [`Source`] to load them again from; nobody else reads the environment or a file. [`load`] promises that every value is within its range
//! and fits the others, and that an error names **all** mistakes at once, each with its place.
//!
//! ```text
//! options    the table of settings, and what each layer gives of them
//! table, given           what a row of it becomes, and what a field of that holds
//! file, env, flags       the layers, each read into options of its own (layer)
//! otel       what the standard variables of OpenTelemetry say besides
//! shape      what is given of a shape, whose keys its own room knows
//! kind       reading and printing a value; number, size, duration, words, list, store, door, …: the kinds
//! routes     the routes they come to, each with all its options
//! rules      what must hold between settings
//! settings, records, route  what the options come to, in the types of those who go by them
//! reload     what differs from the options in force, and what of it can't change while they are
//! printed    the options in force, for people and files
//! mistake    places and what is wrong there; suggest, nearest: "did you mean …?"
//! ```
//!
//! No secret (`upstream.headers`; of `upstream.url` user information, query values and what looks
//! like a key in the path; of `later.store` user and password) ever stands in an error, a warning,
//! [`Options::to_toml`] or a `Debug` text.

mod address;
mod door;
mod duration;
mod env;
mod file;
mod flags;
mod given;
mod headers;
mod kind;
mod layer;
mod level;
mod list;
mod mistake;
mod nearest;
mod number;
mod options;
mod otel;
mod pattern;
mod printed;
mod records;
mod reload;
mod route;
mod routes;
mod rules;
mod schema;
pub mod settings;
mod shape;
mod size;
mod store;
mod suggest;
mod table;
mod target;
mod words;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub use duration::parse_duration;
pub use flags::{ADMIN, EVERY, Flags, JOBS, Locator};
pub use mistake::{Mistake, Mistakes, Origin};
pub use options::{KeyInfo, Options, keys};
pub use reload::{Change, Changes, RouteChanges};
pub use schema::schema;
pub use settings::Settings;
pub(crate) use target::redacted;

use crate::upstream::Endpoint;
use given::Given;
use layer::Layer;
use routes::RouteOf;

/// Whether a command needs somewhere to call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NeedUpstream {
    /// It does: without a route there is no configuration.
    Yes,
    /// It calls no upstream (`healthcheck`), and routes are of no interest.
    No,
    /// It brings one for the route `jobs` (`demo`), which overrides every layer's.
    Supplied(Endpoint),
}

/// A configuration that can be run.
#[derive(Debug)]
pub struct Loaded {
    /// The options in force, as they were given.
    pub options: Options,
    /// What they come to.
    pub settings: Settings,
    /// What works but cannot be what was meant, one sentence each.
    pub warnings: Vec<String>,
}

impl Loaded {
    /// The same with another upstream, once a command knows where its own is.
    pub fn supply(&mut self, url: Endpoint) {
        self.options.route.upstream.url = Given::new(url, Origin::Command);
        if let Some(settings) = Settings::of(&self.options) {
            let spans = self.settings.spans.take();
            self.settings = Settings { spans, ..settings };
        }
    }

    /// The same, but for what can't change while the process runs, which stays as it was before;
    /// and what has changed.
    ///
    /// # Errors
    /// What does not go with what stays.
    pub fn following(mut self, before: &Loaded) -> Result<(Self, Changes), Mistakes> {
        let changes = reload::follow(&mut self.options, &before.options);
        let routes = routes::all(&self.options);
        let refused = refused(&self.options, routes.iter())
            .into_iter()
            .map(|what| {
                let what = format!("{what} (what needs a restart stays as it is until then)");
                Mistake {
                    origin: None,
                    key: String::new(),
                    what,
                }
            });
        if let Some(mistakes) = Mistakes::of(refused.collect()) {
            return Err(mistakes);
        }
        if let Some(settings) = Settings::of(&self.options) {
            self.settings = settings;
        }
        Ok((self, changes))
    }
}

/// Where a configuration comes from, to be loaded again.
#[derive(Clone, Debug)]
pub struct Source {
    /// The flags that the process was started with.
    pub flags: Flags,
    /// What upstream its command needs.
    pub need: NeedUpstream,
}

impl Source {
    /// Reads all layers.
    ///
    /// # Errors
    /// As [`load`].
    pub fn load(&self) -> Result<Loaded, Mistakes> {
        load(&self.flags, std::env::vars_os(), self.need.clone())
    }

    /// The file that is read, if there is one.
    pub fn file(&self) -> Option<PathBuf> {
        let named = env::Environment::new(std::env::vars_os());
        let named = || named.file().map(PathBuf::from);
        self.flags.config.clone().or_else(named)
    }
}

/// Reads all layers. The file is the one `flags` name, else the one `MICROBATCH_CONFIG` names,
/// else none.
///
/// # Errors
///
/// Every mistake of the file and of the environment, also of a value that a higher layer
/// overrides; and where the values are fine by themselves, what cannot work together.
pub fn load(
    flags: &Flags,
    env: impl Iterator<Item = (OsString, OsString)>,
    need: NeedUpstream,
) -> Result<Loaded, Mistakes> {
    let all: Vec<_> = env.collect();
    let env = env::Environment::new(all.iter().cloned());
    let path = flags.config.as_deref();
    let path = path.or_else(|| env.file().map(Path::new));
    let file = path.map(file::read).unwrap_or_default();
    let variables = env.read();
    let options = flags.options.clone().combine(&variables.options);
    let mut whole = Layer {
        options: options.combine(&file.options).combine(&Options::defaults()),
        mistakes: [file.mistakes, variables.mistakes].concat(),
        lost: file.lost,
    };

    let mut warnings: Vec<String> = env.doubtful().map(|(_, what)| what).collect();
    let url = &mut whole.options.route.upstream.url;
    match (need, url.origin()) {
        (NeedUpstream::Supplied(own), given) => {
            warnings.extend(given.map(|from| {
                format!("upstream.url ({from}) is not used: the command brings its own upstream")
            }));
            *url = Given::new(own, Origin::Command);
        }
        (NeedUpstream::Yes, None) if whole.options.routes.is_empty() && !whole.lost => {
            whole.wrong(None, UPSTREAM, missing_upstream(&env));
        }
        _ => {}
    }
    let routes = routes::all(&whole.options);
    whole.mistakes.extend(routes::refused(&routes, whole.lost));
    let passthrough = routes::refused_passthrough(&whole.options);
    whole.mistakes.extend(passthrough);
    // What is said of the top level is of interest even where nothing goes by it yet.
    let alone = routes.is_empty().then(|| RouteOf::jobs(&whole.options));
    let each = || routes.iter().chain(&alone);
    let doubtful = each().flat_map(|it| [rules::doubtful_of(it), routes::doubtful(it)].concat());
    let doubtful = doubtful.chain(routes::unused(&whole.options));
    let doubtful = doubtful.chain(rules::unused(&whole.options));
    warnings.splice(0..0, once_each(doubtful));
    // Where a part of the file was lost, a default may stand for a value that was in it.
    if !whole.lost {
        for what in refused(&whole.options, each()) {
            whole.wrong(None, "", what);
        }
    }
    let spans = otel::spans(&whole.options.otlp, &all);
    whole.mistakes.extend(spans.mistakes);
    warnings.extend(spans.warnings);
    // Only then are the settings sure to be sound.
    if whole.mistakes.is_empty() {
        match Settings::of(&whole.options) {
            Some(settings) => {
                return Ok(Loaded {
                    options: whole.options,
                    settings: Settings {
                        spans: spans.collector,
                        ..settings
                    },
                    warnings,
                });
            }
            None => whole.wrong(None, "", "a value is missing"),
        }
    }
    Err(Mistakes::in_order(whole.mistakes))
}

/// What cannot work together.
fn refused<'a>(options: &Options, routes: impl Iterator<Item = &'a RouteOf>) -> Vec<String> {
    let of_routes = once_each(routes.flat_map(rules::refused_of));
    let of_all = rules::refused(options).into_iter();
    of_routes.into_iter().chain(of_all).collect()
}

/// What several routes have from the top level is said once.
fn once_each(said: impl Iterator<Item = String>) -> Vec<String> {
    let mut once = Vec::new();
    said.for_each(|what| match once.contains(&what) {
        true => {}
        false => once.push(what),
    });
    once
}

const UPSTREAM: &str = "upstream.url";

fn missing_upstream(env: &env::Environment) -> String {
    const WAYS: &str = "is required; say where batches go: --upstream http://127.0.0.1:9000/batch, or \
                        MICROBATCH_UPSTREAM__URL=…, or url = \"…\" in [upstream] of the file; or \
                        give the file a route of its own, [routes.NAME] with its path and \
                        upstream.url";
    match env.doubtful().find(|(key, _)| *key == UPSTREAM) {
        Some((_, near)) => format!("{WAYS}; {near}"),
        None => WAYS.to_owned(),
    }
}

#[cfg(test)]
mod tests;
