//! Where results are written: standard output or a file, on a thread of its own, since who
//! reads them may take its time.
//!
//! A result is written, then told to the state file, and then the run hears of it. A file is
//! cut back to the last result that the state file knows when a run goes on: so nothing is
//! twice in it. At most one result is cut off, or a part of it; where there is more, somebody
//! else has written to the file. What a pipe was given cannot be taken back: one result may come twice then,
//! the one that was written last before the process was killed.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use thiserror::Error;
use tokio::sync::mpsc;

use super::entry::{Entry, FileId};
use super::handle::Handle;
use super::state::{Journal, StateError};

/// A result to be written.
#[derive(Debug)]
pub struct Finished {
    /// The line, with its end; empty once it is written.
    pub text: String,
    /// The line of the input that it is of.
    pub line: u64,
    /// Whether the job failed.
    pub failed: bool,
    /// How many bytes of the input its job takes up.
    pub size: u64,
    /// Its record, where that is to be removed once it is written.
    pub handle: Option<Handle>,
}

/// Why results can't be written.
#[derive(Debug, Error)]
pub enum OutputError {
    /// Nobody reads them any more.
    #[error("nobody reads the results any more")]
    ReaderGone,
    /// The system doesn't.
    #[error("can't write results to {0}")]
    Io(String, #[source] io::Error),
    /// They would be read as jobs, or as a state file.
    #[error("results can't go to {0}: it is the input, or the state file")]
    Taken(String),
    /// Results are gone that were written before.
    #[error(
        "{0} is shorter than when the run stopped, so results are missing from it; \
         go on with >> instead of >, or with --output"
    )]
    Shorter(String),
    /// There is more in it than one result could be.
    #[error(
        "{0} has more in it than when the run stopped, so somebody else has written to it; \
         move what was added elsewhere, or go on with another file"
    )]
    Longer(String),
    /// The state file can't be used.
    #[error(transparent)]
    State(#[from] StateError),
}

fn id(about: &Metadata) -> FileId {
    FileId {
        device: about.dev(),
        inode: about.ino(),
    }
}

/// What every result begins with.
const BEGIN: &[u8] = br#"{"handle":"#;

/// Whether what stands from there on is one result at most, or a part of one.
fn is_one_result(path: PathBuf, from: u64) -> io::Result<bool> {
    let mut file = BufReader::new(File::open(path)?);
    file.seek(SeekFrom::Start(from))?;
    let mut begin = Vec::new();
    let most = BEGIN.len() as u64;
    file.by_ref().take(most).read_to_end(&mut begin)?;
    if !BEGIN.starts_with(&begin) {
        return Ok(false);
    }
    file.skip_until(b'\n')?;
    Ok(file.fill_buf()?.is_empty())
}

/// Where results go.
#[derive(Debug)]
pub struct Output {
    name: String,
    file: File,
    /// Its length with all results so far, where it is a file with one.
    length: Option<u64>,
    journal: Journal,
}

impl Output {
    /// This file, or standard output, after what was written to it `before`. It is none of
    /// those that are `taken`.
    ///
    /// # Errors
    /// Where it can't be written, is taken, or has lost what was written.
    pub fn open(
        path: Option<PathBuf>,
        before: Option<(FileId, u64)>,
        taken: &[PathBuf],
        journal: Journal,
    ) -> Result<Self, OutputError> {
        let name = match &path {
            Some(path) => path.display().to_string(),
            None => "standard output".to_owned(),
        };
        let failed = |error| OutputError::Io(name.clone(), error);
        // Where standard output is only written to, it is read by its other name.
        let source = path.clone().unwrap_or_else(|| "/dev/stdout".into());
        let file = match path {
            Some(path) => OpenOptions::new().append(true).create(true).open(path),
            None => io::stdout().as_fd().try_clone_to_owned().map(File::from),
        };
        let mut file = file.map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        let mut known = None;
        if about.is_file() {
            let id = id(&about);
            let mut taken = taken.iter().filter_map(|path| path.metadata().ok());
            if taken.any(|taken| self::id(&taken) == id) {
                return Err(OutputError::Taken(name));
            }
            if let Some((_, written)) = before.filter(|(then, _)| *then == id) {
                if about.len() < written {
                    return Err(OutputError::Shorter(name));
                }
                if !is_one_result(source, written).map_err(failed)? {
                    return Err(OutputError::Longer(name));
                }
                file.set_len(written).map_err(failed)?;
            }
            let length = file.seek(SeekFrom::End(0)).map_err(failed)?;
            known = Some((id, length));
        }
        journal.append(&Entry::Output(known))?;
        Ok(Self {
            name,
            file,
            length: known.map(|(_, length)| length),
            journal,
        })
    }

    /// Starts to write. After an error nothing is written any more.
    ///
    /// # Errors
    /// Where there can be no thread.
    pub fn start(
        mut self,
        mut results: mpsc::Receiver<Finished>,
    ) -> io::Result<mpsc::Receiver<Result<Finished, OutputError>>> {
        let (said, written) = mpsc::channel(1);
        let thread = std::thread::Builder::new().name("output".to_owned());
        thread.spawn(move || {
            while let Some(mut result) = results.blocking_recv() {
                let text = std::mem::take(&mut result.text);
                let written = self.write(&text, &result).map(|()| result);
                let is_over = written.is_err();
                if said.blocking_send(written).is_err() || is_over {
                    return;
                }
            }
        })?;
        Ok(written)
    }

    fn write(&mut self, text: &str, result: &Finished) -> Result<(), OutputError> {
        self.file
            .write_all(text.as_bytes())
            .map_err(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => OutputError::ReaderGone,
                _ => OutputError::Io(self.name.clone(), error),
            })?;
        if let Some(length) = &mut self.length {
            *length += text.len() as u64;
        }
        self.journal.append(&Entry::Written {
            line: result.line,
            failed: result.failed,
            length: self.length,
            handle: result.handle.clone(),
        })?;
        Ok(())
    }
}
