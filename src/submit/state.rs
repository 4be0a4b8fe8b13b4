//! The file from which a run goes on that was stopped or killed.
//!
//! It is appended to, an entry at a time, each with one call to the system: what is in it
//! survives the process, at whatever moment that is killed, but for a last line that was cut
//! off. It is not forced to the disk, so a machine that loses its power may lose of it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thiserror::Error;

use super::entry::{Entry, Fingerprint, Header, Known};

/// How many random bytes name a run: nobody guesses the name of its stream.
const RUN_BYTES: usize = 16;

/// Why a run can't go on from a state file, or not write to it.
#[derive(Debug, Error)]
pub enum StateError {
    /// It can't be read or written.
    #[error("can't use the state file {}", .0.display())]
    Io(PathBuf, #[source] io::Error),
    /// Another run has it.
    #[error("the state file {} is in use by another run", .0.display())]
    InUse(PathBuf),
    /// It is none.
    #[error("{}: line {line} is not what a state file has", path.display())]
    NotAState {
        /// The file.
        path: PathBuf,
        /// The line's number.
        line: u64,
    },
    /// The run that it is of wrote its results in the other order.
    #[error("the run of {} was started {} --ordered; go on the same way", .0.display(), if *.1 { "with" } else { "without" })]
    Order(PathBuf, bool),
    /// The system gives no random bits.
    #[error("the system gives no random bits for the run's name: {0}")]
    Randomness(#[from] getrandom::Error),
}

/// A run as it is told by its file, or a new one.
#[derive(Debug)]
pub struct State {
    /// The run's name.
    pub run: String,
    /// What is done already.
    pub known: Known,
    /// The lines that were read.
    pub read_before: ReadBefore,
    /// What further entries go to.
    pub journal: Journal,
}

impl State {
    /// A new run that leaves nothing behind.
    ///
    /// # Errors
    /// Where there are no random bits.
    pub fn unsaved() -> Result<Self, StateError> {
        Ok(Self {
            run: new_run()?,
            known: Known::default(),
            read_before: ReadBefore(None),
            journal: Journal(None),
        })
    }

    /// The run of this file, which is made where there is none.
    ///
    /// # Errors
    /// Where it is no state file, another's or can't be used.
    pub fn open(path: &Path, ordered: bool) -> Result<Self, StateError> {
        let failed = |error| StateError::Io(path.to_owned(), error);
        let mut file = OpenOptions::new();
        let file = file.read(true).append(true).create(true);
        let mut file = file.open(path).map_err(failed)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => StateError::InUse(path.to_owned()),
            TryLockError::Error(error) => failed(error),
        })?;
        let (header, known, whole) = read(path, &file)?;
        file.set_len(whole).map_err(failed)?;
        let header = match header {
            Some(header) if header.ordered != ordered => {
                return Err(StateError::Order(path.to_owned(), header.ordered));
            }
            Some(header) => header,
            None => {
                let run = new_run()?;
                let header = Header { run, ordered };
                file.write_all(header.to_string().as_bytes())
                    .map_err(failed)?;
                header
            }
        };
        let mut again = BufReader::new(File::open(path).map_err(failed)?);
        again.skip_until(b'\n').map_err(failed)?;
        Ok(Self {
            run: header.run,
            read_before: ReadBefore(Some((again, known.read))),
            known,
            journal: Journal::new(path, file),
        })
    }
}

fn new_run() -> Result<String, StateError> {
    let mut bytes = [0; RUN_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// What a file says, and how long it is without a last line that was cut off.
fn read(path: &Path, mut file: &File) -> Result<(Option<Header>, Known, u64), StateError> {
    let failed = |error| StateError::Io(path.to_owned(), error);
    file.rewind().map_err(failed)?;
    let mut reader = BufReader::new(file);
    let (mut header, mut known, mut whole) = (None, Known::default(), 0);
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        let length = reader.read_until(b'\n', &mut text).map_err(failed)?;
        let Some(text) = text.strip_suffix(b"\n") else {
            break;
        };
        let text = std::str::from_utf8(text).ok();
        let understood = text.and_then(|text| match header {
            None => text.parse().map(|it| header = Some(it)).ok(),
            Some(_) => text.parse().and_then(|entry| known.take(entry)).ok(),
        });
        let path = path.to_owned();
        understood.ok_or(StateError::NotAState { path, line })?;
        whole += length as u64;
    }
    // What was cut off is the beginning of a state file: whatever else it is, is not ours.
    let header_cut = header.is_none()
        && !text.is_empty()
        && !b"microbatch-submit ".starts_with(&text[..text.len().min(18)]);
    if header_cut {
        let path = path.to_owned();
        return Err(StateError::NotAState { path, line: 1 });
    }
    Ok((header, known, whole))
}

/// The lines that were read before, one by one: the file is read along with the input, since
/// neither need fit into memory.
#[derive(Debug)]
pub struct ReadBefore(Option<(BufReader<File>, u64)>);

impl ReadBefore {
    /// The next of them.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn next_one(&mut self) -> io::Result<Option<Fingerprint>> {
        let Some((file, left)) = &mut self.0 else {
            return Ok(None);
        };
        let mut text = String::new();
        while *left > 0 {
            text.clear();
            if file.read_line(&mut text)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Ok(Entry::Read(fingerprint)) = text.trim_end().parse() {
                *left -= 1;
                return Ok(Some(fingerprint));
            }
        }
        Ok(None)
    }
}

