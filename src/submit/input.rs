//! The lines of the input, read on a thread of their own: nobody knows when a pipe has more.
//!
//! They are numbered from 1 through all files. Each is told to the state file before it is
//! handed over; one that was read by an earlier run must be what it was.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::mpsc;

use super::entry::{Entry, Fingerprint};
use super::lines::Lines;
use super::state::{Journal, ReadBefore, StateError};

/// The longest line. What has none for longer is no NDJSON.
const LONGEST: u64 = 64 << 20;

/// Lines that were read and not taken yet.
const AHEAD: usize = 4;

/// A file's name, or `-` for standard input.
const STDIN: &str = "-";

/// A job of the input.
#[derive(Debug)]
pub struct Line {
    /// Its number.
    pub number: u64,
    /// It, without its end.
    pub job: Bytes,
    /// How many bytes of the input it takes up.
    pub size: u64,
    /// How many the lines before it do that need nothing.
    pub skipped: u64,
}

/// Why the input can't be read, or not be gone on with.
#[derive(Debug, Error)]
pub enum InputError {
    /// A file can't be read.
    #[error("can't read {}", .0.display())]
    Io(PathBuf, #[source] io::Error),
    /// A line has no end.
    #[error("{}: line {line} has more than 64 MiB; jobs are to stand on a line each (NDJSON)", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The line's number, through all files.
        line: u64,
    },
    /// It is another than what was read before.
    #[error(
        "{}: line {line} is not what it was when the run of the state file read it; \
         give the same input in the same order, or begin another run with another state file",
        path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// The line's number, through all files.
        line: u64,
    },
    /// It ends before what was read before.
    #[error(
        "the input has {0} lines, and the run of the state file has read more; \
         give the same input in the same order, or begin another run with another state file"
    )]
    Shorter(u64),
    /// The state file can't be used.
    #[error(transparent)]
    State(#[from] StateError),
}

/// What is to be read, and what was before.
#[derive(Debug)]
pub struct Input {
    /// The files.
    pub files: Vec<PathBuf>,
    /// The lines whose results are written.
    pub done: Lines,
    /// The lines that were read before.
    pub read_before: ReadBefore,
    /// Where it is noted what is read.
    pub journal: Journal,
}

/// The bytes of all files, where every one is such that they are known.
///
/// # Errors
/// Where one can't be opened: it is better said before anything is handed in.
pub fn size(files: &[PathBuf]) -> Result<Option<u64>, InputError> {
    let mut size = Some(0);
    for path in files.iter().filter(|path| *path != Path::new(STDIN)) {
        let failed = |error| InputError::Io(path.clone(), error);
        let about = path.metadata().map_err(failed)?;
        if about.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        // Opening a pipe would wait for who writes to it.
        if about.is_file() {
            File::open(path).map_err(failed)?;
        }
        let length = about.is_file().then_some(about.len());
        size = size.zip(length).map(|(sum, length)| sum + length);
    }
    match files.iter().any(|path| path == Path::new(STDIN)) {
        true => Ok(None),
        false => Ok(size),
    }
}

impl Input {
    /// Starts to read. After an error nothing comes any more.
    ///
    /// # Errors
    /// Where there can be no thread.
    pub fn start(self) -> io::Result<mpsc::Receiver<Result<Line, InputError>>> {
        let (lines, receiver) = mpsc::channel(AHEAD);
        let thread = std::thread::Builder::new().name("input".to_owned());
        thread.spawn(move || {
            if let Err(error) = self.read(&lines) {
                // Nobody to hear it: the run has ended.
                let _ = lines.blocking_send(Err(error));
            }
        })?;
        Ok(receiver)
    }

    fn read(mut self, lines: &mpsc::Sender<Result<Line, InputError>>) -> Result<(), InputError> {
        let (mut number, mut skipped) = (0, 0);
        for path in std::mem::take(&mut self.files) {
            let failed = |error| InputError::Io(path.clone(), error);
            let file: Box<dyn Read> = match path == Path::new(STDIN) {
                true => Box::new(io::stdin()),
                false => Box::new(File::open(&path).map_err(failed)?),
            };
            let mut file = BufReader::with_capacity(64 << 10, file);
            loop {
                let mut text = Vec::new();
                let read = (&mut file).take(LONGEST + 1).read_until(b'\n', &mut text);
                let read = read.map_err(failed)? as u64;
                if read == 0 {
                    break;
                }
                number += 1;
                if read > LONGEST {
                    let path = path.clone();
                    return Err(InputError::TooLong { path, line: number });
                }
                let end = text.iter().rposition(|byte| !b"\r\n".contains(byte));
                text.truncate(end.map_or(0, |at| at + 1));
                self.note(&path, number, &text)?;
                if text.iter().all(u8::is_ascii_whitespace) || self.done.contains(number) {
                    skipped += read;
                    continue;
                }
                let line = Line {
                    number,
                    job: text.into(),
                    size: read,
                    skipped: std::mem::take(&mut skipped),
                };
                if lines.blocking_send(Ok(line)).is_err() {
                    return Ok(());
                }
            }
        }
        match self.read_before.next_one() {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(InputError::Shorter(number)),
            Err(error) => Err(InputError::Io("the state file".into(), error)),
        }
    }

