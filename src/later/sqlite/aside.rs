//! A damaged file is moved out of the way, loudly, and kept for whoever wants to look.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tracing::error;

use super::error::OpenError;
use super::schema::APPLICATION;

/// What SQLite adds to the name of a file for its write-ahead log.
const LOG: &str = "-wal";

/// The first bytes of a file of SQLite, and how many its first page has.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const FIRST_PAGE: u64 = 4096;

/// Moves the file and its log; the log keeps the name by which SQLite finds it. What does
/// not say that it is this program's is let alone: it may be anything that somebody has
/// named by mistake.
pub(super) fn move_aside(path: &Path, damage: &str) -> Result<(), OpenError> {
    let not_moved = |error| OpenError::NotMoved {
        path: path.to_owned(),
        error,
    };
    if !is_ours(path).map_err(not_moved)? {
        return Err(OpenError::Foreign(path.to_owned()));
    }
    let moved = try_to(path).map_err(not_moved)?;
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
    // The file first: without its log it would be opened, and miss what is there alone. A
    // log by itself is no harm, since SQLite takes none for that of an empty file.
    fs::rename(path, &moved)?;
    match fs::rename(with(path, LOG), with(&moved, LOG)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            fs::rename(&moved, path)?;
            Err(error)
        }
        _ => Ok(moved),
    }
}

/// Whether a file is one of this program: it says so, or has the first page alone and all
/// else in its log.
fn is_ours(path: &Path) -> io::Result<bool> {
    let mut file = fs::File::open(path)?;
    let length = file.metadata()?.len();
    let (mut magic, mut between, mut application) = ([0; 16], [0; 52], [0; 4]);
    for part in [&mut magic[..], &mut between, &mut application] {
        match file.read_exact(part) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
    }
    Ok(match i64::from(u32::from_be_bytes(application)) {
        APPLICATION => true,
        0 => magic == *MAGIC && length <= FIRST_PAGE,
        _ => false,
    })
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
