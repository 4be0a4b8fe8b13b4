//! The machinery behind the table of settings: what one row of it becomes.
//!
//! [`sections!`] turns the table in [`super::options`] into one struct a section, each field what
//! is [`Given`](super::given::Given) for a setting, and the list of its [`Key`]s. A setting is one
//! row there and is written nowhere else.

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
    /// The default as one would write it in the environment; `None` where a value is required.
    pub default: Option<&'static str>,
    /// What it means, in a line.
    pub help: &'static str,
    pub(super) allowed: fn() -> String,
    /// Sets what one layer gives.
    pub(super) read: fn(&mut O, Raw<'_>, Origin) -> Result<(), Wrong>,
    /// Lays what upper options give over what lower ones do.
    pub(super) combine: fn(&mut O, &O),
    /// The value in TOML, with secrets redacted.
    pub(super) printed: fn(&O) -> Option<String>,
    pub(super) origin: fn(&O) -> Option<&Origin>,
}

impl<O> Key<O> {
    /// The section's name: `batch`.
    pub fn section(&self) -> &'static str {
        self.key.split_once('.').map_or("", |(section, _)| section)
    }

    /// The key within its section: `max_size`.
    pub fn name(&self) -> &'static str {
        self.key.split_once('.').map_or(self.key, |(_, name)| name)
    }

    /// The environment variable: `MICROBATCH_BATCH__MAX_SIZE`.
    pub fn env(&self) -> String {
        format!("MICROBATCH_{}__{}", self.section(), self.name()).to_uppercase()
    }

    /// What the value may be, in a few words: its form, its unit, its range.
    pub fn allowed(&self) -> String {
        (self.allowed)()
    }
}

/// Makes the sections out of the table of their settings. A row reads:
///
/// ```text
/// /// What it means, in a line: the help of its flag
/// name: Type = "default", kind, "--flag" "ARGUMENT";
/// ```
///
/// A row without a default is required, and one without a flag has none. The path of a section is
/// where it stands in the options.
macro_rules! sections {
    (@at $options:ident [$($path:ident).+]) => { $options.$($path).+ };
    (@default) => { None };
    (@default $default:literal) => { Some($default) };
    (@flag) => { (None::<&str>, "") };
    (@flag $flag:literal $argument:literal) => { (Some($flag), $argument) };

    ($Options:ident: $(
        $(#[$doc:meta])*
        $section:ident at $path:tt: $Section:ident {$(
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

        /// The names of the sections.
        pub(crate) const SECTIONS: &[&str] = &[$(stringify!($section)),*];

        const KEYS: &[Key<$Options>] = &[$($(
            Key {
                key: concat!(stringify!($section), ".", stringify!($name)),
                flag: sections!(@flag $($flag $argument)?).0,
                value_name: sections!(@flag $($flag $argument)?).1,
                default: sections!(@default $($default)?),
                help: $help.trim_ascii(),
                allowed: || Kind::<$ty>::from($kind).allowed,
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
            },
        )*)*];

        /// Every setting there is, in the order of the table.
        pub fn keys() -> &'static [Key<$Options>] {
            KEYS
        }
    };
}
pub(crate) use sections;