    /// Compares a line to what it was, or notes what it is.
    fn note(&mut self, path: &Path, line: u64, text: &[u8]) -> Result<(), InputError> {
        let fingerprint = Fingerprint::of(text);
        match self.read_before.next_one() {
            Ok(None) => Ok(self.journal.append(Entry::Read(fingerprint))?),
            Ok(Some(then)) if then == fingerprint => Ok(()),
            Ok(Some(_)) => {
                let path = path.to_owned();
                Err(InputError::Changed { path, line })
            }
            Err(error) => Err(InputError::Io("the state file".into(), error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::state::State;
    use super::*;

    /// The jobs of an input, and how it ended.
    fn read(files: &[PathBuf], state: &Path) -> (Vec<(u64, String, u64)>, Option<InputError>) {
        let state = State::open(state, false).unwrap();
        let input = Input {
            files: files.to_vec(),
            done: state.known.done,
            read_before: state.read_before,
            journal: state.journal,
        };
        let mut lines = input.start().unwrap();
        let mut jobs = Vec::new();
        while let Some(line) = lines.blocking_recv() {
            match line {
                Ok(line) => {
                    let job = String::from_utf8(line.job.to_vec()).unwrap();
                    jobs.push((line.number, job, line.skipped + line.size));
                }
                Err(error) => return (jobs, Some(error)),
            }
        }
        (jobs, None)
    }

    #[test]
    fn lines_are_numbered_through_all_files_and_blank_ones_skipped() {
        let directory = tempfile::tempdir().unwrap();
        let [one, other, state] = ["one", "other", "state"].map(|it| directory.path().join(it));
        fs::write(&one, "a\n\n \t\nb\r\nc").unwrap();
        fs::write(&other, "\nd\n").unwrap();
        let files = [one.clone(), other.clone()];
        let (jobs, ended) = read(&files, &state);
        let expected = [(1, "a", 2), (4, "b", 7), (5, "c", 1), (7, "d", 3)];
        let expected = expected.map(|(line, job, size)| (line, job.to_owned(), size));
        assert_eq!(jobs, expected);
        assert!(ended.is_none(), "{ended:?}");
        assert_eq!(size(&files).unwrap(), Some(13));
        assert_eq!(size(&[one, "-".into()]).unwrap(), None);
        assert!(size(&[directory.path().join("none")]).is_err());
        assert!(size(&[directory.path().to_owned()]).is_err());
    }

    #[test]
    fn the_input_of_a_run_that_goes_on_is_the_same_or_refused() {
        let directory = tempfile::tempdir().unwrap();
        let [file, state] = ["file", "state"].map(|it| directory.path().join(it));
        let files = [file.clone()];
        fs::write(&file, "a\nb\n").unwrap();
        assert_eq!(read(&files, &state).0.len(), 2);
        // It has grown.
        fs::write(&file, "a\nb\nc\n").unwrap();
        let (jobs, ended) = read(&files, &state);
        assert_eq!((jobs.len(), ended.is_none()), (3, true));
        // It is shorter.
        fs::write(&file, "a\nb\n").unwrap();
        let (_, ended) = read(&files, &state);
        assert!(matches!(ended, Some(InputError::Shorter(2))), "{ended:?}");
        // It is another: nothing of the line that differs is handed over.
        fs::write(&file, "a\nB\nc\n").unwrap();
        let (jobs, ended) = read(&files, &state);
        assert_eq!(jobs.len(), 1);
        let changed = matches!(ended, Some(InputError::Changed { line: 2, .. }));
        assert!(changed, "{ended:?}");
    }

    #[test]
    fn what_has_no_lines_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let [file, state] = ["file", "state"].map(|it| directory.path().join(it));
        fs::File::create(&file)
            .unwrap()
            .set_len(LONGEST + 1)
            .unwrap();
        let (jobs, ended) = read(&[file], &state);
        assert_eq!(jobs, []);
        let too_long = matches!(ended, Some(InputError::TooLong { line: 1, .. }));
        assert!(too_long, "{ended:?}");
    }
}
