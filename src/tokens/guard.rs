//! The file in force: who may come in now, and how often each has.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

use super::digest::Digest;
use super::file::{self, FileError};
use super::name::Name;
use crate::reread::{OpenError, Reread};

/// The longest token that is looked for, in bytes: digesting a longer one would cost those
/// who have none more than it costs whoever sends it.
const LONGEST: usize = 1_024;

/// Whom a token lets in.
#[derive(Debug)]
pub struct Admitted {
    name: Name,
    digest: Digest,
    requests: Arc<AtomicU64>,
}

impl Admitted {
    /// The token's name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// What stands for the token.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// One of its requests was let in.
    pub fn count(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }
}

/// The tokens of one file as it was read.
#[derive(Debug)]
pub struct Tokens {
    entries: Vec<Arc<Admitted>>,
    generation: u64,
}

impl Tokens {
    /// Whom this token lets in. Every entry is compared, whichever is the one.
    pub fn find(&self, presented: &[u8]) -> Option<&Arc<Admitted>> {
        if presented.len() > LONGEST {
            return None;
        }
        let presented = Digest::of(presented);
        let mut place = u32::MAX;
        for (at, entry) in (0..).zip(&self.entries) {
            let is_it = entry.digest.ct_eq(&presented);
            place.conditional_assign(&at, is_it);
        }
        self.entries.get(usize::try_from(place).ok()?)
    }

    /// Which of the files that were in force this is.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How often each token was let in, in the order of the file.
    pub fn counts(&self) -> impl Iterator<Item = (&Name, u64)> {
        let counted = |it: &Arc<Admitted>| it.requests.load(Ordering::Relaxed);
        self.entries.iter().map(move |it| (&it.name, counted(it)))
    }
}

/// Makes the tokens of a file, again and again: what a name has counted stays while the
/// file has the name.
#[derive(Debug, Default)]
struct Maker {
    counts: Mutex<HashMap<Name, Arc<AtomicU64>>>,
    latest: AtomicU64,
}

impl Maker {
    /// Those of a file with these contents, which are in force from here on.
    fn make(&self, contents: &[u8]) -> Result<Tokens, FileError> {
        let entries = file::read(contents)?;
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = entries.into_iter().map(|(name, digest)| {
            let requests = counts.get(&name).cloned().unwrap_or_default();
            Arc::new(Admitted {
                name,
                digest,
                requests,
            })
        });
        let entries: Vec<_> = entries.collect();
        let counted = |it: &Arc<Admitted>| (it.name.clone(), Arc::clone(&it.requests));
        *counts = entries.iter().map(counted).collect();
        drop(counts);
        let generation = 1 + self.latest.fetch_add(1, Ordering::Relaxed);
        Ok(Tokens {
            entries,
            generation,
        })
    }
}

impl Maker {
    /// One that counts on from what this has counted.
    fn another(&self) -> Self {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            counts: Mutex::new(counts.clone()),
            latest: AtomicU64::default(),
        }
    }
}

/// The tokens that let requests in to a listener; clones are the same.
#[derive(Clone, Debug)]
pub struct Guard {
    file: Arc<Reread<Tokens>>,
    maker: Arc<Maker>,
}

impl Guard {
    /// Reads the file, which is an error's `key`. It blocks on the file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn open(key: &str, path: &Path) -> Result<Self, OpenError> {
        Self::made_by(Maker::default(), key, path)
    }

    /// The same where another file may have been in force: if it is the same it goes on, and a
    /// name that both have counts on.
    ///
    /// # Errors
    /// As of [`open`](Self::open).
    pub fn followed_by(&self, key: &str, path: &Path) -> Result<Self, OpenError> {
        match self.file.paths() == [path] {
            true => Ok(self.clone()),
            false => Self::made_by(self.maker.another(), key, path),
        }
    }

    fn made_by(maker: Maker, key: &str, path: &Path) -> Result<Self, OpenError> {
        let maker = Arc::new(maker);
        let (made, shown) = (Arc::clone(&maker), path.display().to_string());
        let make = move |contents: &[Vec<u8>]| {
            let contents = contents.first().map_or(&[][..], Vec::as_slice);
            let tokens = made.make(contents);
            tokens.map_err(|error| format!("{shown}: {error}"))
        };
        Ok(Self {
            file: Reread::open(key, vec![path.to_owned()], make)?,
            maker,
        })
    }

    /// The tokens in force.
    pub fn current(&self) -> Arc<Tokens> {
        self.file.current()
    }

    /// Whether the tokens of this generation are the newest there are. They are not from a
    /// moment before newer ones are in force.
    pub fn is_newest(&self, generation: u64) -> bool {
        self.maker.latest.load(Ordering::Relaxed) == generation
    }

    /// The file, which is read again.
    pub fn file(&self) -> &Arc<Reread<Tokens>> {
        &self.file
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::reread::{Again as _, Looked};

    fn line(name: &str, token: &str) -> String {
        format!("{name}: sha256:{}\n", Digest::of(token.as_bytes()))
    }

    fn found(tokens: &Tokens, presented: &str) -> Option<String> {
        let found = tokens.find(presented.as_bytes());
        found.map(|it| it.name().to_string())
    }

    #[test]
    fn each_token_is_found_by_itself_and_nothing_else_is() {
        let longest = "l".repeat(LONGEST);
        let all = [("first", "one"), ("second", "two"), ("last", &longest)];
        let file: String = all.iter().map(|(name, token)| line(name, token)).collect();
        let tokens = Maker::default().make(file.as_bytes()).unwrap();
        for (name, token) in all {
            assert_eq!(found(&tokens, token).as_deref(), Some(name));
        }
        for wrong in ["", "on", "onee", "ONE", "three", &format!("{longest}l")] {
            assert_eq!(found(&tokens, wrong), None, "{wrong}");
        }
        // Nor is a digest a token.
        let digest = Digest::of(b"one");
        assert!(tokens.find(digest.as_bytes()).is_none());
        assert_eq!(found(&tokens, &digest.to_string()), None);
    }

    #[test]
    fn a_file_that_changes_lets_others_in_and_what_was_counted_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        fs::write(&path, line("ci", "one") + &line("gone", "two")).unwrap();
        let guard = Guard::open("server.auth.tokens", &path).unwrap();
        let first = guard.current();
        assert!(guard.is_newest(first.generation()));
        first.find(b"one").unwrap().count();
        first.find(b"two").unwrap().count();
        fs::write(&path, line("new", "three") + &line("ci", "four")).unwrap();
        assert!(matches!(guard.file().look(), Looked::New));
        let second = guard.current();
        assert!(guard.is_newest(second.generation()) && !guard.is_newest(first.generation()));
        assert_eq!(found(&second, "one"), None);
        // Who was let in before counts on.
        first.find(b"one").unwrap().count();
        second.find(b"four").unwrap().count();
        let counts = |tokens: &Tokens| {
            let counts = tokens
                .counts()
                .map(|(name, count)| (name.to_string(), count));
            counts.collect::<Vec<_>>()
        };
        let expected = [("new".to_owned(), 0), ("ci".to_owned(), 3)];
        assert_eq!(counts(&second), expected);
        // What is wrong changes nothing, and is told with its file.
        fs::write(&path, "ci: four\n").unwrap();
        let Looked::Failed(error) = guard.file().look() else {
            panic!("a file with a mistake");
        };
        let told = format!("{}: line 1: ", path.display());
        assert!(error.to_string().starts_with(&told), "{error}");
        assert_eq!(counts(&guard.current()), expected);
        assert!(Guard::open("server.auth.tokens", &path).is_err());
    }
}
