//! The machinery behind the table of settings: what one row of it becomes.
//!
//! [`sections!`] turns the table in [`super::options`] into one struct a section, each field what
//! is [`Given`](super::given::Given) for a setting, and the list of its [`Key`]s. A setting is one
//! row there and is written nowhere else.

use serde_json::Value;

use super::kind::{Raw, Wrong};
use super::mistake::Origin;

/// One setting: what there is to know about it, and where it stands in the options `O`.
#[derive(Debug)]
pub struct Key<O> {
    /// The key with its section: `batch.max_size`.
    pub key: &'static str,
    /// The flag with its dashes, where there is one: `--max-size`.
    pub flag: Option<&'static str>,
    /// What the flag's argument is called in the help; empty without a flag.
    pub value_name: &'static str,
    /// The default as one would write it in the environment; `None` where there is none.
    pub default: Option<&'static str>,
    /// Whether a route may have one of its own, in `[routes.NAME]`.
    pub of_routes: bool,
    /// What it means, in a line.
    pub help: &'static str,
    pub(super) allowed: fn() -> String,
    pub(super) schema: fn() -> Value,
    /// Sets what one layer gives.
    pub(super) read: fn(&mut O, Raw<'_>, Origin) -> Result<(), Wrong>,
    /// Lays what upper options give over what lower ones do.
    pub(super) combine: fn(&mut O, &O),
    /// The value in TOML, with secrets redacted.
    pub(super) printed: fn(&O) -> Option<String>,
    pub(super) origin: fn(&O) -> Option<&Origin>,
    /// Whether both have the same value, secrets included.
    pub(super) same: fn(&O, &O) -> bool,
    /// Has the one have what the other has.
    pub(super) keep: fn(&mut O, &O),
}

impl<O> Key<O> {
    /// The section's name: `batch`; empty for a key that is in none.
    pub fn section(&self) -> &'static str {
        self.key.split_once('.').map_or("", |(section, _)| section)
    }

    /// The key within its section: `max_size`, or `tls.cert` where there is a section within.
    pub fn name(&self) -> &'static str {
        self.key.split_once('.').map_or(self.key, |(_, name)| name)
    }

    /// Whether it is a route's alone, and not one of the top level.
    pub fn of_routes_alone(&self) -> bool {
        self.key == "path"
    }

    /// The environment variable: `MICROBATCH_BATCH__MAX_SIZE`; where it is a route's alone, that of
    /// a route called `name`.
    pub fn env(&self) -> String {
        match self.of_routes_alone() {
            true => self.env_of("name"),
            false => variable(self.key),
        }
    }

    /// The environment variable for a route: `MICROBATCH_ROUTES__PREDICT__BATCH__MAX_SIZE`.
    pub fn env_of(&self, route: &str) -> String {
        variable(&format!("routes.{route}.{}", self.key))
    }

    /// What the value may be, in a few words: its form, its unit, its range.
    pub fn allowed(&self) -> String {
        (self.allowed)()
    }
}

/// The environment variable of a key: that of `batch.max_size` is `MICROBATCH_BATCH__MAX_SIZE`.
pub(super) fn variable(key: &str) -> String {
    format!("MICROBATCH_{}", key.replace('.', "__")).to_uppercase()
}

/// Makes the sections out of the table of their settings. A row reads:
///
/// ```text
/// /// What it means, in a line: the help of its flag
/// name: Type = "default", kind, "--flag" "ARGUMENT";
/// ```
///
/// A row without a default has none, and one without a flag has none. A section is
/// `in [name] at [path]: Struct { rows }`, where the path is where it stands in the options; `[]` has
/// the keys that are in no section, and `[name.within]` those of a section within another.
macro_rules! sections {
    (@at $options:ident [$($path:ident).+]) => { $options.$($path).+ };
    (@of_routes [route.$($path:ident).+]) => { true };
    (@of_routes [$($path:ident).+]) => { false };
    (@key [] $name:ident) => { stringify!($name) };
    (@key [$($section:ident).+] $name:ident) => {
        concat!($(stringify!($section), ".",)+ stringify!($name))
    };
    (@default) => { None };
    (@default $default:literal) => { Some($default) };
    (@flag) => { (None::<&str>, "") };
    (@flag $flag:literal $argument:literal) => { (Some($flag), $argument) };

    ($Options:ident: $(
        $(#[$doc:meta])*
        in $section:tt at $path:tt: $Section:ident {$(
            #[doc = $help:literal]
            $name:ident: $ty:ty $(= $default:literal)?, $kind:expr $(, $flag:literal $argument:literal)?;
        )*}
    )*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Default)]
            pub(crate) struct $Section {$(
                #[doc = $help]
                pub(crate) $name: Given<$ty>,
            )*}
        )*

        const KEYS: &[Key<$Options>] = &[$($(
            Key {
                key: sections!(@key $section $name),
                of_routes: sections!(@of_routes $path),
                flag: sections!(@flag $($flag $argument)?).0,
                value_name: sections!(@flag $($flag $argument)?).1,
                default: sections!(@default $($default)?),
                help: $help.trim_ascii(),
                allowed: || Kind::<$ty>::from($kind).allowed,
                schema: || Kind::<$ty>::from($kind).schema(),
                read: |options, raw, from| {
                    sections!(@at options $path).$name.read(&$kind, raw, from)
                },
                combine: |upper, lower| {
                    let lower = &sections!(@at lower $path).$name;
                    sections!(@at upper $path).$name.combine(lower, &$kind);
                },
                printed: |options| {
                    let value = sections!(@at options $path).$name.get()?;
                    Some($kind.print(&value))
                },
                origin: |options| sections!(@at options $path).$name.origin(),
                same: |one, other| {
                    let value = sections!(@at one $path).$name.get();
                    value == sections!(@at other $path).$name.get()
                },
                keep: |options, of| {
                    sections!(@at options $path).$name = sections!(@at of $path).$name.clone();
                },
            },
        )*)*];

        /// Every setting there is, in the order of the table.
        pub fn keys() -> &'static [Key<$Options>] {
            KEYS
        }
    };
}
pub(crate) use sections;
