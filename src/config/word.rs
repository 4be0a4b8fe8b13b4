//! The kind for settings that are one of a few words, and those settings' types.

use toml::de::DeValue;

use super::kind::{Kind, Wrong, quoted, shown, string};

/// One of a few words, spelled exactly.
pub(crate) struct Words<T: 'static>(&'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Kind for Words<T> {
    type Value = T;

    fn allowed(&self) -> String {
        let words: Vec<_> = self.0.iter().map(|(word, _)| format!("{word:?}")).collect();
        words.join(" or ")
    }

    fn text(&self, text: &str) -> Result<T, Wrong> {
        let found = self.0.iter().find(|(word, _)| *word == text);
        found
            .map(|(_, value)| *value)
            .ok_or_else(|| format!("must be {}, not {}", self.allowed(), shown(text)).into())
    }

    fn toml(&self, value: &DeValue<'_>) -> Result<T, Wrong> {
        self.text(string(value, &self.allowed())?)
    }

    fn print(&self, value: &T) -> String {
        let found = self.0.iter().find(|(_, known)| known == value);
        quoted(found.map_or("", |(word, _)| word))
    }
}

/// Declares a setting's type with its words, and the kind that reads them.
macro_rules! words {
    ($(
        $(#[$doc:meta])*
        $Type:ident, $KIND:ident { $( $(#[$variant_doc:meta])* $Variant:ident = $word:literal, )* }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $Type { $( $(#[$variant_doc])* $Variant, )* }

        #[doc = concat!("The words of [`", stringify!($Type), "`].")]
        pub(crate) const $KIND: Words<$Type> = Words(&[$( ($word, $Type::$Variant), )*]);
    )*};
}

words! {
    /// How long a batch that is not full waits for company.
    Wait, WAIT {
        /// Until the oldest job has waited `batch.max_wait`.
        Fixed = "fixed",
        /// Shorter where waiting cannot pay, never longer.
        Adaptive = "adaptive",
    }

    /// What happens to a job that finds the queue full.
    OnFull, ON_FULL {
        /// It is answered 503 at once.
        Reject = "reject",
        /// It waits for room until its deadline.
        Wait = "wait",
    }

    /// What the upstream answers.
    Results, RESULTS {
        /// An array of results, matched to their jobs by `id`.
        ById = "by-id",
        /// Nothing that is read: any 2xx answers every member 204.
        None = "none",
    }

    /// How log lines are written.
    LogFormat, LOG_FORMAT {
        /// [`LogFormat::Text`] when stderr is a terminal, else [`LogFormat::Json`].
        Auto = "auto",
        /// One line for people.
        Text = "text",
        /// One JSON object per line.
        Json = "json",
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind::testing::{from_text, from_toml};
    use super::*;

    #[test]
    fn words_are_exact_and_an_error_lists_them() {
        assert_eq!(WAIT.text("fixed").unwrap(), Wait::Fixed);
        assert_eq!(WAIT.text("adaptive").unwrap(), Wait::Adaptive);
        assert_eq!(ON_FULL.text("reject").unwrap(), OnFull::Reject);
        assert_eq!(ON_FULL.text("wait").unwrap(), OnFull::Wait);
        assert_eq!(RESULTS.text("by-id").unwrap(), Results::ById);
        assert_eq!(RESULTS.text("none").unwrap(), Results::None);
        assert_eq!(LOG_FORMAT.text("auto").unwrap(), LogFormat::Auto);
        assert_eq!(LOG_FORMAT.text("text").unwrap(), LogFormat::Text);
        assert_eq!(LOG_FORMAT.text("json").unwrap(), LogFormat::Json);
        for text in ["Fixed", "fixd", "", " fixed"] {
            let expected = format!("must be \"fixed\" or \"adaptive\", not {text:?}");
            assert_eq!(from_text(&WAIT, text), Err(expected));
        }
        let expected = "must be \"auto\" or \"text\" or \"json\", not a boolean".to_owned();
        assert_eq!(from_toml(&LOG_FORMAT, "true"), Err(expected));
        assert_eq!(from_toml(&RESULTS, "\"by-id\""), Ok("\"by-id\"".to_owned()));
    }
}
