//! The word that was meant.

/// The candidate nearest to `name`, if it is near enough to be meant: at most a third of the
/// letters wrong, counting a swap of neighbours as one.
pub(crate) fn nearest<'a, T>(
    name: &str,
    candidates: impl Iterator<Item = (&'a str, T)>,
) -> Option<T> {
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    let name = plain(name);
    let distance = |word: &str| strsim::damerau_levenshtein(&name, &plain(word));
    candidates
        .map(|(word, meant)| (distance(word), word, meant))
        .filter(|(distance, word, _)| distance * 3 <= word.len())
        .min_by_key(|(distance, ..)| *distance)
        .map(|(.., meant)| meant)
}
