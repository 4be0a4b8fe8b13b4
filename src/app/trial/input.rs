//! The calls that are tried, from files.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use thiserror::Error;

/// The most calls that are tried at once.
const MOST_CALLS: usize = 10_000;

/// The most bytes that they have together.
const MOST_BYTES: u64 = 256 << 20;

/// Standard input.
const STDIN: &str = "-";

/// A call, and where it stands.
#[derive(Debug)]
pub(super) struct Call {
    pub name: String,
    pub body: Bytes,
}

/// Why the calls can't be read.
#[derive(Debug, Error)]
pub enum InputError {
    /// A file can't be read.
    #[error("can't read {}: {}", .0.display(), .1)]
    Io(PathBuf, io::Error),
    /// There are more than can be looked at.
    #[error("more than {MOST_CALLS} calls, or 256 MiB of them; try some of them")]
    TooMany,
    /// There is none.
    #[error("there is no call: each file is one, or with --lines each line")]
    Empty,
}

/// Reads each file as a call, or with `lines` each line of it that is not empty.
///
/// # Errors
/// [`InputError`].
pub(super) fn read(files: &[PathBuf], lines: bool) -> Result<Vec<Call>, InputError> {
    let (mut calls, mut left) = (Vec::new(), MOST_BYTES);
    for file in files {
        let text = whole(file, left).map_err(|error| InputError::Io(file.clone(), error))?;
        let length = text.len() as u64;
        left = left.checked_sub(length).ok_or(InputError::TooMany)?;
        let text = Bytes::from(text);
        match lines {
            false => calls.push(Call {
                name: file.display().to_string(),
                body: text,
            }),
            true => calls.extend(by_line(file, &text)),
        }
        if calls.len() > MOST_CALLS {
            return Err(InputError::TooMany);
        }
    }
    match calls.is_empty() {
        true => Err(InputError::Empty),
        false => Ok(calls),
    }
}

/// All of a file, and no more than a byte over so many.
fn whole(file: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    if file == Path::new(STDIN) {
        io::stdin().take(most + 1).read_to_end(&mut text)?;
    } else {
        File::open(file)?.take(most + 1).read_to_end(&mut text)?;
    }
    Ok(text)
}

/// Each line that is not empty, numbered from 1.
fn by_line(file: &Path, text: &Bytes) -> impl Iterator<Item = Call> {
    let lines = text.split(|&byte| byte == b'\n').enumerate();
    let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
    lines.map(move |(number, line)| Call {
        name: format!("{}:{}", file.display(), number + 1),
        body: text.slice_ref(line.trim_ascii()),
    })
}
