//! Files that are read again when their contents change.
//!
//! Certificates, tokens and what else may change while the proxy runs are opened as a
//! [`Reread`], which keeps what its files came to the last time that they were sound. Whoever goes
//! by them asks for [`Reread::current`]; one task of `app` has all of them
//! [look](Again::look) again from time to time, and when it is told to.
//!
//! Contents are compared, not times: Kubernetes swaps a symbolic link, others write in place, and
//! a file that is merely touched changes nothing. What does not do is told once for each contents
//! of it, and what was there before stays.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::printable::path;

/// The largest file that is read, in bytes.
pub const LARGEST: u64 = 1024 * 1024;

/// How long changed contents have to stay as they are before they count.
const SETTLES: Duration = Duration::from_millis(100);

/// Why files are not gone by: which file, what is wrong, and what to do.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The system does not give it.
    #[error("{}: can't be read: {error}{}", path(file), way_out(error))]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// It is a directory, a pipe or a device.
    #[error("{}: is no file; name a regular file", path(.0))]
    NoFile(PathBuf),
    /// It is larger than [`LARGEST`].
    #[error("{}: is larger than 1 MiB; name a file that is what it is to be", path(.0))]
    TooLarge(PathBuf),
    /// What it says does not do.
    #[error("{0}")]
    Unsound(String),
}

fn way_out(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; name a file that is there",
        io::ErrorKind::PermissionDenied => "; let the user that the proxy runs as read it",
        _ => "",
    }
}

/// What another look at the files has come to.
#[derive(Debug)]
pub enum Looked {
    /// They are as they were when they were last looked at, sound or not.
    Same,
    /// They have changed, and what they come to is in force from here on.
    New,
    /// They have changed, and do not do: what was in force before stays.
    Failed(OpenError),
}

/// What can be told to look at its files again.
pub trait Again: Send + Sync {
    /// What the files are, as a line of the log has it.
    fn name(&self) -> &str;

    /// Looks at them again. It reads files, and so is called where that holds up nobody.
    fn look(&self) -> Looked;
}

type Make<T> = dyn Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync;

/// What files come to, as long as they are sound the newest of them. See the module.
pub struct Reread<T> {
    name: String,
    paths: Vec<PathBuf>,
    make: Box<Make<T>>,
    current: RwLock<Arc<T>>,
    seen: Mutex<Seen>,
}

/// What was seen of files the last time, without what is in them: that may be secret.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Contents([u8; 32]),
    Unreadable(String),
}

impl Seen {
    fn of(read: &Result<Vec<Vec<u8>>, OpenError>) -> Self {
        match read {
            Ok(contents) => {
                let mut digest = Sha256::new();
                for content in contents {
                    digest.update((content.len() as u64).to_be_bytes());
                    digest.update(content);
                }
                Self::Contents(digest.finalize().into())
            }
            Err(error) => Self::Unreadable(error.to_string()),
        }
    }
}

impl<T> Reread<T> {
    /// What `make` makes of the contents of these files, in their order. An error of its names the
    /// file that it is about. It reads files, as [`Again::look`] does.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn open(
        name: impl Into<String>,
        paths: Vec<PathBuf>,
        make: impl Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, OpenError> {
        let (seen, made) = load(&paths, &make);
        Ok(Arc::new(Self {
            name: name.into(),
            paths,
            make: Box::new(make),
            current: RwLock::new(Arc::new(made?)),
            seen: Mutex::new(seen),
        }))
    }

    /// What is in force.
    pub fn current(&self) -> Arc<T> {
        // Nothing panics while it is held.
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The files.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }
}

impl<T: Send + Sync> Again for Reread<T> {
    fn name(&self) -> &str {
        &self.name
    }

    fn look(&self) -> Looked {
        let mut last = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let read = read_all(&self.paths);
        if Seen::of(&read) == *last {
            return Looked::Same;
        }
        // What is still being written is left for the next look, however sound a part of it is.
        std::thread::sleep(SETTLES);
        let again = read_all(&self.paths);
        if Seen::of(&again) != Seen::of(&read) {
            return Looked::Same;
        }
        let (seen, made) = make_of(again, &*self.make);
        *last = seen;
        match made {
            Ok(made) => {
                let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                *current = Arc::new(made);
                Looked::New
            }
            Err(error) => Looked::Failed(error),
        }
    }
}

impl<T> fmt::Debug for Reread<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reread")
            .field("name", &self.name)
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}

fn load<T>(paths: &[PathBuf], make: &Make<T>) -> (Seen, Result<T, OpenError>) {
    make_of(read_all(paths), make)
}

fn make_of<T>(
    read: Result<Vec<Vec<u8>>, OpenError>,
    make: &Make<T>,
) -> (Seen, Result<T, OpenError>) {
    let seen = Seen::of(&read);
    let made = read.and_then(|contents| make(&contents).map_err(OpenError::Unsound));
    (seen, made)
}

