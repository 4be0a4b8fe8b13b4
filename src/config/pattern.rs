//! Parts of patterns, for the schemas of kinds.

/// A pattern for a word in capitals, small letters or both: patterns of a JSON Schema have no flags.
pub(crate) fn any_case(word: &str) -> String {
    let letters = word
        .chars()
        .map(|letter| match letter.is_ascii_alphabetic() {
            true => format!(
                "[{}{}]",
                letter.to_ascii_lowercase(),
                letter.to_ascii_uppercase()
            ),
            false => letter.to_string(),
        });
    letters.collect()
}
