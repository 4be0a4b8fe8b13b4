//! The configuration: flags over environment over TOML file over defaults.
//!
//! `main` calls [`load`] once, before anything is bound, and hands the sections of the [`Config`]
//! to who needs them; nobody reads the environment or a file later. [`load`] promises that every
//! value of a `Config` is within its range and fits the others, and that an error names **all**
//! mistakes at once, each with its place.
//!
//! The settings themselves stand in one table, [`schema`](self), where a new one is one new row:
//!
//! ```text
//! schema     the table of settings            table      what a row of it becomes
//! kind       reading and printing a value     number, duration, size, address, word, …: the kinds
//! file, env, flags    the layers              together   what must hold between settings
//! mistake    places and what is wrong there   suggest    "did you mean …?"
//! ```
//!
//! No secret (`upstream.headers`; of `upstream.url` user information, query values and what looks like
//! a key in the path) ever
//! stands in an error, a warning, [`Config::to_toml`] or a `Debug` text.

mod address;
mod count_or;
mod duration;
mod env;
mod file;
mod flags;
mod fraction;
mod headers;
mod hosts;
mod kind;
mod level;
mod mistake;
mod number;
mod schema;
mod size;
mod statuses;
mod suggest;
mod table;
mod target;
mod together;
mod word;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

pub use address::connectable;
pub use count_or::{MaxConnections, MaxInFlight, Threads};
pub use flags::{Flags, Locator};
pub use mistake::{Mistake, Mistakes, Origin};
pub use schema::{
    Admin, Batch, Circuit, Config, Log, Queue, Retry, Server, Shutdown, Upstream, allowed, keys,
};
pub use table::KeyInfo;
pub use target::redacted;
pub use word::{LogFormat, OnFull, Results, Wait};

pub(crate) use kind::{SHOWN, cut};

use kind::{Kind, Raw};
use schema::Draft;

/// Whether a command needs `upstream.url`.
#[derive(Clone, PartialEq, Eq)]
pub enum NeedUpstream {
    /// It does: without one there is no configuration.
    Yes,
    /// It calls no upstream (`healthcheck`): without one, [`NOWHERE`] stands in.
    No,
    /// It brings its own (`demo`), which overrides every layer's.
    Supplied(Url),
}

/// The URL of an upstream that is not needed; no such host can exist (RFC 6761, 6.4).
pub const NOWHERE: &str = "http://upstream.invalid/";

/// A configuration that can be run.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// What works but cannot be what was meant, one sentence each.
    pub warnings: Vec<String>,
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
    let env = env::Environment::new(env);
    let mut draft = Draft::default();
    let mut mistakes = Vec::new();

    for key in keys() {
        if let Some(text) = key.default {
            let read = draft.read(key, Raw::Text(text), Origin::Default);
            mistakes.extend(
                read.err()
                    .map(|wrong| of_the_program(key, &wrong.to_string())),
            );
        }
    }
    let path = flags
        .config
        .clone()
        .or_else(|| env.file().map(PathBuf::from));
    let whole = path.is_none_or(|path| lay_file(&path, &mut draft, &mut mistakes));
    env.lay(&mut draft, &mut mistakes);
    flags.lay(&mut draft);

    let mut unused = None;
    let url = &mut draft.upstream.url;
    match need {
        NeedUpstream::Supplied(own) => {
            let given = url.from.take();
            unused = given.map(|from| {
                format!("upstream.url ({from}) is not used: the command brings its own upstream")
            });
            url.value = Some(own);
            url.from = Some(Origin::Command);
        }
        NeedUpstream::No if url.from.is_none() => url.value = Url::parse(NOWHERE).ok(),
        NeedUpstream::Yes if url.from.is_none() && whole => mistakes.push(missing_upstream(&env)),
        NeedUpstream::No | NeedUpstream::Yes => {}
    }
    // Where a part of the file was lost, a default may stand for a value that was in it.
    if whole {
        mistakes.extend(together::refused(&draft));
    }
    let mut warnings = together::doubtful(&draft);
    warnings.extend(env.doubtful());
    warnings.extend(unused);
    match draft.finish() {
        Some(config) if mistakes.is_empty() => Ok(Loaded { config, warnings }),
        None if mistakes.is_empty() => Err(Mistakes(vec![unread_flag()])),
        _ => Err(Mistakes(mistakes)),
    }
}

