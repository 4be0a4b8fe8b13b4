//! "Did you mean …?" for keys and sections that are not ours.

use super::options::{KeyInfo, SECTIONS, keys};

/// What is wrong with an unknown `section.name`: the nearest key, or what the section has.
/// `spell` gives a key as its layer writes it.
pub(crate) fn unknown_key(section: &str, name: &str, spell: impl Fn(&KeyInfo) -> String) -> String {
    let elsewhere = keys().iter().find(|key| key.name() == name);
    let near = nearest(name, in_section(section).map(|key| (key.name(), key)));
    match near.or(elsewhere) {
        Some(key) => format!("unknown key; did you mean {}?", spell(key)),
        None => {
            let names: Vec<_> = in_section(section).map(spell).collect();
            format!("unknown key; known are {}", names.join(", "))
        }
    }
}

/// What is wrong with an unknown top-level `name`: the nearest section, a key of that name in
/// some section, or what sections there are.
pub(crate) fn unknown_section(name: &str) -> String {
    if let Some(section) = nearest(name, SECTIONS.iter().map(|section| (*section, *section))) {
        return format!("unknown section; did you mean [{section}]?");
    }
    match nearest(name, keys().iter().map(|key| (key.name(), key))) {
        Some(key) => format!("unknown section; did you mean {}?", key.key),
        None => format!("unknown section; known are {}", SECTIONS.join(", ")),
    }
}

fn in_section(section: &str) -> impl Iterator<Item = &'static KeyInfo> {
    keys().iter().filter(move |key| key.section() == section)
}

/// The candidate nearest to `name`, if it is near enough to be meant: at most a third of the
/// letters wrong, counting a swap of neighbours as one.
fn nearest<'a, T>(name: &str, candidates: impl Iterator<Item = (&'a str, T)>) -> Option<T> {
    let name = name.to_lowercase().replace('-', "_");
    candidates
        .map(|(word, meant)| (strsim::damerau_levenshtein(&name, word), word, meant))
        .filter(|(distance, word, _)| distance * 3 <= word.len())
        .min_by_key(|(distance, ..)| *distance)
        .map(|(.., meant)| meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_key_is_offered_and_a_far_one_is_not() {
        for (section, name, expected) in [
            (
                "batch",
                "max_siz",
                "unknown key; did you mean batch.max_size?",
            ),
            (
                "batch",
                "max-size",
                "unknown key; did you mean batch.max_size?",
            ),
            (
                "batch",
                "MAX_SIZE",
                "unknown key; did you mean batch.max_size?",
            ),
            ("batch", "wiat", "unknown key; did you mean batch.wait?"),
            (
                "batch",
                "max_jobs",
                "unknown key; did you mean queue.max_jobs?",
            ),
            (
                "batch",
                "timeout",
                "unknown key; did you mean upstream.timeout?",
            ),
            (
                "admin",
                "colour",
                "unknown key; known are admin.listen, admin.hosts",
            ),
        ] {
            assert_eq!(
                unknown_key(section, name, |key| key.key.to_owned()),
                expected
            );
        }
    }

    #[test]
    fn a_near_section_is_offered_and_a_key_without_its_section() {
        for (name, expected) in [
            ("bacth", "unknown section; did you mean [batch]?"),
            ("Server", "unknown section; did you mean [server]?"),
            ("max_size", "unknown section; did you mean batch.max_size?"),
            (
                "zebra",
                "unknown section; known are server, admin, batch, queue, upstream, later, retry, circuit, shutdown, log",
            ),
        ] {
            assert_eq!(unknown_section(name), expected);
        }
    }
}