/// Where entries go, if anywhere. Clones are the same.
#[derive(Clone, Debug)]
pub struct Journal(Option<Arc<Mutex<Appended>>>);

#[derive(Debug)]
struct Appended {
    path: PathBuf,
    file: File,
    /// An entry may stand there in part: nothing may follow it.
    is_torn: bool,
}

impl Journal {
    fn new(path: &Path, file: File) -> Self {
        Self(Some(Arc::new(Mutex::new(Appended {
            path: path.to_owned(),
            file,
            is_torn: false,
        }))))
    }

    /// Appends an entry.
    ///
    /// # Errors
    /// Where it can't be written, and then ever after.
    pub fn append(&self, entry: Entry) -> Result<(), StateError> {
        let Some(appended) = &self.0 else {
            return Ok(());
        };
        let mut appended = appended.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |error| StateError::Io(appended.path.clone(), error);
        if appended.is_torn {
            return Err(failed(io::Error::other("an entry was written in part")));
        }
        let text = entry.to_string();
        let written = (&appended.file).write_all(text.as_bytes());
        let written = written.map_err(failed);
        appended.is_torn = written.is_err();
        written
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(state: &mut State, line: u64) {
        let read = Entry::Read(Fingerprint::of(&line.to_be_bytes()));
        state.journal.append(read).unwrap();
        let (failed, length) = (line == 2, None);
        let written = Entry::Written {
            line,
            failed,
            length,
        };
        state.journal.append(written).unwrap();
    }

    #[test]
    fn a_run_goes_on_from_its_file_however_much_of_the_last_line_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        let mut state = State::open(&path, true).unwrap();
        (1..=3).for_each(|line| write(&mut state, line));
        let run = state.run.clone();
        drop(state);
        let whole = fs::read(&path).unwrap();
        let header = whole.iter().position(|&byte| byte == b'\n').unwrap();
        for length in 0..=whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let mut state = State::open(&path, true).unwrap();
            assert_eq!(state.run == run, length > header, "{length}");
            let (read, done) = (state.known.read, state.known.done.count());
            assert!(done == read || done + 1 == read, "{length}");
            for line in 1..=read {
                let fingerprint = Fingerprint::of(&line.to_be_bytes());
                assert_eq!(state.read_before.next_one().unwrap(), Some(fingerprint));
            }
            assert_eq!(state.read_before.next_one().unwrap(), None);
            // What it goes on with is read again.
            write(&mut state, read + 1);
            drop(state);
            let state = State::open(&path, true).unwrap();
            assert_eq!(
                (state.known.read, state.known.done.count()),
                (read + 1, done + 1)
            );
        }
    }

    #[test]
    fn what_is_no_state_file_of_this_run_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        for text in [
            "{\"id\":1}\n",
            "{\"id\":1}",
            "microbatch-submit 1 a input\nx\n",
        ] {
            fs::write(&path, text).unwrap();
            let refused = State::open(&path, true).unwrap_err();
            assert!(matches!(refused, StateError::NotAState { .. }), "{text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::remove_file(&path).unwrap();
        let state = State::open(&path, true).unwrap();
        let refused = State::open(&path, true).unwrap_err();
        assert!(matches!(refused, StateError::InUse(_)), "{refused}");
        drop(state);
        let refused = State::open(&path, false).unwrap_err();
        assert!(matches!(refused, StateError::Order(_, true)), "{refused}");
    }
}
