//! `GET /advice` as it is read, and as text.

use std::fmt::Write as _;

use serde::{Deserialize, Deserializer};

use super::{AskError, Asker, Question};
use crate::printable::printable;

/// The path of the advice.
pub const ADVICE: &str = "/advice";

/// A sentence.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Advice {
    pub kind: Kind,
    #[serde(deserialize_with = "text")]
    pub text: String,
}

/// How pressing something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Problem,
    Hint,
    Good,
    #[serde(other)]
    Note,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Problem => "problem",
            Self::Hint => "hint",
            Self::Good => "good",
            Self::Note => "note",
        }
    }
}

/// A text of the process at that address, which does not get to move the cursor.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(printable(&text).into_owned())
}

/// What limits the proxy, or one of its routes, a sentence a line, each after its kind.
///
/// # Errors
///
/// The proxy cannot be asked.
pub async fn advice(asker: &Asker, route: Option<&str>) -> Result<String, AskError> {
    let advice: Vec<Advice> = asker.json(&Question::of(ADVICE, route)).await?;
    Ok(lines(&advice))
}

fn lines(advice: &[Advice]) -> String {
    advice.iter().fold(String::new(), |mut lines, one| {
        let _ = writeln!(lines, "{}: {}", one.kind.as_str(), one.text);
        lines
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_a_line_and_no_more() {
        let advice = r#"[{"kind":"hint","text":"a\nb\u001b[2J\u202e","setting":null,"new":1},
            {"kind":"grave","text":"c"}]"#;
        let advice: Vec<Advice> = serde_json::from_str(advice).unwrap();
        assert_eq!(lines(&advice), "hint: a\\nb\\u{1b}[2J\\u{202e}\nnote: c\n");
    }
}
