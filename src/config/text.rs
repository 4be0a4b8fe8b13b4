//! The kinds of values that are texts: those that a function reads, and one of a few words.

use super::kind::{Kind, Wrong, must_be, quoted, shown};

/// A text that a function makes a value of.
pub(crate) struct Text<T> {
    pub allowed: &'static str,
    pub expected: &'static str,
    pub read: fn(&str) -> Result<T, Wrong>,
    /// The value as it is written, secrets redacted.
    pub spelled: fn(&T) -> String,
}

impl<T> Kind for Text<T> {
    type Value = T;

    fn allowed(&self) -> String {
        self.allowed.to_owned()
    }

    fn expected(&self) -> String {
        self.expected.to_owned()
    }

    fn text(&self, text: &str) -> Result<T, Wrong> {
        (self.read)(text)
    }

    fn print(&self, value: &T) -> String {
        quoted(&(self.spelled)(value))
    }
}

/// One of a few words, spelled exactly.
pub(crate) struct Words<T: 'static>(pub &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Kind for Words<T> {
    type Value = T;

    fn allowed(&self) -> String {
        let words: Vec<_> = self.0.iter().map(|(word, _)| quoted(word)).collect();
        words.join(" or ")
    }

    fn text(&self, text: &str) -> Result<T, Wrong> {
        let found = self.0.iter().find(|(word, _)| *word == text);
        let value = found.map(|(_, value)| *value);
        value.ok_or_else(|| must_be(&self.allowed(), shown(text)))
    }

    fn print(&self, value: &T) -> String {
        let found = self.0.iter().find(|(_, known)| known == value);
        quoted(found.map_or("", |(word, _)| word))
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind::testing::{from_text, from_toml};
    use super::super::options::{LOG_FORMAT, ON_FULL, RESULTS, WAIT};
    use super::*;
    use crate::batcher::{OnFull, Wait};
    use crate::engine::Results;
    use crate::telemetry::Format;

    #[test]
    fn words_are_exact_and_an_error_lists_them() {
        assert_eq!(WAIT.text("fixed").unwrap(), Wait::Fixed);
        assert_eq!(WAIT.text("adaptive").unwrap(), Wait::Adaptive);
        assert_eq!(ON_FULL.text("reject").unwrap(), OnFull::Reject);
        assert_eq!(ON_FULL.text("wait").unwrap(), OnFull::Wait);
        assert_eq!(RESULTS.text("by-id").unwrap(), Results::ById);
        assert_eq!(RESULTS.text("none").unwrap(), Results::None);
        assert_eq!(LOG_FORMAT.text("auto").unwrap(), Format::Auto);
        assert_eq!(LOG_FORMAT.text("text").unwrap(), Format::Text);
        assert_eq!(LOG_FORMAT.text("json").unwrap(), Format::Json);
        for text in ["Fixed", "fixd", "", " fixed"] {
            let expected = format!("must be \"fixed\" or \"adaptive\", not {text:?}");
            assert_eq!(from_text(&WAIT, text), Err(expected));
        }
        let expected = "must be \"auto\" or \"text\" or \"json\", not a boolean".to_owned();
        assert_eq!(from_toml(&LOG_FORMAT, "true"), Err(expected));
        assert_eq!(from_toml(&RESULTS, "\"by-id\""), Ok("\"by-id\"".to_owned()));
    }
}
