//! Where results are written: standard output or a file, on a thread of its own, since who
//! reads them may take its time.
//!
//! A result is written, then told to the state file, and then the run hears of it. A file is
//! cut back to the last result that the state file knows when a run goes on: so nothing is
//! twice in it. What a pipe was given cannot be taken back: one result may come twice then,
//! the one that was written last before the process was killed.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use thiserror::Error;
use tokio::sync::mpsc;

use super::entry::{Entry, FileId};
use super::state::{Journal, StateError};

/// A result to be written, with what the run wants to hear afterwards.
#[derive(Debug)]
pub struct Finished<T> {
    /// The line, with its end.
    pub text: String,
    /// The line of the input that it is of.
    pub line: u64,
    /// Whether the job failed.
    pub failed: bool,
    /// What is said once it is written.
    pub then: T,
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
    /// Results are gone that were written before.
    #[error(
        "{0} is shorter than when the run stopped, so results are missing from it; \
         go on with >> instead of >, or with --output"
    )]
    Shorter(String),
    /// The state file can't be used.
    #[error(transparent)]
    State(#[from] StateError),
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
    /// This file, or standard output, after what was written to it `before`.
    ///
    /// # Errors
    /// Where it can't be written, or has lost what was.
    pub fn open(
        path: Option<PathBuf>,
        before: Option<(FileId, u64)>,
        journal: Journal,
    ) -> Result<Self, OutputError> {
        let name = match &path {
            Some(path) => path.display().to_string(),
            None => "standard output".to_owned(),
        };
        let failed = |error| OutputError::Io(name.clone(), error);
        let file = match path {
            Some(path) => OpenOptions::new().append(true).create(true).open(path),
            None => io::stdout().as_fd().try_clone_to_owned().map(File::from),
        };
        let mut file = file.map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        let mut known = None;
        if about.is_file() {
            let (device, inode) = (about.dev(), about.ino());
            let id = FileId { device, inode };
            if let Some((_, written)) = before.filter(|(then, _)| *then == id) {
                if about.len() < written {
                    return Err(OutputError::Shorter(name));
                }
                file.set_len(written).map_err(failed)?;
            }
            let length = file.seek(SeekFrom::End(0)).map_err(failed)?;
            known = Some((id, length));
        }
        journal.append(Entry::Output(known))?;
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
    pub fn start<T: Send + 'static>(
        mut self,
        mut results: mpsc::Receiver<Finished<T>>,
    ) -> io::Result<mpsc::Receiver<Result<T, OutputError>>> {
        let (said, written) = mpsc::channel(1);
        let thread = std::thread::Builder::new().name("output".to_owned());
        thread.spawn(move || {
            while let Some(result) = results.blocking_recv() {
                let written = self.write(&result).map(|()| result.then);
                let is_over = written.is_err();
                if said.blocking_send(written).is_err() || is_over {
                    return;
                }
            }
        })?;
        Ok(written)
    }

    fn write<T>(&mut self, result: &Finished<T>) -> Result<(), OutputError> {
        self.file
            .write_all(result.text.as_bytes())
            .map_err(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => OutputError::ReaderGone,
                _ => OutputError::Io(self.name.clone(), error),
            })?;
        if let Some(length) = &mut self.length {
            *length += result.text.len() as u64;
        }
        self.journal.append(Entry::Written {
            line: result.line,
            failed: result.failed,
            length: self.length,
        })?;
        Ok(())
    }
}
