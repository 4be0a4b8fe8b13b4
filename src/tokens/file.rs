//! The file of tokens: `name: sha256:<64 hexadecimal digits>` a line, `#` comments, and
//! lines with nothing.
//!
//! Nothing of a line that is wrong is repeated but a name that is right: it may be a token.

use std::collections::HashMap;

use thiserror::Error;

use super::digest::Digest;
use super::name::{Name, NotAName};
use super::token::PREFIX;

/// The largest file, in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// The most tokens of a file: each is compared with what a request presents, and each is
/// a series of the metrics.
pub const MAX_TOKENS: usize = 1_000;

/// How an entry's second half begins.
const ALGORITHM: &str = "sha256:";

/// The file's entries, in its order: at least one, and no name or digest twice.
pub type Entries = Vec<(Name, Digest)>;

/// What is wrong with the file, where, and what to do.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FileError {
    /// It is no text.
    #[error("it is no UTF-8 text; a line is '{FORM}'")]
    NoText,
    /// There is more of it than may be.
    #[error("it is larger than {MAX_BYTES} bytes; leave out what is no token")]
    TooLarge,
    /// There are more tokens than may be.
    #[error("line {line}: there are more than {MAX_TOKENS} tokens; leave out those not used")]
    TooMany {
        /// The line of the first that is too much.
        line: usize,
    },
    /// There is no token.
    #[error(
        "there is no token in it, so that nobody could come in; add one by `microbatch token \
         NAME`, and leave the setting out if everybody may"
    )]
    Empty,
    /// A line is no entry.
    #[error("line {line}: it is not '{FORM}' (not shown, since it may be a token)")]
    NoEntry {
        /// Where.
        line: usize,
    },
    /// A token itself.
    #[error(
        "line {line}: a token itself stands there, where its digest belongs: whoever reads \
         this file can use it. Take it out, and make another by `microbatch token NAME`"
    )]
    Bare {
        /// Where.
        line: usize,
    },
    /// A name that can't be one.
    #[error("line {line}: {error}")]
    Name {
        /// Where.
        line: usize,
        /// Why not.
        error: NotAName,
    },
    /// No digest.
    #[error(
        "line {line}: what follows '{name}:' is not sha256: and 64 hexadecimal digits (not \
         shown, since it may be a token); `microbatch token {name}` makes a line"
    )]
    Digest {
        /// Where.
        line: usize,
        /// Whose.
        name: Name,
    },
    /// A name twice.
    #[error("line {line}: '{name}' stands in line {first} already; give each token a name")]
    NameTwice {
        /// Where.
        line: usize,
        /// Which.
        name: Name,
        /// Where it was first.
        first: usize,
    },
    /// A digest twice.
    #[error(
        "line {line}: '{name}' has the digest of '{other}' in line {first}; make each a token \
         of its own by `microbatch token NAME`"
    )]
    DigestTwice {
        /// Where.
        line: usize,
        /// Whose.
        name: Name,
        /// Who has it too.
        other: Name,
        /// Where.
        first: usize,
    },
}

/// A line, as it is explained.
const FORM: &str = "name: sha256:<64 hexadecimal digits>";

/// Reads a file.
///
/// # Errors
/// The first mistake.
pub(super) fn read(file: &[u8]) -> Result<Entries, FileError> {
    if file.len() > MAX_BYTES {
        return Err(FileError::TooLarge);
    }
    // Some editors begin a file with a mark of its order.
    let text = std::str::from_utf8(file).map_err(|_| FileError::NoText)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut entries = Entries::new();
    // Where each was first.
    let (mut names, mut digests) = (HashMap::new(), HashMap::new());
    for (number, written) in text.lines().enumerate() {
        let line = number + 1;
        let written = written.trim();
        if written.is_empty() || written.starts_with('#') {
            continue;
        }
        if entries.len() == MAX_TOKENS {
            return Err(FileError::TooMany { line });
        }
        let (name, digest) = entry(written, line)?;
        if let Some(&first) = names.get(&name) {
            return Err(FileError::NameTwice { line, name, first });
        }
        if let Some((other, first)) = digests.get(digest.as_bytes()).cloned() {
            return Err(FileError::DigestTwice {
                line,
                name,
                other,
                first,
            });
        }
        names.insert(name.clone(), line);
        digests.insert(*digest.as_bytes(), (name.clone(), line));
        entries.push((name, digest));
    }
    match entries.is_empty() {
        true => Err(FileError::Empty),
        false => Ok(entries),
    }
}

