//! The layer of the flags, made from the table of settings.
//!
//! `cli` flattens [`Flags`] into the commands that load a configuration. A flag's argument is read
//! by its key's kind while clap parses, so a bad one is clap's error (exit code 2) in the words
//! the file's would have.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;

use clap::builder::{PossibleValue, TypedValueParser, ValueParser};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, ValueHint};

use super::kind::Raw;
use super::mistake::Origin;
use super::schema::{Draft, keys};
use super::table::KeyInfo;

const CONFIG: &str = "config";

/// The settings given as flags, each checked by itself, and the file named by `--config`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// The configuration file.
    pub config: Option<PathBuf>,
    given: Vec<(&'static KeyInfo, String)>,
}

impl Flags {
    /// Lays the flags over the draft. They were checked while they were parsed.
    pub(crate) fn lay(&self, draft: &mut Draft) {
        for (key, text) in &self.given {
            let from = Origin::Flag(key.flag.unwrap_or(key.key));
            // An argument that does not read leaves its slot empty, and no configuration comes out.
            let _ = draft.read(key, Raw::Flag(text), from);
        }
    }
}

/// Names the flags that were given; what they were given may be secret.
impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given: Vec<_> = self.given.iter().map(|(key, _)| key.key).collect();
        f.debug_struct("Flags")
            .field("config", &self.config)
            .field("given", &given)
            .finish()
    }
}

/// The few flags that say where a running proxy's admin listener is: the same as its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locator(pub Flags);

/// The settings among them.
fn locates(key: &KeyInfo) -> bool {
    key.key == "admin.listen"
}

fn every(_: &KeyInfo) -> bool {
    true
}

/// Adds the flags of the keys that are wanted.
fn augment(command: Command, wanted: fn(&KeyInfo) -> bool) -> Command {
    let file = Arg::new(CONFIG)
        .long(CONFIG)
        .value_name("FILE")
        .value_parser(ValueParser::path_buf())
        .help("Configuration file (TOML) [env: MICROBATCH_CONFIG]");
    let flagged = keys().iter().filter(|key| wanted(key));
    let flagged = flagged.filter_map(|key| Some((key, key.flag?)));
    command
        .arg(file)
        .args(flagged.map(|(key, flag)| argument(key, flag)))
}

impl Flags {
    fn update(&mut self, matches: &ArgMatches, wanted: fn(&KeyInfo) -> bool) {
        if let Some(path) = matches.get_one::<PathBuf>(CONFIG) {
            self.config = Some(path.clone());
        }
        let flagged = keys()
            .iter()
            .filter(|key| key.flag.is_some() && wanted(key));
        for key in flagged {
            let texts = matches.get_many::<String>(key.key).into_iter().flatten();
            self.given.extend(texts.map(|text| (key, text.clone())));
        }
    }
}

impl Args for Locator {
    fn augment_args(command: Command) -> Command {
        augment(command, locates)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Locator {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut locator = Self::default();
        locator.update_from_arg_matches(matches)?;
        Ok(locator)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update(matches, locates);
        Ok(())
    }
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        augment(command, every)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut flags = Flags::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.update(matches, every);
        Ok(())
    }
}

/// The flag of a setting.
fn argument(key: &'static KeyInfo, flag: &'static str) -> Arg {
    let default = key.default.filter(|default| *default != "{}");
    let help = match default {
        Some(default) => format!("{} [{default}]", key.help),
        None => key.help.to_owned(),
    };
    let repeatable = key.key == "upstream.headers";
    Arg::new(key.key)
        .long(flag.trim_start_matches('-'))
        .value_name(key.value_name)
        .value_parser(Checked(key))
        .hide_possible_values(true)
        // None of them is a file's name, which a shell would offer otherwise.
        .value_hint(ValueHint::Other)
        .action(if repeatable {
            ArgAction::Append
        } else {
            ArgAction::Set
        })
        .help(help)
}

/// Takes an argument that its key's kind can read. The error does not repeat the argument, as
/// clap's own would: it may hold a secret, and where it does not, the kind shows it.
#[derive(Clone)]
struct Checked(&'static KeyInfo);

impl TypedValueParser for Checked {
    type Value = String;

    /// The words that the flag takes, for a shell to offer: those of `auto|text|json`.
    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let words = self.0.value_name;
        let words = words.contains('|').then(|| words.split('|'))?;
        Some(Box::new(words.map(PossibleValue::new)))
    }

    fn parse_ref(
        &self,
        command: &Command,
        _: Option<&Arg>,
        value: &OsStr,
    ) -> Result<String, Error> {
        let Checked(key) = self;
        let flag = key.flag.unwrap_or(key.key);
        let what = match value.to_str() {
            Some(text) => {
                let from = Origin::Flag(flag);
                match Draft::default().read(key, Raw::Flag(text), from) {
                    Ok(()) => return Ok(text.to_owned()),
                    Err(wrong) => wrong.to_string(),
                }
            }
            None => "the value is not UTF-8".to_owned(),
        };
        let message = format!("{flag}: {}: {what}\n", key.key);
        Err(Error::raw(ErrorKind::ValueValidation, message).with_cmd(command))
    }
}
