//! The layer of the flags, made from the table of settings.
//!
//! `cli` flattens [`Flags`] into the commands that load a configuration. A flag's argument is read
//! by its key's kind while clap parses, so a bad one is clap's error (exit code 2) in the words
//! the file's would have.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::builder::{PossibleValue, TypedValueParser, ValueParser};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, ValueHint};

use super::kind::Raw;
use super::mistake::Origin;
use super::options::{KeyInfo, Options, keys};

const CONFIG: &str = "config";

/// The settings given as flags, and the file named by `--config`; or those of them alone that are
/// `WHICH`: [`EVERY`], [`ADMIN`] or [`JOBS`].
#[derive(Clone, Debug, Default)]
pub struct Flags<const WHICH: u8 = EVERY> {
    /// The configuration file.
    pub config: Option<PathBuf>,
    pub(crate) options: Options,
}

/// Every setting that has a flag.
pub const EVERY: u8 = 0;

/// Where a running proxy's admin listener is.
pub const ADMIN: u8 = 1;

/// Where a running proxy's listener for jobs is.
pub const JOBS: u8 = 2;

/// The few flags that say where a running proxy's listener is: the same as its own.
pub type Locator<const WHICH: u8 = ADMIN> = Flags<WHICH>;

impl From<Flags<ADMIN>> for Flags {
    fn from(Flags { config, options }: Flags<ADMIN>) -> Self {
        Flags { config, options }
    }
}

impl From<Flags<JOBS>> for Flags {
    fn from(Flags { config, options }: Flags<JOBS>) -> Self {
        Flags { config, options }
    }
}

/// The settings that have a flag.
fn flagged(which: u8) -> impl Iterator<Item = (&'static KeyInfo, &'static str)> {
    let only = match which {
        ADMIN => Some("admin.listen"),
        JOBS => Some("server.listen"),
        _ => None,
    };
    let wanted = keys()
        .iter()
        .filter(move |key| only.is_none_or(|only| key.key == only));
    wanted.filter_map(|key| Some((key, key.flag?)))
}

impl<const WHICH: u8> Args for Flags<WHICH> {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new(CONFIG)
            .long(CONFIG)
            .value_name("FILE")
            .value_parser(ValueParser::path_buf())
            .help("Configuration file (TOML) [env: MICROBATCH_CONFIG]");
        let flags = flagged(WHICH).map(|(key, flag)| argument(key, flag));
        command.arg(file).args(flags)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const WHICH: u8> FromArgMatches for Flags<WHICH> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        if let Some(path) = matches.get_one::<PathBuf>(CONFIG) {
            self.config = Some(path.clone());
        }
        // A flag given once more lies above what was given before.
        for (key, _) in flagged(WHICH) {
            for given in matches.get_many::<Options>(key.key).into_iter().flatten() {
                let lower = std::mem::take(&mut self.options);
                self.options = given.clone().combine(&lower);
            }
        }
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
        .value_parser(Checked(key, flag))
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

/// Takes an argument that its key's kind can read, as options of that alone. The error does not
/// repeat the argument, as clap's own would: it may hold a secret, and where it does not, the kind
/// shows it.
#[derive(Clone)]
struct Checked(&'static KeyInfo, &'static str);

impl TypedValueParser for Checked {
    type Value = Options;

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
    ) -> Result<Options, Error> {
        let Checked(key, flag) = self;
        let mut options = Options::default();
        let text = value.to_str().ok_or("the value is not UTF-8".into());
        let read =
            text.and_then(|text| (key.read)(&mut options, Raw::Flag(text), Origin::Flag(flag)));
        let Err(wrong) = read else {
            return Ok(options);
        };
        let message = format!("{flag}: {}: {wrong}\n", key.key);
        Err(Error::raw(ErrorKind::ValueValidation, message).with_cmd(command))
    }
}
