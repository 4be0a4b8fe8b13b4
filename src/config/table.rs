//! The machinery behind the table of settings: what one row of it becomes.
//!
//! [`settings!`] turns the table in [`super::schema`] into the structs of the configuration, their
//! redacting `Debug`, the printer, the list of [`KeyInfo`], and a [`Draft`] that the layers are
//! read into. A setting is one row there and is written nowhere else.

use super::kind::{Kind, Raw, Wrong};
use super::mistake::Origin;

/// What there is to know about one setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// The key with its section: `batch.max_size`.
    pub key: &'static str,
    /// The flag with its dashes, where there is one: `--max-size`.
    pub flag: Option<&'static str>,
    /// What the flag's argument is called in the help; empty without a flag.
    pub value_name: &'static str,
    /// The environment variable: `MICROBATCH_BATCH__MAX_SIZE`.
    pub env: &'static str,
    /// The default as one would write it in the environment; `None` where a value is required.
    pub default: Option<&'static str>,
    /// What it means, in a line.
    pub help: &'static str,
}

impl KeyInfo {
    /// The section's name: `batch`.
    pub fn section(&self) -> &'static str {
        self.key.split_once('.').map_or("", |(section, _)| section)
    }

    /// The key within its section: `max_size`.
    pub fn name(&self) -> &'static str {
        self.key.split_once('.').map_or(self.key, |(_, name)| name)
    }
}

/// A setting while its layers are read, from the lowest to the highest.
pub(crate) struct Slot<T> {
    /// The value of the layers so far; `None` before the first and where the last was wrong.
    pub value: Option<T>,
    /// The last layer that gave a value, be it right or wrong.
    pub from: Option<Origin>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Slot {
            value: None,
            from: None,
        }
    }
}

impl<T> Slot<T> {
    /// Lays the value of the next layer over those so far.
    pub(crate) fn read<K>(&mut self, kind: &K, raw: Raw<'_>, from: Origin) -> Result<(), Wrong>
    where
        K: Kind<Value = T>,
    {
        self.from = Some(from);
        let lower = self.value.take();
        let upper = kind.read(raw)?;
        self.value = Some(match lower {
            Some(lower) => kind.merge(lower, upper),
            None => upper,
        });
        Ok(())
    }
}

/// Makes the configuration out of the table of its settings. A row reads:
///
/// ```text
/// /// What it means, in a line: the help of its flag.
/// /// More, for who reads the field.
/// name: Type = "default", in kind, flag "--flag" "ARGUMENT", env "MICROBATCH_SECTION__NAME";
/// ```
///
/// A row without a default is required; `flag` may be left out.
macro_rules! settings {
    (@default) => { None };
    (@default $default:literal) => { Some($default) };
    (@flag) => { (None::<&str>, "") };
    (@flag $flag:literal $argument:literal) => { (Some($flag), $argument) };

    ($(
        $(#[$section_doc:meta])*
        $section:ident: $Section:ident {$(
            #[doc = $help:literal]
            $(#[doc = $more:literal])*
            $name:ident: $ty:ty $(= $default:literal)?, in $kind:expr,
            $(flag $flag:literal $argument:literal,)? env $env:literal;
        )*}
    )*) => {
        /// The whole configuration, every value checked. `Debug` redacts what [`Config::to_toml`]
        /// redacts.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config {$(
            $(#[$section_doc])*
            pub $section: $Section,
        )*}

        impl Config {
            /// Every setting as its key and its value in TOML, secrets redacted.
            pub(crate) fn entries(&self) -> Vec<(&'static KeyInfo, String)> {
                let values = [$($( $kind.print(&self.$section.$name), )*)*];
                KEYS.iter().zip(values).collect()
            }
        }

        $(
            $(#[$section_doc])*
            #[derive(Clone, PartialEq)]
            pub struct $Section {$(
                #[doc = $help]
                $(#[doc = $more])*
                #[doc = ""]
                $(#[doc = concat!("Default `", $default, "`.")])?
                #[doc = concat!("Allowed: `", stringify!($kind), "`. ")]
                #[doc = concat!("Environment: `", $env, "`.")]
                pub $name: $ty,
            )*}

            impl std::fmt::Debug for $Section {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.debug_struct(stringify!($Section))
                        $(.field(stringify!($name), &format_args!("{}", $kind.print(&self.$name))))*
                        .finish()
                }
            }
        )*

        /// The names of the sections.
        pub(crate) const SECTIONS: &[&str] = &[$(stringify!($section)),*];

        const KEYS: &[KeyInfo] = &[$($(
            KeyInfo {
                key: concat!(stringify!($section), ".", stringify!($name)),
                flag: settings!(@flag $($flag $argument)?).0,
                value_name: settings!(@flag $($flag $argument)?).1,
                env: $env,
                default: settings!(@default $($default)?),
                help: $help.trim_ascii(),
            },
        )*)*];

        /// Every setting there is, in the order of the table.
        pub fn keys() -> &'static [KeyInfo] {
            KEYS
        }

        /// What the value of a setting may be, in a few words: its form, its unit, its range.
        /// Empty for a key that is not in the table.
        pub fn allowed(key: &KeyInfo) -> String {
            $($(
                if key.key == concat!(stringify!($section), ".", stringify!($name)) {
                    return $crate::config::kind::allowed::<$ty>(&$kind);
                }
            )*)*
            String::new()
        }

        /// The sections while their layers are read.
        pub(crate) mod draft {
            use super::*;
            $(
                #[derive(Default)]
                pub(crate) struct $Section { $(pub(crate) $name: Slot<$ty>,)* }
            )*
        }

        /// A configuration while its layers are read.
        #[derive(Default)]
        pub(crate) struct Draft { $(pub(crate) $section: draft::$Section,)* }

        impl Draft {
            /// Lays one value over those of the lower layers. A key that is not in the table
            /// changes nothing.
            pub(crate) fn read(
                &mut self,
                key: &KeyInfo,
                raw: Raw<'_>,
                from: Origin,
            ) -> Result<(), Wrong> {
                $($(
                    if key.key == concat!(stringify!($section), ".", stringify!($name)) {
                        return self.$section.$name.read(&$kind, raw, from);
                    }
                )*)*
                Ok(())
            }

            /// The configuration, once every setting has a value.
            pub(crate) fn finish(self) -> Option<Config> {
                Some(Config {$(
                    $section: $Section { $($name: self.$section.$name.value?,)* },
                )*})
            }
        }
    };
}
pub(crate) use settings;