fn read_all(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, OpenError> {
    paths.iter().map(|path| read(path)).collect()
}

/// Reads a file of bounded size.
///
/// # Errors
/// What is wrong with it.
pub fn read(path: &Path) -> Result<Vec<u8>, OpenError> {
    let unreadable = |error| OpenError::Unreadable {
        file: path.to_owned(),
        error,
    };
    // Asked before it is opened: opening a pipe waits for somebody to write.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(OpenError::NoFile(path.to_owned()));
    }
    let mut contents = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    let read = file.take(LARGEST + 1).read_to_end(&mut contents);
    match read.map_err(unreadable)? as u64 > LARGEST {
        true => Err(OpenError::TooLarge(path.to_owned())),
        false => Ok(contents),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    struct Files {
        directory: tempfile::TempDir,
        again: Arc<Reread<String>>,
    }

    /// Two files that come to a text, as long as both begin with the same letter.
    fn files() -> Files {
        let directory = tempfile::tempdir().unwrap();
        let paths = ["one", "two"].map(|name| directory.path().join(name));
        paths
            .iter()
            .for_each(|path| fs::write(path, "a first").unwrap());
        let again = Reread::open("letters", paths.to_vec(), |contents| {
            let [one, two] = contents else {
                return Err("not two".to_owned());
            };
            let text = String::from_utf8_lossy(one).into_owned();
            match one.first() == two.first() {
                true => Ok(text),
                false => Err(format!("{text} does not match")),
            }
        });
        Files {
            again: again.unwrap(),
            directory,
        }
    }

    impl Files {
        fn write(&self, name: &str, text: &str) {
            fs::write(self.directory.path().join(name), text).unwrap();
        }

        fn look(&self) -> String {
            match self.again.look() {
                Looked::Same => "same".to_owned(),
                Looked::New => format!("new {}", self.again.current()),
                Looked::Failed(error) => format!("failed {error}"),
            }
        }
    }

    #[test]
    fn contents_are_compared_and_not_times() {
        let files = files();
        assert_eq!(files.look(), "same");
        files.write("one", "a first");
        assert_eq!(files.look(), "same");
        files.write("one", "a second");
        assert_eq!(files.look(), "new a second");
        assert_eq!(files.look(), "same");
        // Either file counts, also where the other has what this one lost.
        files.write("two", "a");
        assert_eq!(files.look(), "new a second");
    }

    #[test]
    fn the_last_sound_one_stays_and_each_contents_fail_once() {
        let files = files();
        files.write("one", "b");
        assert_eq!(files.look(), "failed b does not match");
        assert_eq!(files.look(), "same");
        assert_eq!(*files.again.current(), "a first");
        files.write("one", "c");
        assert_eq!(files.look(), "failed c does not match");
        fs::remove_file(files.directory.path().join("one")).unwrap();
        let gone = files.look();
        assert!(gone.contains("one: can't be read: "), "{gone}");
        assert!(gone.ends_with("; name a file that is there"), "{gone}");
        assert_eq!(files.look(), "same");
        files.write("one", "a third");
        assert_eq!(files.look(), "new a third");
        // What was there before it went wrong is news then too.
        files.write("one", "b");
        files.look();
        files.write("one", "a third");
        assert_eq!(files.look(), "new a third");
    }

    #[test]
    fn a_directory_that_is_swapped_by_a_link_is_read_through_it() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for version in ["v1", "v2"] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("file"), version).unwrap();
        }
        symlink("v1", at("..data")).unwrap();
        symlink("..data/file", at("file")).unwrap();
        let again = Reread::open("linked", vec![at("file")], |contents| {
            Ok(contents[0].clone())
        });
        let again = again.unwrap();
        assert_eq!(*again.current(), b"v1");
        symlink("v2", at("..tmp")).unwrap();
        fs::rename(at("..tmp"), at("..data")).unwrap();
        assert!(matches!(again.look(), Looked::New));
        assert_eq!(*again.current(), b"v2");
    }

    #[test]
    fn what_is_no_file_of_bounded_size_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let large = directory.path().join("large");
        fs::write(&large, vec![b' '; LARGEST as usize]).unwrap();
        assert_eq!(read(&large).unwrap().len() as u64, LARGEST);
        fs::write(&large, vec![b' '; LARGEST as usize + 1]).unwrap();
        let told = |path: &Path| read(path).unwrap_err().to_string();
        assert!(
            told(&large).contains("is larger than 1 MiB"),
            "{}",
            told(&large)
        );
        for path in [directory.path(), Path::new("/dev/zero")] {
            assert!(told(path).contains("is no file"), "{}", told(path));
        }
    }
}
