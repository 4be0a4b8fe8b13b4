//! A record: what it is made of, and how far it has come.

use std::sync::Arc;

use compact_str::CompactString;
use thiserror::Error;

use super::answer::Answer;
use crate::job::{Handle, Job, RouteName, State};
use crate::job_id::JobId;

/// A time, in milliseconds since the epoch.
pub type Millis = u64;

/// What the jobs of a route have in common that may share a batch: equal for equal frames,
/// and for no others that anybody can find; zeros where there is no frame.
pub type FrameKey = [u8; 16];

/// A record about to be made.
#[derive(Clone, Debug)]
pub struct NewRecord {
    /// Its address.
    pub handle: Handle,
    /// The route that its job came to.
    pub route: RouteName,
    /// The job, which knows the handle too.
    pub job: Job,
    /// What it has in common with those that it may share a batch with.
    pub frame: FrameKey,
    /// The stream that its answer is told on.
    pub stream: Option<StreamName>,
    /// What makes handing it in again harmless.
    pub idempotency: Option<Idempotency>,
    /// When its job is answered at the latest: `later.job_timeout` after it was handed in.
    pub deadline: Millis,
}

/// The key of a request, and what it is compared by when it comes again to its route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The key.
    pub key: IdempotencyKey,
    /// SHA-256 of the request: its body, its stream, and what else travels with its job.
    pub digest: [u8; 32],
}

/// A record, as it is read.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its address.
    pub handle: Handle,
    /// The route that its job came to.
    pub route: RouteName,
    /// Its job's id, if that has one.
    pub id: Option<JobId>,
    /// How far it has come.
    pub state: State,
    /// When it expires, in milliseconds since the epoch: unfinished, when it would at the
    /// latest.
    pub expires_at: Millis,
    /// Its answer, once it is finished.
    pub answer: Option<Answer>,
}

/// The text breaks the rule for such texts.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum InvalidName {
    /// A stream's.
    #[error("a stream's name is 1 to 64 characters of A-Z, a-z, 0-9, '.', '_' and '-'")]
    Stream,
    /// A key's.
    #[error("an Idempotency-Key is 1 to 255 printable ASCII characters, in quotes or not")]
    Key,
}

/// A stream's name: 1 to 64 of `[A-Za-z0-9._-]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName(Arc<str>);

impl StreamName {
    /// The name, checked.
    ///
    /// # Errors
    /// Where it breaks the rule.
    pub fn new(name: &str) -> Result<Self, InvalidName> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        match (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
            true => Ok(Self(name.into())),
            false => Err(InvalidName::Stream),
        }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An idempotency key: 1 to 255 printable characters of ASCII.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdempotencyKey(CompactString);

impl IdempotencyKey {
    /// The key, checked; a pair of quotes around it is not part of it.
    ///
    /// # Errors
    /// Where it breaks the rule.
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        let quoted = text.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
        Self::stored(quoted.unwrap_or(text))
    }

    /// A key as [`as_str`](Self::as_str) has told it, checked; quotes are part of it.
    ///
    /// # Errors
    /// Where it breaks the rule.
    pub fn stored(key: &str) -> Result<Self, InvalidName> {
        let printable = |byte: u8| matches!(byte, 0x20..=0x7e);
        match (1..=255).contains(&key.len()) && key.bytes().all(printable) {
            true => Ok(Self(key.into())),
            false => Err(InvalidName::Key),
        }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_streams() {
        let longest = "a".repeat(64);
        for name in ["a", "A.b_c-9", &longest] {
            assert_eq!(StreamName::new(name).unwrap().as_str(), name);
        }
        for name in ["", "a b", "a/b", "é", "a\n", &"a".repeat(65)] {
            assert_eq!(StreamName::new(name), Err(InvalidName::Stream), "{name}");
        }
    }

    #[test]
    fn idempotency_keys() {
        let longest = "k".repeat(255);
        for (text, key) in [
            ("\"k\"", "k"),
            ("k", "k"),
            ("\"a b\"", "a b"),
            ("\"", "\""),
            (&longest, &longest),
        ] {
            assert_eq!(IdempotencyKey::new(text).unwrap().as_str(), key);
        }
        for text in ["", "\"\"", "é", "a\tb", &"k".repeat(256)] {
            assert_eq!(IdempotencyKey::new(text), Err(InvalidName::Key), "{text}");
        }
        // What is stored is the key, whatever quotes it has.
        for (text, key) in [("\"\"\"\"", "\"\""), ("\"\"k\"\"", "\"k\"")] {
            let new = IdempotencyKey::new(text).unwrap();
            assert_eq!(new.as_str(), key);
            assert_eq!(IdempotencyKey::stored(key), Ok(new));
        }
        for text in ["", "é", &"k".repeat(256)] {
            assert_eq!(IdempotencyKey::stored(text), Err(InvalidName::Key));
        }
    }
}