fn entry(written: &str, line: usize) -> Result<(Name, Digest), FileError> {
    let is_bare = |part: &str| part.trim().starts_with(PREFIX);
    let Some((name, value)) = written.split_once(':') else {
        return Err(match is_bare(written) {
            true => FileError::Bare { line },
            false => FileError::NoEntry { line },
        });
    };
    let value = value.trim();
    let digest = value.strip_prefix(ALGORITHM);
    if is_bare(name) || is_bare(value) || digest.is_some_and(is_bare) {
        return Err(FileError::Bare { line });
    }
    let name: Name = name
        .trim()
        .parse()
        .map_err(|error| FileError::Name { line, error })?;
    let digest = digest.and_then(|it| it.trim().parse().ok());
    match digest {
        Some(digest) => Ok((name, digest)),
        None => Err(FileError::Digest { line, name }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tokens::Token;

    fn digest(of: &str) -> String {
        Digest::of(of.as_bytes()).to_string()
    }

    #[test]
    fn a_file_is_read() {
        let (ci, ops) = (digest("a"), digest("b"));
        let file = format!(
            "\u{feff}# who may come in\r\n\n  ci: sha256:{ci}\r\n\t# and\nops:sha256: {}  ",
            ops.to_uppercase()
        );
        let entries = read(file.as_bytes()).unwrap();
        let entries = entries
            .iter()
            .map(|(name, it)| (name.as_str(), it.to_string()));
        assert_eq!(entries.collect::<Vec<_>>(), [("ci", ci), ("ops", ops)]);
    }

    #[test]
    fn every_mistake_has_its_line_and_what_to_do() {
        const SECRET: &str = "s3cret-s3cret";
        let token = Token::new().unwrap();
        let (token, a) = (token.reveal(), digest("a"));
        let name = "ci".parse::<Name>().unwrap();
        let many: String = (0..=MAX_TOKENS)
            .map(|it| format!("n{it}: sha256:{}\n", digest(&it.to_string())))
            .collect();
        let line = 2;
        for (file, expected) in [
            (String::new(), FileError::Empty),
            ("# none\n\n".to_owned(), FileError::Empty),
            (format!("\n{SECRET}"), FileError::NoEntry { line }),
            (format!("\n{token}"), FileError::Bare { line }),
            (format!("#\nci: {token}"), FileError::Bare { line }),
            (format!("#\nci: sha256:{token}"), FileError::Bare { line }),
            (format!("#\n{token}: sha256:{a}"), FileError::Bare { line }),
            (
                format!("\n{SECRET} {SECRET}: sha256:{a}"),
                FileError::Name {
                    line,
                    error: NotAName::Form,
                },
            ),
            (
                format!("\nci: {SECRET}"),
                FileError::Digest {
                    line,
                    name: name.clone(),
                },
            ),
            (
                format!("\nci: {a}"),
                FileError::Digest {
                    line,
                    name: name.clone(),
                },
            ),
            (
                format!("\nci: sha256:{}", &a[1..]),
                FileError::Digest {
                    line,
                    name: name.clone(),
                },
            ),
            (
                format!("ci: sha256:{a}\nci: sha256:{}", digest("b")),
                FileError::NameTwice {
                    line,
                    name: name.clone(),
                    first: 1,
                },
            ),
            (
                format!("other: sha256:{a}\nci: sha256:{a}"),
                FileError::DigestTwice {
                    line,
                    name: name.clone(),
                    other: "other".parse().unwrap(),
                    first: 1,
                },
            ),
            (
                many,
                FileError::TooMany {
                    line: MAX_TOKENS + 1,
                },
            ),
            ("#".repeat(MAX_BYTES + 1), FileError::TooLarge),
        ] {
            let error = read(file.as_bytes()).unwrap_err();
            assert_eq!(error, expected);
            let said = error.to_string();
            assert!(!said.contains(SECRET) && !said.contains(token), "{said}");
            assert!(!said.contains(&a[1..]), "{said}");
        }
        assert_eq!(read(b"ci: \xff").unwrap_err(), FileError::NoText);
    }

    proptest! {
        #[test]
        fn whatever_the_file_is_a_mistake_repeats_no_more_than_a_name(file in "[a-z:#\\n =é]{0,200}") {
            if let Err(error) = read(file.as_bytes()) {
                let said = error.to_string();
                let longest = file.lines().map(str::trim).filter(|it| it.len() > Name::LONGEST);
                prop_assert!(longest.into_iter().all(|it| !said.contains(it)));
            }
        }
    }
}