impl Config {
    /// The whole configuration as TOML with every key, in the order of the table. Reads back as
    /// the same configuration but for the secrets, which are `***`.
    pub fn to_toml(&self) -> String {
        let mut toml = String::new();
        let mut section = "";
        for (key, value) in self.entries() {
            if key.section() != section {
                let gap = if section.is_empty() { "" } else { "\n" };
                section = key.section();
                toml.push_str(&format!("{gap}[{section}]\n"));
            }
            toml.push_str(&format!("{} = {value}\n", key.name()));
        }
        toml
    }

    /// Every setting by its key, with its value in TOML.
    pub fn printed(&self) -> Vec<(&'static str, String)> {
        let entries = self.entries().into_iter();
        entries.map(|(key, value)| (key.key, value)).collect()
    }

    /// The same in one line, `key=value` each, for the log.
    pub fn summary(&self) -> String {
        in_a_line(self.entries().into_iter())
    }

    /// What of it is not the default.
    pub fn summary_of_changes(&self) -> String {
        let entries = self.entries().into_iter();
        in_a_line(entries.filter(|(key, value)| key.default != Some(value.trim_matches('"'))))
    }
}

fn in_a_line(entries: impl Iterator<Item = (&'static KeyInfo, String)>) -> String {
    let settings = entries.map(|(key, value)| format!("{}={value}", key.key));
    settings.collect::<Vec<_>>().join(" ")
}

/// Reads a span of time as the configuration does, for flags that are no setting.
///
/// # Errors
///
/// A text that says what is wrong with `text` and what is allowed (1ms to 1h, with a unit).
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let kind = duration::time(duration::MILLISECOND..=duration::HOUR);
    kind.text(text).map_err(|wrong| wrong.to_string())
}

/// Reads an address to listen on as the configuration does, for flags that are no setting.
///
/// # Errors
///
/// A text that says what is wrong with `text` and how an address is written.
pub fn parse_address(text: &str) -> Result<String, String> {
    address::Address
        .text(text)
        .map_err(|wrong| wrong.to_string())
}

fn lay_file(path: &Path, draft: &mut Draft, mistakes: &mut Vec<Mistake>) -> bool {
    if path.as_os_str().is_empty() {
        mistakes.push(Mistake {
            origin: None,
            key: String::new(),
            what: "the configuration file has an empty name; name a file in --config or \
                   MICROBATCH_CONFIG, or leave them out"
                .to_owned(),
        });
        return false;
    }
    file::lay(path, draft, mistakes)
}

fn missing_upstream(env: &env::Environment) -> Mistake {
    const KEY: &str = "upstream.url";
    const WAYS: &str = "is required; say where batches go: --upstream http://127.0.0.1:9000/batch, or \
                        MICROBATCH_UPSTREAM__URL=…, or url = \"…\" in [upstream] of the file";
    Mistake {
        origin: None,
        key: KEY.to_owned(),
        what: match env.doubtful_of(KEY) {
            Some(near) => format!("{WAYS}; {near}"),
            None => WAYS.to_owned(),
        },
    }
}

/// A default that its own kind refuses; a test holds that there is none.
fn of_the_program(key: &KeyInfo, wrong: &str) -> Mistake {
    Mistake {
        origin: Some(Origin::Default),
        key: key.key.to_owned(),
        what: wrong.to_owned(),
    }
}

/// A flag that was not checked while it was parsed; [`Flags`] are made in no other way.
fn unread_flag() -> Mistake {
    Mistake {
        origin: None,
        key: String::new(),
        what: "a flag has a bad value".to_owned(),
    }
}

#[cfg(test)]
mod tests;
