//! A damaged file is moved out of the way, loudly, and kept for whoever wants to look.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tracing::error;

use super::error::OpenError;

/// What SQLite adds to the name of a file for its write-ahead log.
const LOG: &str = "-wal";

/// Moves the file and its log; the log keeps the name by which SQLite finds it.
pub(super) fn move_aside(path: &Path, damage: &str) -> Result<(), OpenError> {
    let moved = try_to(path).map_err(|error| OpenError::NotMoved {
        path: path.to_owned(),
        error,
    })?;
    error!(
        file = %path.display(),
        moved_to = %moved.display(),
        damage,
        "the file of jobs for later is damaged: it is moved aside, and a new one is begun; \
         the jobs and the answers in it are lost to their callers"
    );
    Ok(())
}

fn try_to(path: &Path) -> io::Result<PathBuf> {
    let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let time = time.replace([':', '-'], "");
    let names = (1_u32..).map(|n| match n {
        1 => with(path, &format!(".damaged-{time}")),
        _ => with(path, &format!(".damaged-{time}-{n}")),
    });
    let mut free = names.filter(|it| !it.exists() && !with(it, LOG).exists());
    let moved = free.next().unwrap_or_else(|| path.to_owned());
    // The log first: by itself it would be taken for that of the next file.
    match std::fs::rename(with(path, LOG), with(&moved, LOG)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::rename(path, &moved)?;
    Ok(moved)
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
